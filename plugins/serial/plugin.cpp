// The option table of the serial input, and its descriptor.
#include "plugins/serial/serial_input.h"

namespace {

constexpr int64_t kMaxFrameBytes = 1 << 20;

constexpr penstock_option option(const char* name, penstock_option_type type,
                                 const char* default_value, const char* choices, int64_t min,
                                 int64_t max, const char* help) {
  return {sizeof(penstock_option), 0, name, type, default_value, choices, min, max, help};
}

constexpr penstock_option kOptions[] = {
    {sizeof(penstock_option), 1, "device", PENSTOCK_OPTION_PATH, nullptr, nullptr, 0, 0,
     "Absolute path of the port; best one under /dev/serial/by-id, which stays the same over a "
     "replug."},
    option("line.baud", PENSTOCK_OPTION_INTEGER, "9600", nullptr, 50, 12'000'000,
           "Bits per second; any rate the device can make, not only the usual ones."),
    option("line.data", PENSTOCK_OPTION_INTEGER, "8", nullptr, 5, 8, "Data bits per character."),
    option(
        "line.parity", PENSTOCK_OPTION_ENUM, "none", "none|even|odd", 0, 0,
        "Parity; a character that fails it is read as a zero byte. The input is degraded where the "
        "device does not take data, parity and stop as they stand here."),
    option("line.stop", PENSTOCK_OPTION_INTEGER, "1", nullptr, 1, 2, "Stop bits."),
    option("line.flow", PENSTOCK_OPTION_ENUM, "none", "none|rtscts|xonxoff", 0, 0,
           "Flow control; holds the device back while the agent has no room."),
    option("line.rs485", PENSTOCK_OPTION_BOOL, "false", nullptr, 0, 0,
           "Switch the driver to RS-485 mode; the input is degraded where it has none. Not for "
           "adapters that switch by themselves."),
    option("line.low_latency", PENSTOCK_OPTION_BOOL, "false", nullptr, 0, 0,
           "Ask the driver to hand bytes on at once, where it can: times and gaps get exact, at "
           "more interrupts."),
    option("framing.type", PENSTOCK_OPTION_ENUM, "line",
           "line|delimiter|fixed|length_prefix|idle_gap|stx_etx|slip|cobs|nmea0183|modbus_rtu", 0,
           0, "How the bytes become records."),
    // No default in the table: how a line feed is written there is the reader's guess. The plugin
    // knows it.
    option("framing.delimiter", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
           "line, delimiter: what ends a frame, 1 to 64 bytes; when absent a line feed, for line "
           "with or without a "
           "carriage return before it."),
    option("framing.max_frame", PENSTOCK_OPTION_SIZE, "4KiB", nullptr, 1, kMaxFrameBytes,
           "A longer frame is skipped and counted."),
    option("framing.length", PENSTOCK_OPTION_INTEGER, nullptr, nullptr, 1, kMaxFrameBytes,
           "fixed: the length of every frame in bytes."),
    option("framing.prefix_bytes", PENSTOCK_OPTION_INTEGER, "2", nullptr, 1, 4,
           "length_prefix: 1, 2 or 4 bytes hold the length."),
    option("framing.prefix_order", PENSTOCK_OPTION_ENUM, "big", "big|little", 0, 0,
           "length_prefix: the byte order of the length."),
    option("framing.gap", PENSTOCK_OPTION_DURATION, nullptr, nullptr, 1, 60'000,
           "idle_gap, modbus_rtu: silence that ends a frame (20ms when absent); fixed, "
           "length_prefix: silence "
           "after which an "
           "unfinished frame is given up (1s when absent)."),
    option("poll[].send", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
           "A request to send, as \"READ\\r\\n\"; one request is on the line at a time."),
    option("poll[].send_hex", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
           "The same in hexadecimal, as 01 03 00 00 00 02; with modbus_rtu the CRC is added."),
    option("poll[].every", PENSTOCK_OPTION_DURATION, "1s", nullptr, 10, 86'400'000,
           "How often; less often for a device that was silent three times in a row."),
    option("poll[].timeout", PENSTOCK_OPTION_DURATION, "500ms", nullptr, 1, 60'000,
           "After this the request is given up; the next one is sent once the line has been silent "
           "for "
           "half as long again."),
    option(
        "poll[].reply", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
        "What its reply begins with; when absent, the next frame is the reply (modbus_rtu: of the "
        "same address and function, with as many bytes as were asked for)."),
    option("poll[].name", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
           "The reply's record has it as attribute `poll`: ${attr.poll}."),
};

}  // namespace

PENSTOCK_INPUT_PLUGIN(penstock::serial::SerialInput, "serial", "0.1.0",
                      "Reads frames from a serial port", kOptions)
