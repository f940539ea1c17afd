// Ends a poll() from another thread: an eventfd. signal() from any thread, the rest from the
// waiting one.
#pragma once

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace penstock::udp {

class Wakeup {
 public:
  // Throws std::system_error when the process has no descriptor left.
  Wakeup() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~Wakeup() { ::close(fd_); }
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  int fd() const { return fd_; }
  void signal() const {
    const uint64_t one = 1;
    // It can only fail when it is signalled already.
    [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof(one));
  }
  void drain() const {
    uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(fd_, &count, sizeof(count));
  }

 private:
  int fd_;
};

}  // namespace penstock::udp
