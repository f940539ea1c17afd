// Framings whose frames begin with a byte that stands nowhere else: it begins a frame wherever it
// comes. Base class; what ends a frame is the derived one's.
#pragma once

#include "plugins/serial/frame_buffer.h"
#include "plugins/serial/framing.h"

namespace penstock::serial {

class StartFraming : public Framing {
 protected:
  enum class State {
    kOutside,
    kNoise,  // outside, and the noise is counted
    kInside,
    kSkipping,  // inside a frame over the limit, which is counted
  };

  explicit StartFraming(size_t max_bytes) : buffer_(max_bytes) {}

  bool has_partial() const final { return state_ == State::kInside; }
  void reset() final {
    buffer_.clear();
    state_ = State::kOutside;
  }

  void begin() {
    if (state_ == State::kInside) ++counts_.resyncs;  // the frame before lost its end
    buffer_.clear();
    state_ = State::kInside;
  }
  void push(char byte) {
    if (buffer_.push(byte)) return;
    ++counts_.oversize_frames;
    state_ = State::kSkipping;
  }
  // A byte that belongs to no frame.
  void stray() {
    if (state_ != State::kOutside) return;
    ++counts_.resyncs;
    state_ = State::kNoise;
  }

  FrameBuffer buffer_;
  State state_ = State::kOutside;
};

}  // namespace penstock::serial
