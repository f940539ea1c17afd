// Writes numbered lines to a serial line at a steady rate.
//
// A number counts as sent when the line took it. While the line is unplugged nothing is sent. The
// pty is borrowed; plug and unplug it only through this feeder while it runs. One thread
// constructs, starts and stops.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "tests/support/feed.h"
#include "tests/support/paced_thread.h"
#include "tests/support/pty.h"

namespace penstock::test {

class SerialFeeder {
 public:
  SerialFeeder(PtyLine& line, std::string line_end, Feed feed);
  ~SerialFeeder() { stop(); }

  void start() { pace_.start(); }
  void stop() { pace_.stop(); }
  void plug();
  void unplug();

 private:
  void send(uint64_t n);

  std::mutex mutex_;
  PtyLine& line_;  // guarded by mutex_
  std::string line_end_;
  Feed feed_;
  PacedThread pace_;
};

}  // namespace penstock::test
