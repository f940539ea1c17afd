#include "plugins/serial/settings.h"

#include <stdexcept>

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
  return settings;
}

}  // namespace penstock::serial
