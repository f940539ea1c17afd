#include "tests/support/process.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace penstock::test {
namespace {

// Strings and the pointers exec wants, made before fork: between fork and exec nothing may
// allocate.
struct ExecArguments {
  std::vector<std::string> strings;
  std::vector<char*> pointers;

  void seal() {
    for (auto& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

ExecArguments environment_with(const std::vector<std::pair<std::string, std::string>>& extra) {
  ExecArguments result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool replaced = false;
    for (const auto& [name, value] : extra) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) result.strings.emplace_back(text);
  }
  for (const auto& [name, value] : extra) result.strings.push_back(name + "=" + value);
  result.seal();
  return result;
}

// This program again: under an emulator the kernel cannot start it by itself.
void start_self_by_emulator(std::vector<std::string>& argv) {
  const char* emulator = std::getenv("PENSTOCK_TEST_EMULATOR");
  if (argv.at(0) != "/proc/self/exe" || emulator == nullptr) return;
  argv[0] = std::filesystem::read_symlink(argv[0]);
  std::istringstream words(emulator);
  argv.insert(argv.begin(), std::istream_iterator<std::string>(words), {});
}

[[noreturn]] void become(const char* program, const ExecArguments& argv, const ExecArguments& env,
                         int output, int report, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the parent died before the line above
  ::setpgid(0, 0);                          // Ctrl-C is the parent's business
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  for (const int ignored : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) ::signal(ignored, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(program, argv.pointers.data(), env.pointers.data());
  const int error = errno;
  [[maybe_unused]] const auto written = ::write(report, &error, sizeof(error));
  ::_exit(127);
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return std::nullopt;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) +
                             ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

Process::Process(const ProcessSpec& spec) : output_(spec.output) {
  ExecArguments argv{spec.argv, {}};
  start_self_by_emulator(argv.strings);
  const auto program = find_program(argv.strings.at(0));
  if (!program) throw std::runtime_error("no such program: " + argv.strings[0]);
  argv.seal();
  const ExecArguments env = environment_with(spec.env);

  const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0) throw std::runtime_error("cannot write " + output_.string());
  output_from_ = ::lseek(out, 0, SEEK_END);
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    ::close(out);
    throw std::runtime_error("pipe2() failed");
  }
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(program->c_str(), argv, env, out, report[1], parent);
  ::close(out);
  ::close(report[1]);
  int error = 0;  // the pipe closes without a word when exec succeeded
  const bool failed = pid_ < 0 || ::read(report[0], &error, sizeof(error)) == sizeof(error);
  ::close(report[0]);
  if (!failed) return;
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  throw std::runtime_error("cannot run " + *program + ": " + ::strerror(error));
}

Process::~Process() { kill_now(); }

bool Process::reap(bool block) {
  if (exit_code_) return true;
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, block ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  exit_code_ = got < 0 ? 127 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

bool Process::running() { return !reap(false); }

void Process::kill_now() {
  if (reap(false)) return;
  ::kill(pid_, SIGKILL);
  reap(true);
}

std::optional<int> Process::terminate(Millis within) {
  if (!reap(false)) ::kill(pid_, SIGTERM);
  return wait(within);
}

std::optional<int> Process::wait(Millis within) {
  wait_until([this] { return reap(false); }, within);
  return exit_code_;
}

std::string Process::output() const {
  std::ifstream file(output_, std::ios::binary);
  file.seekg(output_from_);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<std::string> Process::wait_for_line(std::string_view text, Millis within) {
  std::optional<std::string> found;
  wait_until(
      [&] {
        const bool ended = reap(false);  // asked before reading: what it wrote last is then seen
        std::istringstream lines(output());
        for (std::string line; std::getline(lines, line) && !lines.eof();) {
          if (line.find(text) == std::string::npos) continue;
          found = line;
          return true;
        }
        return ended;
      },
      within);
  return found;
}

}  // namespace penstock::test
