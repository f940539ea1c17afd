#include "agent/host/plugin_trial.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/native_values.h"
#include "plugins/sdk/conformance.h"

namespace penstock::host {
namespace {

// Counts the lines `ack` of what comes in pieces.
class AckLines {
 public:
  explicit AckLines(std::atomic<uint64_t>& count) : count_(count) {}
  void take(std::string_view text) {
    for (const char c : text) {
      if (c != '\n') {
        line_.push_back(c);
        continue;
      }
      if (line_ == "ack") ++count_;
      line_.clear();
    }
  }

 private:
  std::atomic<uint64_t>& count_;
  std::string line_;
};

class CommandSource final : public sdk::Source {
 public:
  explicit CommandSource(std::string command) : command_(std::move(command)) {}
  ~CommandSource() override { end(); }

  void begin() override {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::setpgid(0, 0);
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execl("/bin/sh", "sh", "-c", command_.c_str(), nullptr);
      ::_exit(127);
    }
    ::setpgid(child_, child_);  // whoever comes first
    ::close(ends[1]);
    reader_ = std::thread([this, from = ends[0]] { read(from); });
  }

  void end() override {
    if (child_ > 0) {
      ::kill(-child_, SIGTERM);
      int status = 0;
      ::waitpid(child_, &status, 0);
      child_ = -1;
    }
    if (reader_.joinable()) reader_.join();
  }

  uint64_t acknowledged() const override { return acknowledged_; }

 private:
  void read(int from) {
    AckLines lines(acknowledged_);
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(from, buffer, sizeof buffer)) > 0;)
      lines.take({buffer, static_cast<size_t>(size)});
    ::close(from);
  }

  const std::string command_;
  pid_t child_ = -1;
  std::thread reader_;
  std::atomic<uint64_t> acknowledged_{0};
};

}  // namespace

TrialReport try_plugin(const PluginLibrary& library, const std::vector<config::OptionValue>& values,
                       const TrialSettings& settings) {
  const auto native = native_values(values);
  sdk::ConformanceLimits limits;
  limits.record = settings.record;
  CommandSource source(settings.source);
  const auto found = sdk::run_conformance(library.descriptor(), native,
                                          settings.source.empty() ? nullptr : &source, limits);
  TrialReport report;
  for (const auto& one : found.findings)
    report.findings.push_back({std::string(sdk::to_string(one.fault)), one.text});
  report.notes = found.notes;
  report.records = found.records;
  return report;
}

}  // namespace penstock::host
