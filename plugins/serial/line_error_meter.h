// Turns the driver's own error counters, which start anew with each replug, into totals since the
// input started.
//
// One thread: the reader's. Asks the device at most once a second.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "plugins/serial/counters.h"
#include "plugins/serial/port.h"

namespace penstock::serial {

class LineErrorMeter {
 public:
  using Read = std::function<std::optional<LineErrors>(int fd)>;
  explicit LineErrorMeter(Read read = read_line_errors) : read_(std::move(read)) {}

  // A port was opened; what it counted before is not ours.
  void opened(int fd) { last_ = read_(fd); }

  void sample(int fd, int64_t mono_us, Counters& counters) {
    if (!last_ || mono_us < next_us_) return;
    next_us_ = mono_us + 1'000'000;
    const auto now = read_(fd);
    if (!now) return;
    counters.line_overruns += now->overruns - last_->overruns;
    counters.line_errors += now->bad_chars - last_->bad_chars;
    last_ = now;
  }

 private:
  const Read read_;
  std::optional<LineErrors> last_;  // nullopt: this device does not count
  int64_t next_us_ = 0;
};

}  // namespace penstock::serial
