// A child process: started, watched through its output file, stopped or killed.
//
// Owned by one scope: the destructor kills (SIGKILL) and reaps what still runs, so no failing test
// leaves a child behind. On top of that the kernel kills the child when the thread that started it
// ends (PR_SET_PDEATHSIG), which covers a crash, an abort and SIGKILL of the parent: start children
// from the main thread. One thread at a time. Standard output and error are appended to one file;
// what is read back is only what this start wrote.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "tests/support/wait.h"

namespace penstock::test {

struct ProcessSpec {
  std::vector<std::string>
      argv;  // argv[0] is a path, or a name looked up in PATH and the sbin directories;
             // /proc/self/exe: this program, by the emulator of PENSTOCK_TEST_EMULATOR if it is set
  std::vector<std::pair<std::string, std::string>> env;  // on top of this process's environment
  std::filesystem::path output;
};

class Process {
 public:
  // Throws std::runtime_error when the program is not there or cannot be executed.
  explicit Process(const ProcessSpec& spec);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();

  // SIGKILL and reap; returns when the process is gone.
  void kill_now();
  // SIGTERM, then wait(). A process that does not go in time is left running.
  std::optional<int> terminate(Millis within);
  // The exit code, 128 + signal when a signal ended it, nothing when it still runs after `within`.
  std::optional<int> wait(Millis within);

  // The first whole line that contains `text`; nothing when the deadline passes or the process ends
  // without it.
  std::optional<std::string> wait_for_line(std::string_view text, Millis within);
  // Everything this start has written so far.
  std::string output() const;

 private:
  bool reap(bool block);

  pid_t pid_ = -1;
  std::optional<int> exit_code_;
  std::filesystem::path output_;
  std::streamoff output_from_ = 0;
};

// The full path of a program, or nothing. sbin directories count too: a plain user's PATH lacks
// them on Debian.
std::optional<std::string> find_program(const std::string& name);

}  // namespace penstock::test
