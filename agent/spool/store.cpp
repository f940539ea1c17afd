#include "agent/spool/store.h"

#include <algorithm>
#include <string>
#include <tuple>

#include <sqlite3.h>

#include "agent/spool/database.h"

namespace penstock::spool {
namespace {

constexpr int64_t kFatesPerLane = 1000;  // ranges below the cursor that are kept for people

int remember_wal_frames(void* frames, sqlite3*, const char*, int count) {
  *static_cast<int*>(frames) = count;
  return SQLITE_OK;
}

}  // namespace

struct Store::Statements {
  Connection db;
  int wal_frames = 0;
  Statement begin, commit, rollback;
  Statement insert, remove, release, read, newest, lane, quarantine, epoch;
  Statement fate, longer_fate, old_fates, mark, later_marks;
  bool has_index = false;  // and what follows is prepared
  Statement index_row, index_ended, covered, forget_rows, forget_covered;
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
        {&release, "DELETE FROM quarantine WHERE lane=? AND seq=?"},
        {&read, "SELECT payload FROM seg WHERE id=?"},
        {&lane,
         "INSERT INTO lane_state(lane, route, table_name, cursor, next_seq, quarantined, damaged, "
         "discarded, dropped, first_seq, dropped_age, refused, quarantine_bytes)"
         " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(lane) DO UPDATE SET"
         " cursor=excluded.cursor, next_seq=excluded.next_seq,"
         " quarantined=excluded.quarantined, damaged=excluded.damaged,"
         " discarded=excluded.discarded, dropped=excluded.dropped,"
         " dropped_age=excluded.dropped_age, refused=excluded.refused,"
         " quarantine_bytes=excluded.quarantine_bytes"},
        {&quarantine,
         "INSERT OR IGNORE INTO quarantine(lane, seq, epoch, at_us, reason, record) "
         "VALUES(?,?,?,?,?,?)"},
        {&fate,
         "INSERT OR IGNORE INTO fate(lane, first_seq, last_seq, kind, at_us, reason) "
         "SELECT ?1,?2,?3,?4,?5,?6 WHERE ?3>coalesce((SELECT last_seq FROM fate WHERE lane=?1 AND "
         "first_seq<=?2 ORDER BY first_seq DESC LIMIT 1), 0)"},
        {&epoch, "INSERT OR IGNORE INTO epoch VALUES(?,?,?,?,?,?)"},
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
    if (auto done = prepare_all(all); !done) return done;
    sqlite3_wal_hook(db.handle(), &remember_wal_frames, &wal_frames);
    return {};
  }
  Result<void> prepare_index() {
    const std::pair<Statement*, const char*> all[] = {
        {&index_row, "INSERT OR REPLACE INTO seg_index VALUES(?,?,?,?,?,?,?,?,?)"},
        {&index_ended, "DELETE FROM seg_index WHERE lane=?1 AND first_seq<=?2 AND last_seq<=?2"},
        {&covered, "INSERT OR REPLACE INTO index_state VALUES(0,?,?)"},
        {&forget_rows, "DELETE FROM seg_index"},
        {&forget_covered, "DELETE FROM index_state"},
    };
    auto done = prepare_all(all);
    has_index = done.has_value();
    return done;
  }
  template <class All>
  Result<void> prepare_all(const All& all) {
    for (const auto& [statement, sql] : all) {
      auto prepared = db.prepare(sql);
      if (!prepared) return std::move(prepared).error();
      *statement = std::move(*prepared);
    }
    return {};
  }
};

Store::Store(std::unique_ptr<Statements> statements, const Sizing& sizing)
    : statements_(std::move(statements)), sizing_(sizing), chunk_bytes_(sizing.chunk_bytes) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::make(Connection db, const Sizing& sizing) {
  auto statements = std::make_unique<Statements>();
  statements->db = std::move(db);
  if (auto prepared = statements->prepare(); !prepared) return std::move(prepared).error();
  Store store(std::move(statements), sizing);
  if (auto known = store.know_index(false); !known) return std::move(known).error();
  if (auto known = store.refresh_pages(); !known) return std::move(known).error();
  store.tell_chunk(store.file_bytes());
  store.connection().checkpoint_on_close(true);
  return store;
}

Connection& Store::connection() { return statements_->db; }
sqlite3* Store::handle() const { return statements_->db.handle(); }

// Notes an error after which the file must be left alone.
Error Store::failed(Error error) {
  if (error.kind != ErrorKind::kFull && error.kind != ErrorKind::kTransient) {
    error.kind = ErrorKind::kCorrupt;
    freeze();
  }
  return error;
}

void Store::freeze() {
  broken_ = true;
  statements_->db.checkpoint_on_close(false);
}

void Store::retire() {
  if (!broken_) statements_->db.retire_log();
  freeze();
}

void Store::thaw() {
  broken_ = false;
  statements_->db.checkpoint_on_close(true);
}

Result<void> Store::resize(const Sizing& sizing) {
  sizing_ = sizing;
  if (broken_) return {};
  return statements_->db.exec("PRAGMA max_page_count=" + std::to_string(sizing.max_pages));
}

Result<void> Store::apply(const Transaction& transaction) {
  if (broken_)
    return Error{
        ErrorKind::kCorrupt, "the spool file is not written any more after an earlier error", {}};
  if (auto settled = settle_log(); !settled) return settled;
  Statements& s = *statements_;
  if (auto room = allocate_for(transaction); !room) return failed(std::move(room).error());
  auto done = s.begin.run();
  if (done) done = write_rows(transaction);
  if (done) done = write_ledger(transaction);
  if (done) done = s.commit.run();
  if (!done) {
    Error error = failed(std::move(done).error());
    s.has_index = false;  // its tables may be gone again
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

Result<void> Store::write_rows(const Transaction& transaction) {
  Statements& s = *statements_;
  for (const int64_t id : transaction.deletes) {
    if (auto done = s.remove.bind(1, id).run(); !done) return done;
  }
  for (const auto& [lane, seq] : transaction.released) {
    if (auto done = s.release.bind(1, int64_t{lane}).bind(2, seq).run(); !done) return done;
  }
  for (const auto& row : transaction.segments) {
    s.insert.bind(1, row.id).bind(2, int64_t{row.header.lane}).bind(3, row.header.first);
    s.insert.bind(4, int64_t{row.header.count})
        .bind(5, row.header.newest_us)
        .bind(6, int64_t{row.header.epoch});
    if (auto done = s.insert.bind_blob(7, row.stored).run(); !done) return done;
  }
  return write_index(transaction);
}

// Whether it has the tables of the index; `create` makes them in a file that has none.
Result<void> Store::know_index(bool create) {
  Statements& s = *statements_;
  if (s.has_index) return {};
  if (create) {
    if (auto made = s.db.exec(kIndexSchema); !made) return made;
    return s.prepare_index();
  }
  auto tables = s.db.number(
      "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name IN ('seg_index', "
      "'index_state')");
  if (!tables) return std::move(tables).error();
  return *tables == 2 ? s.prepare_index() : Result<void>();
}

Result<void> Store::write_index(const Transaction& transaction) {
  Statements& s = *statements_;
  const auto& [rows, ended] = std::tie(transaction.index_rows, transaction.index_ended);
  if (rows.empty() && ended.empty() && !transaction.forgets_index) return {};
  if (auto known = know_index(!rows.empty()); !known) return known;
  if (!s.has_index) return {};
  if (transaction.forgets_index) {
    if (auto done = s.forget_rows.run(); !done) return done;
    if (auto done = s.forget_covered.run(); !done) return done;
  }
  for (const auto& [lane, up_to] : ended) {
    if (auto done = s.index_ended.bind(1, int64_t{lane}).bind(2, up_to).run(); !done) return done;
  }
  for (const auto& row : rows) {
    s.index_row.bind(1, int64_t{row.lane}).bind(2, row.range.first).bind(3, row.range.last);
    s.index_row.bind(4, row.segments).bind(5, row.bytes);
    s.index_row.bind(6, row.segments_before).bind(7, row.bytes_before);
    s.index_row.bind(8, int64_t{row.check});
    if (auto done = s.index_row.bind_blob(9, row.entries).run(); !done) return done;
  }
  if (!transaction.covered_id) return {};
  return s.covered.bind(1, *transaction.covered_id)
      .bind(2, int64_t{covered_check(*transaction.covered_id)})
      .run();
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
    s.lane.bind(10, row.first_seq).bind(11, row.counts.dropped_age);
    if (auto done = s.lane.bind(12, row.refused).bind(13, row.quarantine_bytes).run(); !done)
      return done;
  }
  if (auto done = remove_fates(transaction.unfated); !done) return done;
  if (auto done = write_fates(transaction.fates); !done) return done;
  for (const auto& row : transaction.epochs) {
    s.epoch.bind(1, int64_t{row.id}).bind_text(2, row.name).bind_text(3, row.agent_id);
    s.epoch.bind_text(4, row.machine_id).bind_text(5, row.filesystem).bind(6, row.started_at_us);
    if (auto done = s.epoch.run(); !done) return done;
  }
  for (const auto& mark : transaction.marks) {
    if (auto done = write_mark(mark); !done) return done;
  }
  return {};
}

Result<void> Store::write_mark(const ClockMark& mark) {
  Statements& s = *statements_;
  if (auto done = s.later_marks.bind(1, mark.first_segment).run(); !done) return done;
  s.mark.bind(1, mark.first_segment).bind_text(2, mark.boot).bind(3, mark.offset_us);
  return s.mark.bind(4, int64_t{mark.is_set}).run();
}

// The numbers beside them in a range keep theirs. Only tools come here: nothing stays prepared.
Result<void> Store::remove_fates(const std::vector<std::pair<LaneId, Seq>>& of) {
  if (of.empty()) return {};
  constexpr const char* kParts[] = {
      "INSERT INTO fate(lane, first_seq, last_seq, kind, at_us, reason) SELECT lane, ?2+1, "
      "last_seq, kind, at_us, reason FROM fate WHERE lane=?1 AND first_seq<=?2 AND last_seq>?2",
      "UPDATE fate SET last_seq=?2-1 WHERE lane=?1 AND first_seq<?2 AND last_seq>=?2",
      "DELETE FROM fate WHERE lane=?1 AND first_seq=?2"};
  std::vector<Statement> parts;
  for (const char* sql : kParts) {
    auto statement = statements_->db.prepare(sql);
    if (!statement) return std::move(statement).error();
    parts.push_back(*std::move(statement));
  }
  for (const auto& [lane, seq] : of) {
    for (auto& part : parts) {
      if (auto done = part.bind(1, int64_t{lane}).bind(2, seq).run(); !done) return done;
    }
  }
  return {};
}

// A range that continues the lane's last one makes it longer: a lane that drops for a month has one
// row. One that is there already (carried over twice) is left as it is. Of rows below the cursor,
// which lane_state counts, the newest are kept.
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

// Of a read: the medium may answer again.
Error Store::read_error(Error error) const {
  const bool is_io = statements_->db.last_code() == SQLITE_IOERR;
  if (error.kind != ErrorKind::kTransient)
    error.kind = is_io ? ErrorKind::kTransient : ErrorKind::kCorrupt;
  return error;
}

Result<std::string> Store::read(int64_t id) {
  Statement& statement = statements_->read;
  auto row = statement.bind(1, id).step();
  Result<std::string> out = Error{ErrorKind::kCorrupt, "its row is gone", {}};
  if (!row) {
    out = read_error(std::move(row).error());
  } else if (*row) {
    out = std::string(statement.bytes_at(0));
  }
  statement.reset();  // at once: an open read keeps the WAL from being recycled
  return out;
}

Result<IndexPart> Store::index_part(LaneId lane, Seq from, const SegmentIndex::Absent& absent) {
  auto rows = IndexReader::open(statements_->db);
  if (!rows) return read_error(std::move(rows).error());
  auto part = rows->part(lane, from, absent);
  if (!part) return read_error(std::move(part).error());
  return part;
}

FoundSegments Store::search(LaneId lane, SeqRange range, uint32_t generation, bool everywhere) {
  std::pair<int64_t, int64_t> ids{0, INT64_MAX};
  auto rows = IndexReader::open(statements_->db);
  if (rows && !everywhere) ids = rows->ids_around(lane, range);
  return search_segments(statements_->db, lane, range, ids, generation);
}

// The log found at opening may end inside the padding of its last commit. A frame written there
// would share a sector with that commit, and a second power cut could take both. Copied back, the
// log begins anew instead. It needs no room: the file was made long enough, and synced, before each
// commit.
Result<void> Store::settle_log() {
  if (log_settled_) return {};
  auto done = checkpoint();
  log_settled_ = done.has_value();
  return done;
}

Result<bool> Store::has(int64_t id) {
  Statement& statement = statements_->newest;
  auto row = statement.bind(1, id).step();
  statement.reset();
  return row;
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
  return checkpoint();
}

Result<void> Store::checkpoint() {
  int frames = 0;
  const int code = sqlite3_wal_checkpoint_v2(statements_->db.handle(), "main",
                                             SQLITE_CHECKPOINT_PASSIVE, &frames, nullptr);
  if (code != SQLITE_OK) return failed(statements_->db.error(code, "checkpoint"));
  statements_->wal_frames = 0;
  allocated_pages_ = 0;  // it may have cut the file
  return {};
}

Result<void> Store::refresh_pages() {
  int64_t live = 0;
  for (auto [statement, sign] :
       {std::pair{&statements_->page_count, 1}, {&statements_->freelist_count, -1}}) {
    auto row = statement->step();
    if (row) live += sign * statement->int_at(0);
    if (row && sign == 1) page_count_ = statement->int_at(0);
    statement->reset();
    if (!row) return std::move(row).error();
  }
  live_pages_ = live;
  return {};
}

}  // namespace penstock::spool
