// Waiting for a condition instead of sleeping and hoping: polls until `condition` holds or the
// deadline passes.
//
// Any thread; blocks the caller. Returns what the condition said last, so
// `EXPECT_TRUE(wait_until(...))` reads well. Deadlines are generous on purpose: they only bound a
// failing test, a passing one returns at once.
#pragma once

#include <chrono>
#include <thread>

namespace penstock::test {

using Millis = std::chrono::milliseconds;

template <class Condition>
bool wait_until(Condition condition, Millis within, Millis poll_every = Millis(10)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return condition();
    std::this_thread::sleep_for(poll_every);
  }
  return true;
}

}  // namespace penstock::test
