// Transactions, reads and checkpoints on one generation. The only writer of its file.
//
// One thread at a time. After an error of kind kCorrupt from apply() or checkpoint() the file must
// not be written again (a failed fsync may have lost pages that still read back): the store
// refuses, and closing writes nothing either. Reads go on.
#pragma once

#include <memory>

#include "agent/base/result.h"
#include "agent/spool/index_reader.h"
#include "agent/spool/rows.h"
#include "agent/spool/sizing.h"
#include "agent/spool/sqlite.h"

struct sqlite3;
struct sqlite3_file;

namespace penstock::spool {

class Store {
 public:
  static Result<Store> make(Connection db, const Sizing& sizing);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  // All of it, committed and synced, or nothing. kFull and kTransient: may be tried again. A fate
  // that goes on where the lane's last one ended makes that row longer.
  Result<void> apply(const Transaction& transaction);

  // The payload of a segment row. kCorrupt: it is gone or damaged; kTransient: a read error.
  Result<std::string> read(int64_t id);

  // Of a lane's segments, by the rows of the index: IndexReader::part. Errors as of read().
  Result<IndexPart> index_part(LaneId lane, Seq from, const SegmentIndex::Absent& absent);
  // The same from `seg`: `everywhere`, or where the rows of the index allow. Its error is as of
  // read(); what could be read is there anyway.
  FoundSegments search(LaneId lane, SeqRange range, uint32_t generation, bool everywhere);

  // Is there a segment row of that id?
  Result<bool> has(int64_t id);

  // When the newest record of a segment was received, without reading its payload.
  Result<int64_t> newest_us(int64_t id);

  // Copies the WAL back once it is long enough; call after every apply. kFull: the disk is full;
  // later again.
  Result<void> checkpoint_if_due();

  // Would its segments and quarantine rows fit below the limit for records, after removing
  // `freed_bytes` of segments?
  bool fits(const Transaction& transaction, uint64_t freed_bytes) const;
  // What the database file grows by when that is applied, in whole chunks; 0: it has the room.
  uint64_t growth_bytes(const Transaction& transaction) const;
  // The same for rows of quarantine and fates of so many bytes in all.
  uint64_t growth_for_bytes(uint64_t bytes) const;
  // The steps it grows in from now on.
  void set_chunk(int64_t chunk_bytes);
  // A changed share of max_size: more or less room for records from now on.
  Result<void> resize(const Sizing& sizing);
  const Sizing& sizing() const { return sizing_; }
  // Nothing is written any more, neither by closing it. Reads go on.
  void freeze();
  void thaw();
  // freeze() for a good file: the log is copied back first, so that the database alone says it all.
  void retire();
  uint64_t live_bytes() const { return static_cast<uint64_t>(live_pages_ * kPageBytes); }
  // Of the database, with what is free in it.
  uint64_t used_bytes() const { return static_cast<uint64_t>(page_count_ * kPageBytes); }
  Connection& connection();

 private:
  struct Statements;
  explicit Store(std::unique_ptr<Statements> statements, const Sizing& sizing);
  Result<void> write_rows(const Transaction& transaction);
  Result<void> write_index(const Transaction& transaction);
  Result<void> know_index(bool create);
  Error read_error(Error error) const;
  static int64_t pages_for(const Transaction& transaction);
  Result<void> write_ledger(const Transaction& transaction);
  sqlite3* handle() const;
  sqlite3_file* database_file() const;
  int64_t file_bytes() const;
  void tell_chunk(int64_t file_bytes);
  int grow_to(int64_t pages);
  Result<void> allocate_for(const Transaction& transaction);
  int64_t wanted_pages(int64_t pages) const;
  uint64_t growth_to(int64_t wanted_pages) const;
  Result<void> write_mark(const ClockMark& mark);
  Result<void> remove_fates(const std::vector<std::pair<LaneId, Seq>>& of);
  Result<void> write_fates(const std::vector<FateRow>& fates);
  Result<void> refresh_pages();
  Result<void> settle_log();
  Result<void> checkpoint();
  Error failed(Error error);

  std::unique_ptr<Statements> statements_;
  Sizing sizing_;
  int64_t live_pages_ = 0;
  int64_t page_count_ = 0;       // free ones included
  int64_t allocated_pages_ = 0;  // of the file: a checkpoint up to here needs no room of the disk
  int64_t chunk_bytes_ = kPageBytes;
  bool log_settled_ = false;
  bool broken_ = false;
};

}  // namespace penstock::spool
