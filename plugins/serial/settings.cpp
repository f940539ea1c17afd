#include "plugins/serial/settings.h"

#include <stdexcept>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

Parity parity_of(const std::string& word) {
  if (word == "none") return Parity::kNone;
  if (word == "even") return Parity::kEven;
  if (word == "odd") return Parity::kOdd;
  throw std::invalid_argument("line.parity: '" + word + "' is not one of none, even, odd");
}

Flow flow_of(const std::string& word) {
  if (word == "none") return Flow::kNone;
  if (word == "rtscts") return Flow::kRtsCts;
  if (word == "xonxoff") return Flow::kXonXoff;
  throw std::invalid_argument("line.flow: '" + word + "' is not one of none, rtscts, xonxoff");
}

LineSettings read_line(const sdk::Options& options) {
  LineSettings line;
  line.baud = static_cast<uint32_t>(options.number("line.baud", line.baud));
  line.data_bits = static_cast<int>(options.number("line.data", line.data_bits));
  line.parity = parity_of(options.text("line.parity", "none"));
  line.stop_bits = static_cast<int>(options.number("line.stop", line.stop_bits));
  line.flow = flow_of(options.text("line.flow", "none"));
  line.rs485 = options.flag("line.rs485");
  line.low_latency = options.flag("line.low_latency");
  if (line.baud == 0) throw std::invalid_argument("line.baud: must be more than 0");
  if (line.data_bits < 5 || line.data_bits > 8)
    throw std::invalid_argument("line.data: must be 5 to 8");
  if (line.stop_bits != 1 && line.stop_bits != 2)
    throw std::invalid_argument("line.stop: must be 1 or 2");
  return line;
}

FramingSettings read_framing(const sdk::Options& options) {
  FramingSettings framing;
  framing.type = options.text("framing.type", framing.type);
  framing.delimiter = options.text("framing.delimiter", framing.delimiter);
  framing.max_frame_bytes = static_cast<size_t>(
      options.number("framing.max_frame", static_cast<int64_t>(framing.max_frame_bytes)));
  framing.length_bytes = static_cast<size_t>(options.number("framing.length"));
  framing.prefix_bytes =
      static_cast<int>(options.number("framing.prefix_bytes", framing.prefix_bytes));
  const auto order = options.text("framing.prefix_order", "big");
  if (order != "big" && order != "little") {
    throw std::invalid_argument("framing.prefix_order: '" + order + "' is not one of big, little");
  }
  framing.prefix_little_endian = order == "little";
  if (options.find("framing.gap")) framing.gap_us = options.number("framing.gap") * 1000;
  return framing;
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

// "01 03 00 0A": two digits a byte, spaces between bytes or not.
std::string from_hex(const std::string& key, const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
      continue;
    }
    const int high = hex_digit(text[i]);
    const int low = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
    if (high < 0 || low < 0)
      throw std::invalid_argument(key + ": '" + text + "' is not hexadecimal; write 01 03 00 0A");
    bytes.push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return bytes;
}

PollRequest read_request(const sdk::Options& options, const std::string& path, bool modbus) {
  PollRequest request;
  const auto text = options.text(path + ".send");
  const auto hex = options.text(path + ".send_hex");
  if (text.empty() == hex.empty())
    throw std::invalid_argument(path + ": needs one of send and send_hex");
  request.bytes = hex.empty() ? text : from_hex(path + ".send_hex", hex);
  request.name = options.text(path + ".name");
  request.reply = options.text(path + ".reply");
  request.modbus = modbus;
  if (modbus) {
    if (request.bytes.size() < 2 || request.bytes.size() > 254)
      throw std::invalid_argument(path +
                                  ".send_hex: a Modbus request is address, function and "
                                  "data, 2 to 254 bytes; its CRC is added");
    const uint16_t crc = modbus_crc(request.bytes);
    request.bytes.push_back(static_cast<char>(crc & 0xFF));
    request.bytes.push_back(static_cast<char>(crc >> 8));
  }
  request.every_us = options.number(path + ".every", 1000) * 1000;
  request.timeout_us = options.number(path + ".timeout", 500) * 1000;
  return request;
}

std::vector<PollRequest> read_poll(const sdk::Options& options, bool modbus) {
  std::vector<PollRequest> requests;
  for (;;) {
    // Defaults stand in every element, so `every` marks one that is there.
    const auto path = "poll[" + std::to_string(requests.size()) + "]";
    const bool there = options.find(path + ".every") || options.find(path + ".send") ||
                       options.find(path + ".send_hex");
    if (!there) return requests;
    requests.push_back(read_request(options, path, modbus));
  }
}

}  // namespace

std::string describe(const LineSettings& line) {
  const char parity = line.parity == Parity::kNone ? 'N' : line.parity == Parity::kEven ? 'E' : 'O';
  return std::to_string(line.baud) + " " + std::to_string(line.data_bits) + parity +
         std::to_string(line.stop_bits);
}

SerialSettings read_settings(const sdk::Options& options) {
  SerialSettings settings;
  settings.device = options.text("device");
  if (settings.device.empty() || settings.device.front() != '/') {
    throw std::invalid_argument(
        "device: '" + settings.device +
        "' is not an absolute path; write one that stays the same over a replug, as "
        "/dev/serial/by-id/...");
  }
  settings.line = read_line(options);
  settings.framing = read_framing(options);
  settings.poll = read_poll(options, settings.framing.type == "modbus_rtu");
  return settings;
}

}  // namespace penstock::serial
