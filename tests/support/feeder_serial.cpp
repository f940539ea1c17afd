#include "tests/support/feeder_serial.h"

#include <utility>

#include "tests/support/wall_clock.h"

namespace penstock::test {

SerialFeeder::SerialFeeder(PtyLine& line, std::string line_end, Feed feed)
    : line_(line),
      line_end_(std::move(line_end)),
      feed_(std::move(feed)),
      pace_({feed_.per_second}, [this](size_t, uint64_t n) { send(n); }) {}

void SerialFeeder::plug() {
  const std::lock_guard lock(mutex_);
  line_.plug();
}

void SerialFeeder::unplug() {
  const std::lock_guard lock(mutex_);
  line_.unplug();
}

void SerialFeeder::send(uint64_t n) {
  const std::lock_guard lock(mutex_);
  const int64_t at_us = wall_us();
  if (line_.write(feed_.payload(n) + line_end_)) feed_.sent->add(n, at_us);
}

}  // namespace penstock::test
