#include "tests/e2e/background.h"

#include <cstdio>
#include <stdexcept>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::e2e {
namespace {

volatile sig_atomic_t stop_requested = 0;
volatile pid_t worker_pid = 0;

void note_stop(int) { stop_requested = 1; }
void pass_on(int signal) { ::kill(worker_pid, signal); }

void on_signals(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

int verdict_from(int pipe) {
  char code = 1;
  while (::read(pipe, &code, 1) < 0) {  // interrupted: the worker was told, wait for its end
  }
  return code;
}

}  // namespace

int run_detached(const std::function<void(const std::function<void(int)>& verdict)>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2() failed");
  std::fflush(nullptr);
  worker_pid = ::fork();
  if (worker_pid < 0) throw std::runtime_error("fork() failed");
  if (worker_pid > 0) {
    ::close(ends[1]);
    on_signals(pass_on);
    const int code = verdict_from(ends[0]);
    ::close(ends[0]);
    return code;
  }
  ::close(ends[0]);
  ::setsid();
  work([&](int code) {
    const char byte = static_cast<char>(code);
    [[maybe_unused]] const auto written = ::write(ends[1], &byte, 1);
    ::close(ends[1]);
  });
  std::fflush(nullptr);
  ::_exit(0);
}

void wait_for_stop_signal() {
  on_signals(note_stop);
  while (stop_requested == 0) ::usleep(100'000);  // a signal may go to any thread, so no pause()
}

void leave_terminal(const std::string& file) {
  std::fflush(nullptr);
  const int log = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return;
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::close(log);
}

}  // namespace penstock::e2e
