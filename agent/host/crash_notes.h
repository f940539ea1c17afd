// CrashNotes: which plugin's code was running when the agent crashed, and which plugin is therefore
// left out for now.
//
// A plugin runs in the agent's process, so its fault ends the agent, and a restart may only lead to
// the same. When a fatal signal (SEGV, BUS, ILL, FPE, ABRT) ends the process, the handler walks the
// stack of the thread that got it: the first frame that lies in a plugin or in the agent's own
// program decides; libraries between do not. A plugin found so is written, with the boot and the
// time since it, to one small file of the spool directory; then the signal goes where it went
// before. A plugin with kCrashesToLeaveOut notes of this boot in the last kCrashWindow is refused.
//
// Notes of another boot do not count: power cuts are no crashes, and need no clock that is right.
// Not seen: a thread that has overflowed its stack, SIGKILL, a plugin that calls exit.
//
// One at a time in a process (signals have no owner); the main thread, while wiring up. The handler
// itself only uses what a signal handler may.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"

namespace penstock::host {

constexpr int kCrashesToLeaveOut = 3;
constexpr Millis kCrashWindow = std::chrono::minutes(10);

struct CrashNote {
  std::string boot;
  Millis since_boot{0};
  std::string plugin;
  bool operator==(const CrashNote&) const = default;
};

// What the file says; lines that are no notes are passed over. Pure.
std::vector<CrashNote> parse_crash_notes(std::string_view text);
// How often `plugin` crashed in the window before `now`. Pure.
int recent_crashes(const std::vector<CrashNote>& notes, const std::string& plugin,
                   const std::string& boot, Millis now);

class CrashNotes {
 public:
  // Reads what is there and takes the signals. `dir`: of the spool; made when it is not there.
  // kTransient when it cannot be: the agent then runs without notes.
  static Result<std::unique_ptr<CrashNotes>> open(const std::filesystem::path& dir);
  // Gives the signals back.
  ~CrashNotes();
  CrashNotes(const CrashNotes&) = delete;
  CrashNotes& operator=(const CrashNotes&) = delete;

  // Why `plugin` is not to be loaded, and what to do; nothing when it may.
  std::optional<std::string> left_out(const std::string& plugin) const;
  // Around the loading of a plugin: its initialisers run before anyone knows where it lies.
  void loading(const std::string& plugin);
  // `code`: any function of the plugin; null when it could not be loaded.
  void loaded(const std::string& plugin, const void* code);

 private:
  explicit CrashNotes(std::filesystem::path file);
  const std::filesystem::path file_;
  std::vector<CrashNote> notes_;
};

}  // namespace penstock::host
