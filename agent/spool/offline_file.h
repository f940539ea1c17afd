// One database file of a spool, read without SQLite: is it ours, and the rows of its tables by way
// of their trees. Where a tree is broken the rest of it is read all the same and the break noted.
//
// Nothing is written. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/page_carver.h"

namespace penstock::spool {

// Something wrong with a spool: where, what, and what to do about it.
struct Finding {
  std::filesystem::path file;
  std::optional<uint32_t> page;
  std::optional<LaneId> lane;
  SeqRange records;  // of `lane`; empty: not about particular ones
  std::string what;
  std::string advice;
};

class OfflineFile {
 public:
  // kDenied: the file cannot be opened or is a database of someone else's; kRejected: it is in a
  // newer format. A damaged file is no error, nor is a version that its tables give the lie.
  static Result<OfflineFile> open(const std::filesystem::path& file, uint32_t number);

  // The log of a database that is gone.
  static Result<OfflineFile> open_log(const std::filesystem::path& log, uint32_t number);

  uint32_t number() const { return number_; }
  const std::filesystem::path& file() const { return file_; }
  const PageImage& image() const { return *image_; }
  uint64_t file_bytes() const { return file_bytes_; }  // with the log
  int64_t format() const { return format_; }           // 0: unknown or still empty

  using Take = std::function<void(const RowPlace&, FoundRow&&)>;
  // The rows of `table` in key order. What cannot be read is added to `findings`. False when there
  // is no way to the table at all.
  bool rows(FoundTable table, const Take& take, std::vector<Finding>& findings) const;

  // Follows the trees of the indexes and the list of free pages.
  void check_structure(std::vector<Finding>& findings) const;

  Finding finding(std::optional<uint32_t> page, std::string what, std::string advice) const;

 private:
  struct Root {
    std::string name;
    bool is_index = false;
    uint32_t page = 0;
  };
  struct Walk;
  OfflineFile() = default;
  Result<void> read_pages(ByteSource database, std::optional<ByteSource> log);
  Result<void> read_header();
  void note_broken_log(std::string_view first_page);
  void read_schema();
  Result<void> check_format();
  const Root* root_of(FoundTable table) const;
  void walk(Walk& walk, uint32_t page, int depth) const;
  void leaf_rows(Walk& walk, uint32_t page) const;
  void check_free_pages(std::vector<Finding>& findings) const;

  std::filesystem::path file_;
  uint32_t number_ = 0;
  std::shared_ptr<const PageImage> image_;
  uint64_t file_bytes_ = 0;
  int64_t format_ = 0;
  bool first_page_good_ = false;
  bool is_empty_ = false;
  std::vector<Root> roots_;
  std::vector<std::string> schema_texts_;
  std::vector<Finding> schema_findings_;
};

}  // namespace penstock::spool
