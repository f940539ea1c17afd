// penstock spool repair.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/ownership.h"
#include "agent/cli/human.h"
#include "agent/cli/spool_command.h"
#include "agent/cli/spool_report.h"
#include "agent/spool/offline_check.h"
#include "agent/spool/offline_repair.h"
#include "agent/spool/repair_places.h"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

fs::path without_slash(const fs::path& dir) {
  const fs::path whole = fs::absolute(dir).lexically_normal();
  return whole.filename().empty() ? whole.parent_path() : whole;
}

// The agent's user must be able to use what root has made.
void hand_over(const fs::path& dir, const fs::path& made) {
  struct stat info {};
  if (stat(dir.c_str(), &info) != 0) return;
  const bool is_given = give_to_owner_of(dir, made);
  if (chmod(made.c_str(), info.st_mode & 07777) != 0 || !is_given)
    std::fprintf(stderr, "%s: owner and mode could not be set to those of %s\n", made.c_str(),
                 dir.c_str());
}

// What else the agent keeps in its directory: what its inputs know of their brokers, tables as they
// were last, plugins that crashed. Without it the spool is complete; so this only warns.
void copy_notes(const fs::path& dir, const fs::path& made) {
  constexpr auto kHow = fs::copy_options::recursive | fs::copy_options::copy_symlinks;
  for (const char* name : {"inputs", "schemas", "plugin-crashes"}) {
    std::error_code error;
    if (!fs::exists(dir / name, error)) continue;
    fs::copy(dir / name, made / name, kHow, error);
    if (error)
      std::fprintf(stderr, "%s is not all in the repaired spool: %s\n", (dir / name).c_str(),
                   error.message().c_str());
  }
  const int fd = open(made.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  if (syncfs(fd) != 0)
    std::fprintf(stderr, "%s: not synced: %s\n", made.c_str(), std::strerror(errno));
  close(fd);
}

void print_account(const spool::RepairAccount& account) {
  for (const auto& finding : account.findings)
    std::printf("%s\n", to_text({finding.file, finding.page, finding.lane, finding.records,
                                 finding.what, ""})
                            .c_str());
  for (const auto& file : account.left_out)
    std::printf("%s; what it holds is not in the repaired spool\n", file.what.c_str());
  std::printf("\n");
  for (const auto& file : account.files) {
    std::printf("%s: %s by its tables", file.file.filename().c_str(),
                counted(file.from_tables, "sound segment").c_str());
    if (file.unsound > 0) std::printf(", %s unsound", grouped(file.unsound).c_str());
    if (file.was_carved)
      std::printf(", %s on %s read one by one (%s unreadable)", grouped(file.carved).c_str(),
                  counted(file.pages.pages, "page").c_str(),
                  grouped(file.pages.unreadable_pages).c_str());
    std::printf("\n");
  }
  for (const auto& lane : account.lanes) {
    std::printf("lane %u  %s -> %s%s\n    %s kept", lane.id, lane.key.route.c_str(),
                lane.key.table.c_str(),
                lane.was_known ? "" : "  (its row was lost: route and table are made up)",
                counted(lane.kept, "waiting record").c_str());
    if (lane.quarantined > 0) std::printf(", %s in quarantine", grouped(lane.quarantined).c_str());
    if (lane.passed > 0)
      std::printf(", %s delivered before and left out", grouped(lane.passed).c_str());
    uint64_t lost = 0;
    for (const auto& range : lane.lost) lost += range.size();
    if (lost > 0) std::printf(", %s LOST:", grouped(lost).c_str());
    for (size_t i = 0; i < lane.lost.size() && i < 8; ++i)
      std::printf(" %llu..%llu", static_cast<unsigned long long>(lane.lost[i].first),
                  static_cast<unsigned long long>(lane.lost[i].last));
    std::printf("%s\n", lane.lost.size() > 8 ? " ..." : "");
  }
}

bool lost_any(const spool::RepairAccount& account) {
  return !account.left_out.empty() ||
         std::any_of(account.lanes.begin(), account.lanes.end(),
                     [](const auto& lane) { return !lane.lost.empty() || !lane.was_known; });
}

}  // namespace

int spool_repair(const SpoolArguments& arguments) {
  const fs::path dir = without_slash(arguments.dir);
  auto lock = spool::LockFile::take_existing(dir / "LOCK");
  if (!lock) return report(lock.error());
  {
    auto spool = spool::OfflineSpool::open_locked(dir);
    if (!spool) return report(spool.error());
    spool::CheckCounts counts;
    if (spool::check_spool(*spool, counts).empty()) {
      std::printf("%s is sound: nothing to repair\n", dir.c_str());
      return kExitFine;
    }
  }
  const bool in_place = arguments.into.empty();
  const fs::path made = in_place ? spool::repairing_place(dir) : without_slash(arguments.into);
  auto account = spool::repair_spool(dir, made, Log::to_stderr(LogLevel::kWarning));
  if (!account) {
    Error error = std::move(account).error();
    std::error_code ignored;
    if (in_place && fs::exists(made / "LOCK", ignored)) {
      error.what += fmt::format(
          "; if no other repair is running, {} is what an interrupted one has left: remove it and "
          "repair again (where that was cut off at its very end, it is the damaged spool of "
          "before)",
          made.string());
    }
    if (in_place) error.what += "; --into NEWDIR makes the repaired spool elsewhere";
    return report(error);
  }
  copy_notes(dir, made);
  hand_over(dir, made);
  print_account(*account);
  if (in_place) {
    const fs::path damaged = spool::damaged_place(dir);
    if (auto done = spool::change_places(dir, made, damaged); !done) return report(done.error());
    std::printf("%s is repaired; the damaged files are in %s\n", dir.c_str(), damaged.c_str());
  } else {
    std::printf("the repaired spool is %s; %s is as it was\n", made.c_str(), dir.c_str());
  }
  return flush_output() && !lost_any(*account) ? kExitFine : kExitWrong;
}

}  // namespace penstock::cli
