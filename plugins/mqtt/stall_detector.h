// Is the broker waiting for our acknowledgements? Pure; one thread (the gate's); times are passed
// in.
//
// A broker with a full window falls silent until a PUBACK reaches it, and then every message waits
// a whole commit interval. An early commit ends that; an early commit for each record of a slow
// source would wear the card out. So silence alone is not enough: the window must look full as
// well. We rarely know it (mosquitto's is 20 by default, MQTT 3.1.1 does not tell, and MQTT 5's
// receive maximum is only an upper bound), so full means: as many acknowledgements held as the
// receive maximum or a usual window, or a burst that came on the heels of the last release, as a
// broker sends that had been waiting for it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace penstock::mqtt {

class StallDetector {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kQuiet{1};

  explicit StallDetector(size_t receive_maximum)
      : full_window_(std::min<size_t>(std::max<size_t>(receive_maximum, 1), kUsualWindow)) {}

  void on_broker_bytes(Time now) {
    last_arrival_ = last_event_ = now;
    looked_ = hinted_ = false;
  }
  // Paho answered, perhaps long after the bytes came: what is held has changed.
  void on_ack(Time now) {
    last_event_ = now;
    looked_ = false;
  }
  void on_released(Time now) { last_release_ = now; }

  // Look again after kQuiet; false: no need before the next bytes or acknowledgement.
  bool wants_look(size_t held) const { return held > 0 && !looked_ && !hinted_; }

  // True once for each silence in which the broker seems to wait for us.
  bool look(Time now, size_t held) {
    if (!wants_look(held) || now - last_event_ < kQuiet) return false;
    looked_ = true;
    hinted_ = held >= full_window_ || answers_release();
    return hinted_;
  }

 private:
  static constexpr size_t kUsualWindow = 20;
  static constexpr std::chrono::milliseconds kHeels{2};

  bool answers_release() const {
    return last_release_ && last_arrival_ >= *last_release_ &&
           last_arrival_ - *last_release_ <= kHeels;
  }

  size_t full_window_;
  Time last_arrival_{};
  Time last_event_{};
  std::optional<Time> last_release_;
  bool looked_ = true;
  bool hinted_ = false;  // in this silence
};

}  // namespace penstock::mqtt
