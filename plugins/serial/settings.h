// What the configuration says about one serial input, as values. Read once, in create.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/serial/framing.h"
#include "plugins/serial/poller.h"

namespace penstock::serial {

enum class Parity { kNone, kEven, kOdd };
enum class Flow { kNone, kRtsCts, kXonXoff };

struct LineSettings {
  uint32_t baud = 9600;
  int data_bits = 8;
  Parity parity = Parity::kNone;
  int stop_bits = 1;
  Flow flow = Flow::kNone;
  bool rs485 = false;
  bool low_latency = false;
};

// "19200 8E1"
std::string describe(const LineSettings& line);

struct SerialSettings {
  std::string device;
  LineSettings line;
  FramingSettings framing;
  std::vector<PollRequest> poll;  // empty: the device speaks by itself
};

// Throws std::invalid_argument with the key, what is wrong and what to write. The framing's own
// rules are checked by make_framing().
SerialSettings read_settings(const sdk::Options& options);

}  // namespace penstock::serial
