// How `penstock-demo --keep` leaves everything running and still returns to the prompt: the work is
// done by a second process in a session of its own, and the first one only waits for its verdict.
//
// Call before any thread exists. Closing the terminal or Ctrl-C after the verdict does not reach
// the second process; Ctrl-C before it is passed on.
#pragma once

#include <functional>
#include <string>

namespace penstock::e2e {

// Runs `work` in the second process, which ends when `work` returns. `work` calls its argument once
// with the exit code that this function returns in the first process; if it ends without doing so,
// that is 1.
int run_detached(const std::function<void(const std::function<void(int)>& verdict)>& work);

// Blocks until SIGTERM or SIGINT reaches this process.
void wait_for_stop_signal();

// From now on standard output and error go to `file`, so that the terminal is free.
void leave_terminal(const std::string& file);

}  // namespace penstock::e2e
