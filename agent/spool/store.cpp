#include "agent/spool/store.h"

#include <algorithm>
#include <filesystem>

#include <sqlite3.h>

namespace penstock::spool {
namespace {

constexpr int64_t kFatesPerLane = 1000;  // ranges below the cursor that are kept for people

// Pages of a row with a blob of this size: overflow pages hold 4 bytes less, the row itself and its
// share of tree and pointer-map pages are rounded up.
int64_t pages_of(uint64_t bytes) { return static_cast<int64_t>(bytes / (kPageBytes - 4)) + 2; }

int remember_wal_frames(void* frames, sqlite3*, const char*, int count) {
  *static_cast<int*>(frames) = count;
  return SQLITE_OK;
}

}  // namespace

struct Store::Statements {
  Connection db;
  int wal_frames = 0;
  Statement begin, commit, rollback;
  Statement insert, remove, read, lane, quarantine, fate, longer_fate, old_fates;
  Statement newest, later_marks, mark;
  Statement page_count, freelist_count;

  Result<void> prepare() {
    const std::pair<Statement*, const char*> all[] = {
        {&begin, "BEGIN IMMEDIATE"},
        {&commit, "COMMIT"},
        {&rollback, "ROLLBACK"},
        {&insert,
         "INSERT INTO seg(id, lane, first_seq, count, newest_us, epoch, payload) "
         "VALUES(?,?,?,?,?,?,?)"},
        {&remove, "DELETE FROM seg WHERE id=?"},
        {&read, "SELECT payload FROM seg WHERE id=?"},
        {&lane,
         "INSERT INTO lane_state(lane, route, table_name, cursor, next_seq, quarantined, damaged,"
         " discarded, dropped, dropped_age, refused, quarantine_bytes)"
         " VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(lane) DO UPDATE SET cursor=excluded.cursor,"
         " next_seq=excluded.next_seq, quarantined=excluded.quarantined, damaged=excluded.damaged,"
         " discarded=excluded.discarded, dropped=excluded.dropped,"
         " dropped_age=excluded.dropped_age, refused=excluded.refused,"
         " quarantine_bytes=excluded.quarantine_bytes"},
        {&quarantine,
         "INSERT OR IGNORE INTO quarantine(lane, seq, epoch, at_us, reason, record) "
         "VALUES(?,?,?,?,?,?)"},
        {&fate,
         "INSERT OR IGNORE INTO fate(lane, first_seq, last_seq, kind, at_us, reason) "
         "VALUES(?,?,?,?,?,?)"},
        {&longer_fate,
         "UPDATE fate SET last_seq=?3, at_us=?5 WHERE lane=?1 AND last_seq=?2-1 AND kind=?4 AND "
         "reason=?6 AND first_seq=(SELECT max(first_seq) FROM fate WHERE lane=?1 AND "
         "first_seq<?2)"},
        {&old_fates,
         "DELETE FROM fate WHERE lane=?1 AND kind<>1 AND first_seq<(SELECT first_seq FROM fate "
         "WHERE lane=?1"
         " ORDER BY first_seq DESC LIMIT 1 OFFSET ?2) AND last_seq<=(SELECT cursor FROM lane_state"
         " WHERE lane=?1)"},
        {&newest, "SELECT newest_us FROM seg WHERE id=?"},
        {&later_marks,
         "DELETE FROM clock WHERE first_seg>=?1 OR first_seg<(SELECT first_seg FROM "
         "clock ORDER BY first_seg DESC LIMIT 1 OFFSET 255)"},
        {&mark, "INSERT INTO clock(first_seg, boot, offset_us, is_set) VALUES(?,?,?,?)"},
        {&page_count, "PRAGMA page_count"},
        {&freelist_count, "PRAGMA freelist_count"},
    };
    for (const auto& [statement, sql] : all) {
      auto prepared = db.prepare(sql);
      if (!prepared) return std::move(prepared).error();
      *statement = std::move(*prepared);
    }
    sqlite3_wal_hook(db.handle(), &remember_wal_frames, &wal_frames);
    return {};
  }
};

Store::Store(std::unique_ptr<Statements> statements, const Sizing& sizing)
    : statements_(std::move(statements)), sizing_(sizing) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::make(Connection db, const Sizing& sizing) {
  auto statements = std::make_unique<Statements>();
  statements->db = std::move(db);
  if (auto prepared = statements->prepare(); !prepared) return std::move(prepared).error();
  Store store(std::move(statements), sizing);
  if (auto known = store.refresh_pages(); !known) return std::move(known).error();
  store.allocated_bytes_ = store.file_bytes();
  store.connection().checkpoint_on_close(true);
  return store;
}

Connection& Store::connection() { return statements_->db; }

// Notes an error after which the file must be left alone.
Error Store::failed(Error error) {
  if (error.kind != ErrorKind::kFull && error.kind != ErrorKind::kTransient) {
    error.kind = ErrorKind::kCorrupt;
    broken_ = true;
    statements_->db.checkpoint_on_close(false);
  }
  return error;
}

Result<void> Store::apply(const Transaction& transaction) {
  if (broken_)
    return Error{
        ErrorKind::kCorrupt, "the spool file is not written any more after an earlier error", {}};
  if (auto room = reserve(transaction); !room) return room;
  Statements& s = *statements_;
  auto done = s.begin.run();
  if (done) done = write_rows(transaction);
  if (done) done = write_ledger(transaction);
  if (done) done = s.commit.run();
  if (!done) {
    Error error = failed(std::move(done).error());
    // In WAL mode this forgets frames that were never committed; it writes nothing.
    if (s.db.in_transaction()) {
      if (auto rolled_back = s.rollback.run(); !rolled_back)
        return failed(std::move(rolled_back).error());
    }
    return error;
  }
  // The commit stands whatever comes now.
  if (auto known = refresh_pages(); !known) failed(std::move(known).error());
  return {};
}

// The file gets its blocks before the transaction that needs them. Were it left to the checkpoint,
// a full disk would find the pages in the WAL with no place to go: the WAL could not be recycled,
// and not even removals could be written.
Result<void> Store::reserve(const Transaction& transaction) {
  if (transaction.segments.empty() && transaction.quarantine.empty()) return {};
  constexpr int64_t kTreePages = 64;
  const int64_t pages =
      std::min(std::max(page_count_, live_pages_ + pages_for(transaction) + kTreePages),
               std::max(page_count_, sizing_.max_pages));
  sqlite3_int64 wanted = pages * kPageBytes;
  if (wanted <= allocated_bytes_) return {};
  if (sqlite3_file_control(statements_->db.handle(), "main", SQLITE_FCNTL_SIZE_HINT, &wanted) !=
      SQLITE_OK) {
    return Error{ErrorKind::kFull, "the filesystem has no room for the spool to grow", {}};
  }
  allocated_bytes_ = file_bytes();
  return {};
}

int64_t Store::file_bytes() const {
  std::error_code error;
  const char* name = sqlite3_db_filename(statements_->db.handle(), "main");
  const auto size = std::filesystem::file_size(name != nullptr ? name : "", error);
  return error ? 0 : static_cast<int64_t>(size);
}

int64_t Store::pages_for(const Transaction& transaction) {
  int64_t pages = 0;
  for (const auto& row : transaction.segments) pages += pages_of(row.stored.size());
  for (const auto& row : transaction.quarantine)
    pages += pages_of(row.record.size() + row.reason.size());
  return pages;
}

Result<void> Store::write_rows(const Transaction& transaction) {
  Statements& s = *statements_;
  for (const int64_t id : transaction.deletes) {
    if (auto done = s.remove.bind(1, id).run(); !done) return done;
  }
  for (const auto& row : transaction.segments) {
    s.insert.bind(1, row.id).bind(2, int64_t{row.header.lane}).bind(3, row.header.first);
    s.insert.bind(4, int64_t{row.header.count})
        .bind(5, row.header.newest_us)
        .bind(6, int64_t{row.header.epoch});
    if (auto done = s.insert.bind_blob(7, row.stored).run(); !done) return done;
  }
  return {};
}

Result<void> Store::write_ledger(const Transaction& transaction) {
  Statements& s = *statements_;
  for (const auto& row : transaction.quarantine) {
    s.quarantine.bind(1, int64_t{row.lane})
        .bind(2, row.seq)
        .bind(3, int64_t{row.epoch})
        .bind(4, row.at_us);
    if (auto done = s.quarantine.bind_text(5, row.reason).bind_blob(6, row.record).run(); !done)
      return done;
  }
  for (const auto& row : transaction.lanes) {
    s.lane.bind(1, int64_t{row.lane}).bind_text(2, row.key.route).bind_text(3, row.key.table);
    s.lane.bind(4, row.cursor).bind(5, row.next_seq);
    s.lane.bind(6, row.counts.quarantined).bind(7, row.counts.damaged);
    s.lane.bind(8, row.counts.discarded).bind(9, row.counts.dropped);
    s.lane.bind(10, row.counts.dropped_age);
    if (auto done = s.lane.bind(11, row.refused).bind(12, row.quarantine_bytes).run(); !done)
      return done;
  }
  if (auto done = write_fates(transaction.fates); !done) return done;
  return transaction.mark ? write_mark(*transaction.mark) : Result<void>();
}

Result<void> Store::write_mark(const ClockMark& mark) {
  Statements& s = *statements_;
  if (auto done = s.later_marks.bind(1, mark.first_segment).run(); !done) return done;
  s.mark.bind(1, mark.first_segment).bind_text(2, mark.boot).bind(3, mark.offset_us);
  return s.mark.bind(4, int64_t{mark.is_set}).run();
}

// A range that continues the lane's last one makes it longer: a lane that drops for a month has one
// row. Of rows below the cursor, which lane_state counts, the newest are kept.
Result<void> Store::write_fates(const std::vector<FateRow>& fates) {
  Statements& s = *statements_;
  for (const auto& row : fates) {
    bool longer = false;
    for (Statement* statement : {&s.longer_fate, &s.fate}) {
      if (longer) break;
      statement->bind(1, int64_t{row.lane}).bind(2, row.range.first).bind(3, row.range.last);
      statement->bind(4, stored_kind(row.kind)).bind(5, row.at_us);
      if (auto done = statement->bind_text(6, row.reason).run(); !done) return done;
      longer = sqlite3_changes(s.db.handle()) > 0;
    }
    s.old_fates.bind(1, int64_t{row.lane}).bind(2, kFatesPerLane);
    if (auto done = s.old_fates.run(); !done) return done;
  }
  return {};
}

Result<std::string> Store::read(int64_t id) {
  Statement& statement = statements_->read;
  auto row = statement.bind(1, id).step();
  Result<std::string> out = Error{ErrorKind::kCorrupt, "its row is gone", {}};
  if (!row) {
    Error error = std::move(row).error();
    if (error.kind != ErrorKind::kTransient) error.kind = ErrorKind::kCorrupt;
    out = std::move(error);
  } else if (*row) {
    out = std::string(statement.bytes_at(0));
  }
  statement.reset();  // at once: an open read keeps the WAL from being recycled
  return out;
}

Result<int64_t> Store::newest_us(int64_t id) {
  Statement& statement = statements_->newest;
  auto row = statement.bind(1, id).step();
  Result<int64_t> out = Error{ErrorKind::kCorrupt, "its row is gone", {}};
  if (!row) {
    out = std::move(row).error();
  } else if (*row) {
    out = statement.int_at(0);
  }
  statement.reset();
  return out;
}

Result<void> Store::checkpoint_if_due() {
  if (broken_ || statements_->wal_frames < sizing_.checkpoint_pages) return {};
  int frames = 0;
  const int code = sqlite3_wal_checkpoint_v2(statements_->db.handle(), "main",
                                             SQLITE_CHECKPOINT_PASSIVE, &frames, nullptr);
  if (code != SQLITE_OK) return failed(statements_->db.error(code, "checkpoint"));
  statements_->wal_frames = 0;
  return {};
}

bool Store::fits(const Transaction& transaction, uint64_t freed_bytes) const {
  const int64_t pages = live_pages_ - static_cast<int64_t>(freed_bytes / kPageBytes);
  return pages + pages_for(transaction) <= sizing_.insert_pages;
}

Result<void> Store::refresh_pages() {
  int64_t live = 0;
  int64_t count = 0;
  for (auto [statement, sign] :
       {std::pair{&statements_->page_count, 1}, {&statements_->freelist_count, -1}}) {
    auto row = statement->step();
    if (row) live += sign * statement->int_at(0);
    if (row && sign > 0) count = statement->int_at(0);
    statement->reset();
    if (!row) return std::move(row).error();
  }
  live_pages_ = live;
  page_count_ = count;
  return {};
}

}  // namespace penstock::spool
