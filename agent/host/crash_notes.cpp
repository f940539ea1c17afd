#include "agent/host/crash_notes.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <spdlog/fmt/fmt.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent/base/boot.h"
#include "agent/spool/directory.h"

namespace penstock::host {
namespace {

// SIGTRAP: what the compiler's trap is on arm64.
constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
constexpr size_t kNameBytes = 64;
constexpr size_t kMostPlugins = 64;
constexpr int kMostFrames = 128;

struct CodeRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  char name[kNameBytes] = "";  // empty: the agent's program
  bool holds(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    return at >= begin && at < end;
  }
};

// What the handler needs, laid out beforehand. Of the process, because signals are.
struct ForHandler {
  char path[4096] = "";
  char boot[kNameBytes] = "";
  CodeRange program;
  CodeRange plugins[kMostPlugins];
  std::atomic<size_t> plugin_count{0};
  char loading[kNameBytes] = "";
  struct sigaction before[kFatal.size()] = {};
  std::atomic<bool> active{false};
};
ForHandler state;

struct Culprit {
  bool known = false;
  const char* plugin = nullptr;  // null: the agent itself
};

// The first address that is someone's decides.
Culprit culprit_of(void* const* addresses, int count) {
  for (int i = 0; i < count; ++i) {
    if (state.program.holds(addresses[i])) return {true, nullptr};
    for (size_t k = 0; k < state.plugin_count; ++k) {
      if (state.plugins[k].holds(addresses[i])) return {true, state.plugins[k].name};
    }
  }
  return {};
}

// The program's own frames on top (below those of a library that took the walk over, as sanitizers
// do) are the handler's. Below the kernel's frame are those of who was running.
Culprit culprit_by_walk() {
  void* frames[kMostFrames];
  const int count = ::backtrace(frames, kMostFrames);
  int i = 0;
  while (i < count && !state.program.holds(frames[i])) ++i;
  while (i < count && state.program.holds(frames[i])) ++i;
  return culprit_of(frames + i, count - i);
}

// On 32-bit ARM the C library has no tables for the way out of abort(), and a walk may end in the
// handler. Where it was executing is known all the same.
Culprit culprit_at([[maybe_unused]] const void* context) {
#if defined(__arm__)
  const auto& at = static_cast<const ucontext_t*>(context)->uc_mcontext;
  const std::array now{reinterpret_cast<void*>(at.arm_pc)};
  return culprit_of(now.data(), static_cast<int>(now.size()));
#else
  return {};
#endif
}

uint64_t ms_since_boot() { return static_cast<uint64_t>(since_boot_us()) / 1000; }

// One line, one write.
void write_note(const char* plugin) {
  char line[3 * kNameBytes];
  size_t size = 0;
  const auto put = [&](const char* text) {
    for (; *text && size < sizeof line - 1; ++text) line[size++] = *text;
  };
  char digits[24] = "";
  char* at = digits + sizeof digits - 1;
  for (uint64_t ms = ms_since_boot(); ms > 0 || !*at; ms /= 10)
    *--at = static_cast<char>('0' + ms % 10);
  put(state.boot);
  put(" ");
  put(at);
  put(" ");
  put(plugin);
  line[size++] = '\n';
  const int file = ::open(state.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (file < 0) return;
  (void)!::write(file, line, size);
  ::close(file);
}

void on_fatal(int signal, siginfo_t*, void* context) {
  for (size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i] == signal) ::sigaction(signal, &state.before[i], nullptr);
  }
  if (state.active.exchange(false)) {
    Culprit culprit = culprit_by_walk();
    if (!culprit.known) culprit = culprit_at(context);
    // The agent's own code runs while a plugin is loaded, too.
    if (!culprit.plugin && state.loading[0]) culprit.plugin = state.loading;
    if (culprit.plugin) write_note(culprit.plugin);
  }
  ::raise(signal);  // once this handler has returned
}

// Where the object that holds `code` lies; the program itself when it is null.
CodeRange range_of(const void* code) {
  struct Search {
    const void* code;
    CodeRange found;
  } search{code, {}};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        CodeRange range;
        range.begin = UINTPTR_MAX;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          if (part.p_type != PT_LOAD) continue;
          range.begin = std::min<uintptr_t>(range.begin, info->dlpi_addr + part.p_vaddr);
          range.end = std::max<uintptr_t>(range.end, info->dlpi_addr + part.p_vaddr + part.p_memsz);
        }
        if (wanted.code && !range.holds(wanted.code)) return 0;
        wanted.found = range;  // without code: the first is the program
        return 1;
      },
      &search);
  return search.found;
}

void set_text(char (&to)[kNameBytes], const std::string& text) {
  std::memset(to, 0, sizeof to);
  std::memcpy(to, text.data(), std::min(text.size(), sizeof to - 1));
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

std::vector<CrashNote> parse_crash_notes(std::string_view text) {
  std::vector<CrashNote> notes;
  for (std::istringstream lines{std::string(text)}; lines;) {
    std::string line;
    std::getline(lines, line);
    std::istringstream words(line);
    CrashNote note;
    std::string time;
    std::string more;
    if (!(words >> note.boot >> time >> note.plugin) || words >> more) continue;
    uint64_t ms = 0;
    const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), ms);
    if (error != std::errc() || end != time.data() + time.size() || ms > INT64_MAX) continue;
    note.since_boot = Millis(static_cast<int64_t>(ms));
    notes.push_back(std::move(note));
  }
  return notes;
}

int recent_crashes(const std::vector<CrashNote>& notes, const std::string& plugin,
                   const std::string& boot, Millis now) {
  return static_cast<int>(std::count_if(notes.begin(), notes.end(), [&](const CrashNote& note) {
    return note.plugin == plugin && note.boot == boot && note.since_boot <= now &&
           now - note.since_boot < kCrashWindow;
  }));
}

Result<std::unique_ptr<CrashNotes>> CrashNotes::open(const std::filesystem::path& dir) {
  const auto file = std::filesystem::absolute(dir) / "plugin-crashes";
  if (file.string().size() >= sizeof state.path)
    return Error{ErrorKind::kTransient, "the path of the spool is too long", {}};
  if (auto made = spool::make_directory(dir); !made) return std::move(made.error());
  return std::unique_ptr<CrashNotes>(new CrashNotes(file));
}

CrashNotes::CrashNotes(std::filesystem::path file)
    : file_(std::move(file)), notes_(parse_crash_notes(read_text(file_))) {
  std::memcpy(state.path, file_.c_str(), file_.native().size() + 1);  // open() checked that it fits
  set_text(state.boot, boot_id());
  state.program = range_of(nullptr);
  state.plugin_count = 0;
  void* frame = nullptr;
  (void)::backtrace(&frame, 1);  // the first call loads a library, which a handler must not
  state.active = true;
  struct sigaction action {};
  action.sa_sigaction = on_fatal;
  action.sa_flags = SA_SIGINFO;
  for (size_t i = 0; i < kFatal.size(); ++i) ::sigaction(kFatal[i], &action, &state.before[i]);
  // What is out of date only makes the file longer.
  const Millis now(static_cast<int64_t>(ms_since_boot()));
  const bool all_old = std::all_of(notes_.begin(), notes_.end(), [&](const CrashNote& note) {
    return recent_crashes({note}, note.plugin, state.boot, now) == 0;
  });
  std::error_code ignored;
  if (all_old) std::filesystem::remove(file_, ignored);
}

CrashNotes::~CrashNotes() {
  state.active = false;
  for (size_t i = 0; i < kFatal.size(); ++i) ::sigaction(kFatal[i], &state.before[i], nullptr);
}

std::optional<std::string> CrashNotes::left_out(const std::string& plugin) const {
  const int crashes =
      recent_crashes(notes_, plugin, state.boot, Millis(static_cast<int64_t>(ms_since_boot())));
  if (crashes < kCrashesToLeaveOut) return std::nullopt;
  return fmt::format(
      "plugin {} crashed the agent {} times in the last 10 minutes and is left out; its inputs "
      "collect nothing. It is loaded again when the agent is started after that time; to try at "
      "once, replace the plugin, remove {} and restart the agent",
      plugin, crashes, file_.string());
}

void CrashNotes::loading(const std::string& plugin) { set_text(state.loading, plugin); }

void CrashNotes::loaded(const std::string& plugin, const void* code) {
  std::memset(state.loading, 0, sizeof state.loading);
  const size_t count = state.plugin_count;
  if (!code || count == kMostPlugins) return;
  auto& range = state.plugins[count];
  range = range_of(code);
  set_text(range.name, plugin);
  state.plugin_count = count + 1;
}

}  // namespace penstock::host
