// Waiting until something that nobody announces the end of has come to an end: what sockets and
// queues hold is on its way without anyone to ask.
//
// Any thread; blocks the caller. True once `value()` is what it was `still` before, no sooner than
// that; false when it still changes after `within`.
#pragma once

#include <chrono>
#include <thread>
#include <utility>

#include "tests/support/wait.h"

namespace penstock::test {

template <class Value>
bool wait_at_rest(Value value, Millis within, Millis still) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  for (auto before = value();;) {
    std::this_thread::sleep_for(still);
    auto now = value();
    if (now == before) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    before = std::move(now);
  }
}

}  // namespace penstock::test
