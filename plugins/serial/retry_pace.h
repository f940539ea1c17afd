// How long to wait before a port that could not be opened is tried again. Pure; one owner.
//
// From 100 ms doubling: to 1 s while the device is not there (looking costs one system call), to
// 5 s while it is there and refuses. It begins anew when the reason changes, so a device that comes
// after a long absence, and is busy at first, is open soon after it is free.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace penstock::serial {

class RetryPace {
 public:
  // Of the attempt that failed with this errno.
  std::chrono::milliseconds next(int error) {
    const int reason = is_absent(error) ? ENOENT : error;
    if (reason != reason_) failures_ = 0;
    reason_ = reason;
    const auto delay = kFirst * (1 << std::min(failures_++, 6));
    return std::min<std::chrono::milliseconds>(delay, reason == ENOENT ? kMaxAbsent : kMaxRefused);
  }
  void opened() { failures_ = reason_ = 0; }

  // Whether the device is not there, as opposed to there and refusing. A vanishing one answers in
  // several ways.
  static bool is_absent(int error) {
    return error == ENOENT || error == ENXIO || error == ENODEV || error == EIO;
  }

 private:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kMaxAbsent{1000};
  static constexpr std::chrono::milliseconds kMaxRefused{5000};

  int failures_ = 0;  // in a row, for reason_
  int reason_ = 0;    // an errno; ENOENT for all that mean absent
};

}  // namespace penstock::serial
