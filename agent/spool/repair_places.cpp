#include "agent/spool/repair_places.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>

#include "agent/spool/directory.h"

namespace penstock::spool {
namespace {

namespace fs = std::filesystem;

constexpr char kRepairing[] = ".repairing";
constexpr char kBefore[] = ".before-repair";

fs::path damaged_place(const fs::path& dir, int number) {
  fs::path place = dir;
  place += kBefore;
  if (number > 1) place += "-" + std::to_string(number);
  return place;
}

// Databases and logs of generations, whatever has become of them.
bool holds_files(const fs::path& dir) {
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().find(".db") != std::string::npos) return true;
  }
  return false;
}

fs::path without_slash(const fs::path& dir) {
  const fs::path whole = fs::absolute(dir).lexically_normal();
  return whole.filename().empty() ? whole.parent_path() : whole;
}

Error not_renamed(const fs::path& from, const fs::path& to, const std::string& rest) {
  return {ErrorKind::kTransient,
          fmt::format("{} cannot be renamed to {}: {}; {}", from.string(), to.string(),
                      std::strerror(errno), rest),
          {}};
}

}  // namespace

fs::path repairing_place(const fs::path& dir) { return fs::path(dir) += kRepairing; }

fs::path damaged_place(const fs::path& dir) {
  std::error_code ignored;
  int number = 1;
  while (fs::exists(damaged_place(dir, number), ignored)) ++number;
  return damaged_place(dir, number);
}

RenameCalls rename_calls() {
  return {[](const char* from, const char* to) {
            return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
          },
          [](const char* from, const char* to) { return std::rename(from, to); }};
}

Result<void> change_places(const fs::path& dir, const fs::path& made, const fs::path& damaged,
                           const RenameCalls& calls) {
  const std::string repaired_is = "the repaired spool is in ";
  if (calls.exchange(made.c_str(), dir.c_str()) == 0) {
    if (calls.rename(made.c_str(), damaged.c_str()) != 0)
      return not_renamed(made, damaged, repaired_is + dir.string() + ", the damaged one there");
    return sync_directory(dir.parent_path());
  }
  if (errno != EINVAL && errno != ENOSYS)
    return not_renamed(made, dir, repaired_is + made.string());
  if (calls.rename(dir.c_str(), damaged.c_str()) != 0)
    return not_renamed(dir, damaged, repaired_is + made.string());
  if (calls.rename(made.c_str(), dir.c_str()) != 0)
    return not_renamed(made, dir, repaired_is + made.string());
  return sync_directory(dir.parent_path());
}

Result<void> check_repair_ended(const fs::path& dir) {
  if (holds_files(dir)) return {};
  const fs::path place = without_slash(dir);
  const fs::path made = repairing_place(place);
  int number = 1;
  while (holds_files(damaged_place(place, number + 1))) ++number;
  const fs::path damaged = damaged_place(place, number);
  const bool has_made = holds_files(made);
  const bool has_damaged = holds_files(damaged);
  if (!has_made && !has_damaged) return {};
  const std::string name = place.string();
  std::error_code ignored;
  const std::string to =
      (fs::exists(place, ignored) ? ", once the empty one is removed, to " : " to ") + name;
  std::string what;
  if (has_made && has_damaged) {
    what = fmt::format(
        "penstock spool repair was interrupted when it was all but done. Rename {}{}: it is the "
        "repaired spool; what was there before is in {}",
        made.string(), to, damaged.string());
  } else if (has_damaged) {
    what = fmt::format(
        "{} is what penstock spool repair has put aside. Rename it{} and repair again; or give "
        "it another name, to begin with an empty spool",
        damaged.string(), to);
  } else {
    what = fmt::format(
        "{} is what an interrupted penstock spool repair has made so far. Put {} back and repair "
        "again; or remove what was made, to begin with an empty spool",
        made.string(), name);
  }
  return Error{ErrorKind::kDenied, fmt::format("{} holds no spool: {}", name, what), {}};
}

}  // namespace penstock::spool
