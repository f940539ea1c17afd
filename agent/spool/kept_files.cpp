#include "agent/spool/kept_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "agent/base/whole_file.h"
#include "agent/spool/database.h"
#include "agent/spool/directory.h"

namespace penstock::spool {
namespace {

namespace fs = std::filesystem;

constexpr char kRecordsSuffix[] = ".kept.db";
constexpr char kPagesSuffix[] = ".damaged.db";

const char* suffix_of(KeptFor why) {
  return why == KeptFor::kRecords ? kRecordsSuffix : kPagesSuffix;
}

fs::path log_of(const fs::path& database) { return fs::path(database) += "-wal"; }

fs::path mark_of(const fs::path& dir, uint32_t number) {
  return generation_file(dir, number) += ".parked";
}

std::optional<uint32_t> number_before(const std::string& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  uint32_t number = 0;
  const char* end = name.data() + (name.size() - suffix.size());
  const auto [rest, failed] = std::from_chars(name.data(), end, number);
  const bool good = failed == std::errc() && rest == end && number > 0 && name[0] != '0';
  return good ? std::optional(number) : std::nullopt;
}

Result<void> rename_and_sync(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  if (!fs::exists(from, failed)) return {};
  fs::rename(from, to, failed);
  if (failed) {
    return Error{
        ErrorKind::kDenied,
        from.string() + " cannot be renamed to " + to.filename().string() + ": " + failed.message(),
        {}};
  }
  return sync_directory(from.parent_path());
}

}  // namespace

fs::path kept_file(const fs::path& dir, const KeptFile& kept) {
  return dir / (std::to_string(kept.number) + suffix_of(kept.why));
}

uint64_t kept_bytes(const fs::path& dir, const KeptFile& kept) {
  uint64_t bytes = 0;
  const fs::path database = kept_file(dir, kept);
  for (const auto& file : {database, log_of(database)}) {
    std::error_code failed;
    const auto size = fs::file_size(file, failed);
    if (!failed) bytes += size;
  }
  return bytes;
}

std::vector<KeptFile> list_kept(const fs::path& dir) {
  std::vector<KeptFile> kept;
  std::error_code failed;
  for (fs::directory_iterator it(dir, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    for (const auto why : {KeptFor::kRecords, KeptFor::kPages}) {
      if (const auto number = number_before(name, suffix_of(why))) kept.push_back({*number, why});
    }
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

Result<void> keep_generation(const fs::path& dir, const KeptFile& kept) {
  const fs::path from = generation_file(dir, kept.number);
  const fs::path to = kept_file(dir, kept);
  if (auto done = rename_and_sync(from, to); !done) return done;
  return rename_and_sync(log_of(from), log_of(to));
}

Result<void> finish_keeping(const fs::path& dir) {
  for (const auto& kept : list_kept(dir)) {
    std::error_code failed;
    if (fs::exists(fs::symlink_status(generation_file(dir, kept.number), failed))) continue;
    if (auto done = keep_generation(dir, kept); !done) return done;
  }
  return {};
}

Result<void> remove_kept(const fs::path& dir, const KeptFile& kept) {
  const fs::path database = kept_file(dir, kept);
  for (const auto& file : {database, log_of(database), mark_of(dir, kept.number)}) {
    std::error_code failed;
    fs::remove(file, failed);
    if (failed) {
      return Error{
          ErrorKind::kDenied, file.string() + " cannot be removed: " + failed.message(), {}};
    }
  }
  return sync_directory(dir);
}

Result<void> write_parked_mark(const fs::path& dir, uint32_t number, const ParkedEnds& ends) {
  const fs::path file = mark_of(dir, number);
  std::error_code failed;
  if (fs::exists(file, failed)) return {};
  std::string text = "parked; lane and first number given out again:\n";
  for (const auto& [lane, seq] : ends)
    text += std::to_string(lane) + " " + std::to_string(seq) + "\n";
  return write_whole_file(file, text, 0640);
}

std::optional<ParkedEnds> read_parked_mark(const fs::path& dir, uint32_t number) {
  std::ifstream in(mark_of(dir, number));
  if (!in) return std::nullopt;
  ParkedEnds ends;
  std::string heading;
  std::getline(in, heading);
  LaneId lane = 0;
  Seq seq = 0;
  while (in >> lane >> seq) ends[lane] = seq;
  return ends;
}

}  // namespace penstock::spool
