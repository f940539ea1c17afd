#include "agent/spool/offline_file.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "agent/spool/database.h"

namespace penstock::spool {
namespace {

constexpr std::string_view kFileMagic{"SQLite format 3\0", 16};
constexpr int kMaxDepth = 20;  // a tree of 4 KB pages over any file is flatter
constexpr char kRepair[] = "penstock spool repair brings back what is on its other pages";

uint32_t be32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

const char* name_of(FoundTable table) {
  switch (table) {
    case FoundTable::kEpoch:
      return "epoch";
    case FoundTable::kLane:
      return "lane_state";
    case FoundTable::kSegment:
      return "seg";
    case FoundTable::kQuarantine:
      return "quarantine";
    case FoundTable::kFate:
      return "fate";
    case FoundTable::kClock:
      return "clock";
  }
  return "";
}

}  // namespace

struct OfflineFile::Walk {
  const char* name;
  std::optional<FoundTable> table;  // none: an index, or the schema
  const std::function<void(uint32_t page, const LeafCell&, const std::vector<FieldValue>&,
                           uint32_t cell)>& take;
  std::vector<Finding>& findings;
  std::vector<bool> seen;
};

Result<OfflineFile> OfflineFile::open(const std::filesystem::path& file, uint32_t number) {
  auto database = bytes_of_file(file);
  if (!database) return std::move(database).error();
  OfflineFile out;
  out.file_ = file;
  out.number_ = number;
  out.file_bytes_ = database->size_bytes;
  std::optional<ByteSource> log;
  const std::filesystem::path log_file = file.string() + "-wal";
  std::error_code ignored;
  if (std::filesystem::exists(log_file, ignored)) {
    auto bytes = bytes_of_file(log_file);
    if (!bytes) return std::move(bytes).error();
    out.file_bytes_ += bytes->size_bytes;
    log = std::move(*bytes);
  }
  if (auto good = out.read_pages(std::move(*database), std::move(log)); !good)
    return std::move(good).error();
  return out;
}

Result<OfflineFile> OfflineFile::open_log(const std::filesystem::path& log, uint32_t number) {
  auto bytes = bytes_of_file(log);
  if (!bytes) return std::move(bytes).error();
  OfflineFile out;
  out.file_ = log;
  out.number_ = number;
  out.file_bytes_ = bytes->size_bytes;
  if (auto good = out.read_pages(bytes_in_memory({}), std::move(*bytes)); !good)
    return std::move(good).error();
  if (out.is_empty_ && out.image_->has_frames()) {  // it was retired when the agent stopped
    out.is_empty_ = false;
    out.schema_findings_.push_back(
        out.finding({}, "nothing in it counts without its database", kRepair));
  }
  return out;
}

Result<void> OfflineFile::read_pages(ByteSource database, std::optional<ByteSource> log) {
  image_ = std::make_shared<const PageImage>(std::move(database), std::move(log));
  if (auto good = read_header(); !good) return good;
  read_schema();
  return check_format();
}

Finding OfflineFile::finding(std::optional<uint32_t> page, std::string what,
                             std::string advice) const {
  return {file_, page, {}, {}, std::move(what), std::move(advice)};
}

Result<void> OfflineFile::read_header() {
  std::string page;
  is_empty_ = image_->page_count() == 0;
  if (is_empty_) return {};
  if (!image_->read({PageFrom::kCommitted, 1}, page)) {
    schema_findings_.push_back(finding(1, "the first page cannot be read", kRepair));
    return {};
  }
  // Space allocated beforehand, or a file whose first commit never came.
  if (std::all_of(page.begin(), page.end(), [](char c) { return c == '\0'; }) &&
      image_->page_count() == 1) {
    is_empty_ = true;
    return {};
  }
  const bool sized = page.substr(16, 2) == std::string("\x10\0", 2) && page[20] == 0;
  if (!page.starts_with(kFileMagic) || !sized) {
    schema_findings_.push_back(
        finding(1, "the first page is destroyed, or this never was a spool", kRepair));
    return {};
  }
  const uint32_t application = be32(page, 68);
  format_ = be32(page, 60);
  if (application == 0 && format_ == 0 && cell_count(page, true) == 0) {
    is_empty_ = true;  // made, and cut off before its tables came
    return {};
  }
  if (application != kApplicationId) {
    return Error{ErrorKind::kDenied,
                 file_.string() + " is a database, but not a spool's: move it out of the directory",
                 {}};
  }
  first_page_good_ = true;
  note_broken_log(page);
  return {};
}

// A log that ends too early is no damage to SQLite: it takes the older pages before the end, and
// stumbles at most when they make the database smaller than its first page says.
void OfflineFile::note_broken_log(std::string_view first_page) {
  if (const uint32_t commits = image_->unreached_commits(); commits > 0) {
    schema_findings_.push_back(finding(
        {},
        fmt::format("its log is broken behind frame {}: {} or more commits after that are out of "
                    "reach",
                    image_->committed_frames(), commits),
        "penstock spool repair, before the agent starts, gets out of it what can be had"));
  }
  const uint32_t has = image_->database_pages();
  const uint32_t wanted = be32(first_page, 28);
  // Of a version of SQLite that did not keep the number, it means nothing.
  if (be32(first_page, 24) != be32(first_page, 92) || wanted <= has) return;
  schema_findings_.push_back(
      finding(1,
              fmt::format("{} pages are missing: it counts {}, and ends after {}", wanted - has,
                          wanted, has),
              kRepair));
}

// sqlite_schema: (type, name, tbl_name, rootpage, sql), rooted in page 1.
void OfflineFile::read_schema() {
  if (!first_page_good_) return;
  const std::function take = [this](uint32_t, const LeafCell&,
                                    const std::vector<FieldValue>& values, uint32_t) {
    if (values.size() < 4 || values[3].kind != FieldValue::Kind::kInteger) return;
    roots_.push_back({std::string(values[1].bytes), values[0].bytes == "index",
                      static_cast<uint32_t>(values[3].integer)});
    if (values.size() > 4 && !values[4].bytes.empty()) schema_texts_.emplace_back(values[4].bytes);
  };
  Walk all{"sqlite_schema", {}, take, schema_findings_, {}};
  walk(all, 1, 0);
}

Result<void> OfflineFile::check_format() {
  if (!first_page_good_ || format_ == kSchemaVersion) return {};
  if (is_own_schema(schema_texts_)) {
    schema_findings_.push_back(
        finding(1,
                fmt::format("it says that it is in format {}, but its tables are those of format "
                            "{}: its header is damaged",
                            format_, kSchemaVersion),
                kRepair));
    format_ = kSchemaVersion;
    return {};
  }
  if (format_ < kSchemaVersion) return {};
  return Error{ErrorKind::kRejected,
               fmt::format("{} is written in format {}, this penstock knows formats up to {}; use "
                           "the version that wrote it",
                           file_.string(), format_, kSchemaVersion),
               {}};
}

const OfflineFile::Root* OfflineFile::root_of(FoundTable table) const {
  const auto found = std::find_if(roots_.begin(), roots_.end(), [table](const Root& root) {
    return root.name == name_of(table);
  });
  return found == roots_.end() ? nullptr : &*found;
}

bool OfflineFile::rows(FoundTable table, const Take& take, std::vector<Finding>& findings) const {
  if (is_empty_) return true;
  if (table == FoundTable::kEpoch)  // once, with the first table that is asked for
    findings.insert(findings.end(), schema_findings_.begin(), schema_findings_.end());
  const Root* root = root_of(table);
  if (root == nullptr) {
    if (first_page_good_)
      findings.push_back(finding(1, fmt::format("table {} is gone", name_of(table)), kRepair));
    return false;
  }
  const std::function row = [&](uint32_t page, const LeafCell& cell,
                                const std::vector<FieldValue>& values, uint32_t index) {
    if (auto found = row_of(table, cell.rowid, values)) {
      take({{PageFrom::kCommitted, page}, index}, std::move(*found));
    } else {
      findings.push_back(finding(
          page, fmt::format("a row of {} holds impossible values", name_of(table)), kRepair));
    }
  };
  Walk all{name_of(table), table, row, findings, {}};
  walk(all, root->page, 0);
  return true;
}

void OfflineFile::walk(Walk& walk, uint32_t page, int depth) const {
  std::string bytes;
  const auto broken = [&](const std::string& what) {
    walk.findings.push_back(finding(
        page,
        fmt::format("{} of {}: what is below or behind it cannot be reached", what, walk.name),
        kRepair));
  };
  if (walk.seen.empty()) walk.seen.resize(size_t{image_->page_count()} + 1);
  if (page == 0 || page > image_->page_count() || walk.seen[page] || depth > kMaxDepth)
    return broken("wrong page number in the tree");
  walk.seen[page] = true;
  if (!image_->read({PageFrom::kCommitted, page}, bytes)) return broken("unreadable page");
  switch (page_kind(bytes, page == 1)) {
    case PageKind::kTableInterior:
    case PageKind::kIndexInterior:
      for (const uint32_t child : children(bytes, page == 1)) this->walk(walk, child, depth + 1);
      return;
    case PageKind::kTableLeaf:
      return leaf_rows(walk, page);
    case PageKind::kIndexLeaf:
      return;
    case PageKind::kOther:
      return broken("destroyed page");
  }
}

void OfflineFile::leaf_rows(Walk& walk, uint32_t page) const {
  std::string bytes;
  if (!image_->read({PageFrom::kCommitted, page}, bytes)) return;
  const uint32_t count = cell_count(bytes, page == 1);
  for (uint32_t i = 0; i < count; ++i) {
    const auto cell = leaf_cell(bytes, page == 1, i);
    const auto values = cell ? record_values(cell->local, cell->size_bytes) : std::nullopt;
    if (values) {
      walk.take(page, *cell, *values, i);
    } else {
      walk.findings.push_back(
          finding(page, fmt::format("row {} of {} on it is not one", i, walk.name), kRepair));
    }
  }
}

void OfflineFile::check_structure(std::vector<Finding>& findings) const {
  if (is_empty_ || !first_page_good_) return;
  const std::function nothing = [](uint32_t, const LeafCell&, const std::vector<FieldValue>&,
                                   uint32_t) {};
  for (const auto& root : roots_) {
    if (!root.is_index) continue;
    Walk all{root.name.c_str(), {}, nothing, findings, {}};
    walk(all, root.page, 0);
  }
  check_free_pages(findings);
}

// The header names the first trunk page and how many pages are free; each trunk names the next and
// its leaves.
void OfflineFile::check_free_pages(std::vector<Finding>& findings) const {
  std::string page;
  if (!image_->read({PageFrom::kCommitted, 1}, page)) return;
  const uint64_t wanted = be32(page, 36);
  uint64_t counted = 0;
  uint32_t trunk = be32(page, 32);
  while (trunk != 0 && counted <= wanted) {
    const uint32_t at = trunk;
    const bool readable =
        trunk <= image_->page_count() && image_->read({PageFrom::kCommitted, trunk}, page);
    const uint32_t leaves = readable ? be32(page, 4) : 0;
    if (!readable || leaves > 1022) {
      findings.push_back(finding(at, "the list of free pages is broken: the agent cannot write",
                                 "penstock spool repair makes a file that can be written"));
      return;
    }
    counted += 1 + leaves;
    trunk = be32(page, 0);
  }
  if (counted != wanted) {
    findings.push_back(
        finding({}, fmt::format("{} free pages are listed, {} are counted", counted, wanted),
                "penstock spool repair makes a file that can be written"));
  }
}

}  // namespace penstock::spool
