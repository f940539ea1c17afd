// How much room a transaction needs in the database file, and how the file gets it: before the
// commit, in chunks.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>

#include <sqlite3.h>

#include "agent/spool/store.h"

namespace penstock::spool {
namespace {

// Pages of a row with a blob of this size: overflow pages hold 4 bytes less, the row itself and its
// share of tree and pointer-map pages are rounded up.
int64_t pages_of(uint64_t bytes) { return static_cast<int64_t>(bytes / (kPageBytes - 4)) + 2; }

bool is_full(int system_errno) {
  return system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG;
}

}  // namespace

int64_t Store::pages_for(const Transaction& transaction) {
  int64_t pages = 0;
  for (const auto& row : transaction.segments) pages += pages_of(row.stored.size());
  for (const auto& row : transaction.quarantine)
    pages += pages_of(row.record.size() + row.reason.size());
  for (const auto& row : transaction.index_rows)
    pages += static_cast<int64_t>(row.entries.size() / 1024) + 1;
  return pages;
}

bool Store::fits(const Transaction& transaction, uint64_t freed_bytes) const {
  const int64_t pages = live_pages_ - static_cast<int64_t>(freed_bytes / kPageBytes);
  return pages + pages_for(transaction) <= sizing_.insert_pages;
}

// Of the file, for `pages` more in it.
int64_t Store::wanted_pages(int64_t pages) const {
  pages += 16 + (16 + pages) / 128;  // tree and pointer map
  const int64_t free_pages = page_count_ - live_pages_;
  return std::min(page_count_ + std::max<int64_t>(0, pages - free_pages),
                  std::max(sizing_.max_pages, page_count_));
}

sqlite3_file* Store::database_file() const {
  sqlite3_file* file = nullptr;
  const int code =
      sqlite3_file_control(handle(), "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file));
  return code == SQLITE_OK && file != nullptr && file->pMethods != nullptr ? file : nullptr;
}

// 0: it cannot be told.
int64_t Store::file_bytes() const {
  sqlite3_file* file = database_file();
  sqlite3_int64 size = 0;
  if (file == nullptr || file->pMethods->xFileSize(file, &size) != SQLITE_OK) return 0;
  return size;
}

uint64_t Store::growth_to(int64_t wanted_pages) const {
  const int64_t has = file_bytes();
  if (wanted_pages <= allocated_pages_ || wanted_pages * kPageBytes <= has || has == 0) return 0;
  const int64_t wants =
      (wanted_pages * kPageBytes + chunk_bytes_ - 1) / chunk_bytes_ * chunk_bytes_;
  return static_cast<uint64_t>(std::max<int64_t>(0, wants - has));
}

uint64_t Store::growth_bytes(const Transaction& transaction) const {
  if (transaction.segments.empty() && transaction.quarantine.empty()) return 0;
  return growth_to(wanted_pages(pages_for(transaction)));
}

uint64_t Store::growth_for_bytes(uint64_t bytes) const {
  return growth_to(wanted_pages(pages_of(bytes)));
}

void Store::set_chunk(int64_t chunk_bytes) { chunk_bytes_ = chunk_bytes; }

// A checkpoint cuts the file at the end of the last page's chunk, or makes it longer up to there,
// with a hole that a full disk cannot fill: SQLite is told a chunk of which the file has whole
// ones.
void Store::tell_chunk(int64_t file_bytes) {
  auto chunk = static_cast<int>(std::gcd(file_bytes, chunk_bytes_));
  (void)sqlite3_file_control(handle(), "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
}

// In whole chunks. What the system says against it; 0: the file holds `pages`, on the medium: after
// a power cut the log would else have no room to be copied back to, when others filled the disk.
int Store::grow_to(int64_t pages) {
  const sqlite3_int64 before = file_bytes();
  sqlite3_int64 bytes = pages * kPageBytes;
  tell_chunk(0);  // the step itself: gcd(0, step)
  errno = 0;
  int code = sqlite3_file_control(handle(), "main", SQLITE_FCNTL_SIZE_HINT, &bytes);
  const int refused = errno;
  const sqlite3_int64 after = file_bytes();
  tell_chunk(after);
  errno = refused;
  if (code == SQLITE_OK && after > before) {
    sqlite3_file* file = database_file();
    code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
  }
  if (code != SQLITE_OK) return errno != 0 ? errno : EIO;
  allocated_pages_ = after / kPageBytes;
  return 0;
}

// The file grows before the commit that needs it. Else a full disk would stop the checkpoint, the
// WAL would have nowhere to go, and not even removals could be written.
Result<void> Store::allocate_for(const Transaction& transaction) {
  if (transaction.segments.empty() && transaction.quarantine.empty()) return {};
  const int64_t wanted = wanted_pages(pages_for(transaction));
  if (wanted <= allocated_pages_) return {};
  allocated_pages_ = file_bytes() / kPageBytes;
  if (wanted <= allocated_pages_) return {};
  const int64_t usual = chunk_bytes_;
  int refused = grow_to(wanted);
  if (is_full(refused) && usual > kSpareChunkBytes) {  // there may be room for the records alone
    set_chunk(kSpareChunkBytes);
    refused = grow_to(wanted);
    set_chunk(usual);
  }
  if (refused == 0) return {};
  return Error{is_full(refused) ? ErrorKind::kFull : ErrorKind::kCorrupt,
               std::string("the database file cannot grow: ") + strerror(refused),
               {}};
}

}  // namespace penstock::spool
