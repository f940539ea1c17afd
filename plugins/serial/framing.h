// Framing: bytes of a line and the time in, frames and counts out.
//
// Pure: no I/O, no clock, no thread of its own; one owner, no lock. The result does not depend on
// how the bytes are split over calls of feed() (idle_gap excepted, whose boundaries are times).
// Memory is bounded by max_frame_bytes plus a delimiter. A frame is what stands between the marks,
// without them; an empty one is no record and is passed over. What is lost is counted in exactly
// one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::serial {

// One moment on both clocks: mono_us for silence, wall_us (since 1970 UTC) for stamping.
struct Instant {
  int64_t mono_us = 0;
  int64_t wall_us = 0;
};

struct Frame {
  std::string bytes;
  int64_t received_at_us = 0;  // when its last byte was read
  std::string poll{};          // the name of the request it answers; empty: none
};

struct FramingCounts {
  uint64_t resyncs = 0;  // times the place was lost and bytes were skipped to find the next frame
  uint64_t oversize_frames = 0;    // frames longer than max_frame_bytes, skipped whole
  uint64_t checksum_errors = 0;    // frames with a wrong or missing checksum, dropped
  uint64_t partial_discarded = 0;  // unfinished frames thrown away because the line was cut
};

class Framing {
 public:
  Framing() = default;
  Framing(const Framing&) = delete;
  Framing& operator=(const Framing&) = delete;
  virtual ~Framing() = default;

  // Takes all of `bytes`, read at `at`; appends the frames they finish to `out`. `at` never goes
  // back.
  virtual void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) = 0;

  // The mono_us at which on_time() wants to be called if nothing was fed before; nullopt: silence
  // means nothing now.
  virtual std::optional<int64_t> deadline_us() const { return std::nullopt; }

  // Nothing is waiting to be fed at `now`. The caller makes sure of that, so that a late call is
  // not taken for silence.
  virtual void on_time(Instant now, std::vector<Frame>& out);

  // The line is gone (unplugged, stopped): an unfinished frame is discarded and counted, the next
  // byte starts anew.
  void cut();

  const FramingCounts& counts() const { return counts_; }

 protected:
  // Whether bytes of a frame that may still be completed are held.
  virtual bool has_partial() const = 0;
  // Back to the state after construction, counts excepted.
  virtual void reset() = 0;

  FramingCounts counts_;
};

struct FramingSettings {
  std::string type = "line";
  std::string delimiter = "\n";
  size_t max_frame_bytes = 4096;
  size_t length_bytes = 0;  // fixed
  int prefix_bytes = 2;     // length_prefix: 1, 2 or 4
  bool prefix_little_endian = false;
  std::optional<int64_t> gap_us;  // idle_gap, and when fixed and length_prefix give a frame up
};

// The framing `settings` asks for. Throws std::invalid_argument that names the key, what is wrong
// and what to write.
std::unique_ptr<Framing> make_framing(const FramingSettings& settings);

}  // namespace penstock::serial
