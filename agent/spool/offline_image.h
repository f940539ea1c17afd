// The pages of a spool's database as they lie in its files, read without SQLite: the database, the
// write-ahead log, and what is committed when the two are put together.
//
// For tools that must neither write to a spool nor stumble over damage. Only reads, through byte
// sources, so a failing card gives unreadable pages and not a signal. The layout of both files is
// SQLite's documented file format (sqlite.org/fileformat2.html). One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/result.h"

namespace penstock::spool {

// Bytes somewhere: read(at, size, out) fills out[0..size) and is false when that cannot be read.
struct ByteSource {
  uint64_t size_bytes = 0;
  std::function<bool(uint64_t at, size_t size, char* out)> read;
};

ByteSource bytes_in_memory(std::string bytes);
// kDenied with the reason when the file cannot be opened. The file stays open as long as the
// source.
Result<ByteSource> bytes_of_file(const std::filesystem::path& file);

// How many commits are lost behind the end of a log, at least: PageImage::unreached_commits(). 0
// when it cannot be read, or has been retired.
uint32_t commits_behind_log(const std::filesystem::path& log);

// Where a page is to be looked for.
enum class PageFrom : uint8_t {
  kCommitted,  // its newest committed form: in the log, else in the database
  kDatabase,   // the database file alone
  kAnyFrame,   // the last form in the log, committed or not, else the database
  kFrame,      // the number is that of a frame in the log, from 0
};

struct PageRef {
  PageFrom from = PageFrom::kCommitted;
  uint32_t number = 0;  // pages count from 1
};

class PageImage {
 public:
  PageImage(ByteSource database, std::optional<ByteSource> log);

  // Pages in the database file and the committed log, the greater.
  uint32_t page_count() const { return page_count_; }
  uint32_t frame_count() const { return static_cast<uint32_t>(frame_page_.size()); }
  // Are there frames in the log, whether they count or not?
  bool has_frames() const { return !any_.empty(); }
  uint32_t committed_frames() const { return committed_frames_; }
  // As SQLite takes it: what the last commit in the log says, else what the database file has.
  uint32_t database_pages() const { return database_pages_; }
  // Commits behind the end of the log, of its own life, one after the other: it ends too early. One
  // may be there after a power cut, before it was acknowledged, and does not count.
  uint32_t unreached_commits() const { return unreached_commits_; }
  bool is_overlaid(uint32_t page) const { return committed_.contains(page); }
  bool is_committed_frame(uint32_t frame) const;

  // Fills `out` with the kPageBytes of the page; false when it is not there or unreadable.
  bool read(PageRef ref, std::string& out) const;

 private:
  void scan_log();
  bool read_frame(uint32_t frame, std::string& out) const;

  ByteSource database_;
  std::optional<ByteSource> log_;
  uint32_t page_count_ = 0;
  uint32_t committed_frames_ = 0;
  uint32_t database_pages_ = 0;
  uint32_t unreached_commits_ = 0;
  std::vector<uint32_t> frame_page_;                  // by frame, the page it claims to be
  std::unordered_map<uint32_t, uint32_t> committed_;  // page -> frame
  std::unordered_map<uint32_t, uint32_t> any_;
};

}  // namespace penstock::spool
