#include "agent/spool/generation.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <set>

#include "agent/spool/database.h"
#include "agent/spool/directory.h"

namespace penstock::spool {
namespace {

namespace fs = std::filesystem;

// The number in "<n>.db" or "<n>.db-wal".
std::optional<uint32_t> number_of(const std::string& name, const std::string& suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  const char* end = name.data() + (name.size() - suffix.size());
  uint32_t number = 0;
  const auto [rest, failed] = std::from_chars(name.data(), end, number);
  const bool good = failed == std::errc() && rest == end && number > 0 && name[0] != '0';
  return good ? std::optional(number) : std::nullopt;
}

Error cannot(const std::string& what, const fs::path& file, const std::error_code& why) {
  return {ErrorKind::kDenied, file.string() + " cannot be " + what + ": " + why.message(), {}};
}

struct Files {
  std::set<uint32_t> databases;
  std::set<uint32_t> logs;
};

Result<Files> list_files(const fs::path& dir) {
  Files files;
  std::error_code failed;
  for (fs::directory_iterator it(dir, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (const auto number = number_of(name, ".db")) files.databases.insert(*number);
    if (const auto number = number_of(name, ".db-wal")) files.logs.insert(*number);
  }
  if (failed) return cannot("listed", dir, failed);
  return files;
}

}  // namespace

Result<std::vector<uint32_t>> list_generations(const fs::path& dir) {
  auto files = list_files(dir);
  if (!files) return std::move(files).error();
  return std::vector<uint32_t>(files->databases.begin(), files->databases.end());
}

Result<std::vector<uint32_t>> list_lone_logs(const fs::path& dir) {
  auto files = list_files(dir);
  if (!files) return std::move(files).error();
  std::vector<uint32_t> lone;
  std::set_difference(files->logs.begin(), files->logs.end(), files->databases.begin(),
                      files->databases.end(), std::back_inserter(lone));
  return lone;
}

uint64_t generation_bytes(const fs::path& dir, uint32_t number) {
  uint64_t bytes = 0;
  for (const char* suffix : {"", "-wal"}) {
    std::error_code failed;
    const auto size = fs::file_size(generation_file(dir, number) += suffix, failed);
    if (!failed) bytes += size;
  }
  return bytes;
}

Result<void> remove_generation(const fs::path& dir, uint32_t number) {
  for (const char* suffix : {"", "-wal", "-journal", ".parked"}) {
    const fs::path file = generation_file(dir, number) += suffix;
    std::error_code failed;
    fs::remove(file, failed);
    if (failed) return cannot("removed", file, failed);
  }
  return sync_directory(dir);
}

Result<void> make_spare(const fs::path& dir, uint32_t number, const Sizing& sizing,
                        const Log& log) {
  if (auto gone = remove_generation(dir, number); !gone) return gone;
  Result<void> made;
  {
    auto db = open_database(generation_file(dir, number), sizing, log);
    if (db) {
      db->checkpoint_on_close(true);
    } else {
      made = std::move(db).error();
    }
  }
  if (!made) (void)remove_generation(dir, number);
  return made;
}

}  // namespace penstock::spool
