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
constexpr char kLostSuffix[] = ".db-wal.lost";
constexpr char kPagesSuffix[] = ".damaged.db";
constexpr char kParked[] = "parked";
constexpr char kGoneBack[] = "gone back";
constexpr char kMarkHeading[] = "; lane and first number given out again:";

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
  const bool is_there = fs::exists(from, failed);
  if (!failed && !is_there) return {};
  if (!failed) fs::rename(from, to, failed);
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

// A frame of the log: 24 bytes and a page. What matters is on pages behind the schema (1) and the
// pointer map (2); an empty table is a leaf without cells.
bool log_has_rows(const fs::path& log) {
  constexpr std::streamoff kHeaderBytes = 32;
  constexpr size_t kFrameHeaderBytes = 24;
  constexpr unsigned char kLeafPages[] = {0x0D, 0x0A};
  std::ifstream in(log, std::ios::binary);
  in.seekg(kHeaderBytes);
  std::string frame(kFrameHeaderBytes + static_cast<size_t>(kPageBytes), '\0');
  while (in.read(frame.data(), static_cast<std::streamsize>(frame.size()))) {
    const auto byte = [&frame](size_t at) { return static_cast<unsigned char>(frame[at]); };
    const unsigned page = byte(0) << 24U | byte(1) << 16U | byte(2) << 8U | byte(3);
    if (page <= 2) continue;
    const unsigned char kind = byte(kFrameHeaderBytes);
    const bool is_leaf = kind == kLeafPages[0] || kind == kLeafPages[1];
    if (!is_leaf || byte(kFrameHeaderBytes + 3) != 0 || byte(kFrameHeaderBytes + 4) != 0)
      return true;
  }
  return false;
}

Result<fs::path> set_log_aside(const fs::path& dir, uint32_t number) {
  const fs::path from = log_of(generation_file(dir, number));
  const fs::path to = dir / (std::to_string(number) + kLostSuffix);
  if (auto done = rename_and_sync(from, to); !done) return std::move(done).error();
  return to;
}

std::map<uint32_t, fs::path> list_lost_logs(const fs::path& dir) {
  std::map<uint32_t, fs::path> logs;
  std::error_code failed;
  for (fs::directory_iterator it(dir, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (const auto lost = number_before(name, kLostSuffix)) logs[*lost] = it->path();
    const auto lone = number_before(name, ".db-wal");
    std::error_code ignored;
    if (lone && !fs::exists(generation_file(dir, *lone), ignored)) logs.emplace(*lone, it->path());
  }
  return logs;
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

Result<void> write_parked_mark(const fs::path& dir, uint32_t number, ParkedMark mark) {
  if (auto known = read_parked_mark(dir, number)) {
    if (known->has_gone_back || !mark.has_gone_back) return {};
    mark.ends = std::move(known->ends);
  }
  std::string text = std::string(mark.has_gone_back ? kGoneBack : kParked) + kMarkHeading + "\n";
  for (const auto& [lane, seq] : mark.ends)
    text += std::to_string(lane) + " " + std::to_string(seq) + "\n";
  return write_whole_file(mark_of(dir, number), text, 0640);
}

std::optional<ParkedMark> read_parked_mark(const fs::path& dir, uint32_t number) {
  std::ifstream in(mark_of(dir, number));
  if (!in) return std::nullopt;
  ParkedMark mark;
  std::string heading;
  std::getline(in, heading);
  mark.has_gone_back = heading.starts_with(kGoneBack);
  LaneId lane = 0;
  Seq seq = 0;
  while (in >> lane >> seq) mark.ends[lane] = seq;
  return mark;
}

}  // namespace penstock::spool
