// Fuzz target: framings that end or give up a frame by silence. However the reads and the timers
// fall, no frame is too long or empty, no byte is invented, an idle_gap frame is exactly what came
// between two silences, and what is kept of an endless frame is bounded.
//
// First byte: which framing. Then steps: how many bytes to read at once (0: the timer fires), after
// how many milliseconds; then the bytes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/serial/framing.h"

namespace {

using penstock::serial::Frame;
using penstock::serial::FramingSettings;

constexpr size_t kMaxFrame = 16;
constexpr int64_t kGap_us = 20'000;
constexpr const char* kTypes[] = {"idle_gap", "fixed", "length_prefix", "modbus_rtu"};

void require(bool condition) {
  if (!condition) std::abort();
}

// What idle_gap must make of it: every run between two silences that is not too long.
class Model {
 public:
  void bytes(std::string_view text, int64_t at_us) {
    if (!run_.empty() && at_us - last_us_ >= kGap_us) end();
    run_ += text;
    last_us_ = at_us;
  }
  void time(int64_t at_us) {
    if (!run_.empty() && at_us - last_us_ >= kGap_us) end();
  }
  const std::vector<std::string>& frames() const { return frames_; }

 private:
  void end() {
    if (run_.size() <= kMaxFrame) frames_.push_back(run_);
    run_.clear();
  }
  std::string run_;
  int64_t last_us_ = 0;
  std::vector<std::string> frames_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  FramingSettings settings;
  settings.type = kTypes[data[0] % std::size(kTypes)];
  settings.max_frame_bytes = kMaxFrame;
  settings.length_bytes = 5;
  settings.gap_us = kGap_us;
  const auto framing = penstock::serial::make_framing(settings);
  std::vector<Frame> frames;
  Model model;
  int64_t now_us = 1;
  uint64_t fed = 0;
  for (size_t at = 1; at + 2 <= size;) {
    const size_t count = data[at] % 32;
    now_us += int64_t{data[at + 1]} * 1000;
    at += 2;
    if (count == 0) {
      if (const auto deadline = framing->deadline_us()) require(*deadline > 0);
      framing->on_time({now_us, now_us}, frames);
      model.time(now_us);
      continue;
    }
    const size_t take = std::min(count, size - at);
    if (take == 0) break;
    const std::string_view text(reinterpret_cast<const char*>(data) + at, take);
    framing->feed(text, {now_us, now_us}, frames);
    model.bytes(text, now_us);
    fed += take;
    at += take;
  }
  uint64_t framed = 0;
  for (const auto& frame : frames) {
    require(!frame.bytes.empty() && frame.bytes.size() <= kMaxFrame);
    framed += frame.bytes.size();
  }
  require(framed <= fed);
  if (settings.type == std::string_view("idle_gap")) {
    require(frames.size() == model.frames().size());
    for (size_t i = 0; i < frames.size(); ++i) require(frames[i].bytes == model.frames()[i]);
  }
  framing->cut();
  return 0;
}
