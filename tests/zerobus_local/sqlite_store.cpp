// DIR/lakehouse.db: an ordinary SQLite file that others may read while the server writes.
//
// WAL with synchronous=FULL: COMMIT returns after the log is on the disk
// (sqlite.org/pragma.html#pragma_synchronous).
#include <array>
#include <unordered_map>
#include <utility>

#include <sqlite3.h>

#include "tests/zerobus_local/store.h"

namespace penstock::local {
namespace {

constexpr int kBusyTimeoutMs = 10'000;  // somebody else may hold the write lock for a moment
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOwnColumns = {{
    {"_stream_id", "TEXT"},
    {"_offset", "INTEGER"},
    {"_index", "INTEGER"},
    {"_arrived_us", "INTEGER"},
}};

std::string_view sql_type(const Type& type) {
  switch (type.kind) {
    case Kind::kTinyint:
    case Kind::kSmallint:
    case Kind::kInt:
    case Kind::kBigint:
    case Kind::kBoolean:
    case Kind::kDate:
    case Kind::kTimestamp:
    case Kind::kTimestampNtz:
      return "INTEGER";
    case Kind::kFloat:
    case Kind::kDouble:
      return "REAL";
    case Kind::kBinary:
      return "BLOB";
    default:
      return "TEXT";
  }
}

// Names hold letters, digits, '_' and '.' only (checked where tables are read).
std::string quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

struct CloseDb {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

class SqliteBackend : public Backend {
 public:
  explicit SqliteBackend(std::unique_ptr<sqlite3, CloseDb> db) : db_(std::move(db)) {}

  bool wants_raw() const override { return false; }

  Result<int64_t> open_table(const TablePtr& table) override {
    inserts_.erase(table);
    if (auto made = execute(create_text(*table)); !made) return made.error();
    if (auto added = add_new_columns(*table); !added) return added.error();
    auto insert = prepare(insert_text(*table));
    if (!insert) return insert.error();
    inserts_[table] = std::move(*insert);
    auto count = prepare("SELECT count(*) FROM " + quoted(table->name()));
    if (!count) return count.error();
    if (sqlite3_step(count->get()) != SQLITE_ROW) return failure("SELECT count(*)");
    return sqlite3_column_int64(count->get(), 0);
  }

  // The ledger of acknowledgements sent: what was safe at the server, and since when.
  Result<void> open_ledger() {
    auto made = execute(
        "CREATE TABLE IF NOT EXISTS \"_acks\" "
        "(_stream_id TEXT, _offset INTEGER, _acked_us INTEGER)");
    if (!made) return made;
    auto insert = prepare("INSERT INTO \"_acks\" VALUES (?,?,?)");
    if (!insert) return insert.error();
    insert_ack_ = std::move(*insert);
    return {};
  }

  Result<void> commit(std::span<const Write> writes, std::span<const AckNote> acks) override {
    if (auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun;
    for (const auto& ack : acks) {
      if (auto stored = insert_ack(ack); !stored) return undo(std::move(stored));
    }
    for (const auto& write : writes) {
      if (auto stored = insert_rows(write); !stored) return undo(std::move(stored));
    }
    auto committed = execute("COMMIT");
    return committed ? std::move(committed) : undo(std::move(committed));
  }

  Result<void> execute(const std::string& sql) {
    if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return failure(sql);
  }

 private:
  Error failure(const std::string& doing) const {
    return {ErrorKind::kTransient,
            std::string("lakehouse.db: ") + sqlite3_errmsg(db_.get()) + " (" + doing + ")",
            {}};
  }

  Result<void> undo(Result<void> why) {
    (void)execute("ROLLBACK");  // fails when SQLite has rolled back by itself: just as well
    return why;
  }

  Result<Statement> prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      return failure(sql);
    }
    return Statement(statement);
  }

  static std::string create_text(const Table& table) {
    std::string sql = "CREATE TABLE IF NOT EXISTS " + quoted(table.name()) + " (";
    for (const auto& column : table.columns()) {
      sql += quoted(column.name) + " " + std::string(sql_type(column.type)) + ", ";
    }
    for (const auto& [name, type] : kOwnColumns) {
      sql += quoted(name) + " " + std::string(type) + (name == "_arrived_us" ? ")" : ", ");
    }
    return sql;
  }

  static std::string insert_text(const Table& table) {
    std::string names, marks;
    const auto add = [&](std::string_view name) {
      names += (names.empty() ? "" : ",") + quoted(name);
      marks += marks.empty() ? "?" : ",?";
    };
    for (const auto& column : table.columns()) add(column.name);
    for (const auto& [name, type] : kOwnColumns) add(name);
    return "INSERT INTO " + quoted(table.name()) + " (" + names + ") VALUES (" + marks + ")";
  }

  // The table file may have gained columns since the earlier run that made the SQL table.
  Result<void> add_new_columns(const Table& table) {
    for (const auto& column : table.columns()) {
      auto probe = prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE");
      if (!probe) return probe.error();
      sqlite3_bind_text(probe->get(), 1, table.name().c_str(), -1, SQLITE_STATIC);
      sqlite3_bind_text(probe->get(), 2, column.name.c_str(), -1, SQLITE_STATIC);
      if (sqlite3_step(probe->get()) == SQLITE_ROW) continue;
      probe->reset();
      auto added = execute("ALTER TABLE " + quoted(table.name()) + " ADD COLUMN " +
                           quoted(column.name) + " " + std::string(sql_type(column.type)));
      if (!added) return added;
    }
    return {};
  }

  Result<void> insert_rows(const Write& write) {
    const size_t columns = write.table->columns().size();
    sqlite3_stmt* insert = inserts_.at(write.table).get();
    for (size_t row = 0; row < write.rows.count; ++row) {
      for (size_t i = 0; i < columns; ++i) {
        bind(insert, static_cast<int>(i + 1), write.rows.cells[row * columns + i]);
      }
      int at = static_cast<int>(columns);
      const std::string& id = *write.stream_id;
      sqlite3_bind_text(insert, ++at, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
      sqlite3_bind_int64(insert, ++at, write.offset);
      sqlite3_bind_int64(insert, ++at, static_cast<int64_t>(row));
      sqlite3_bind_int64(insert, ++at, write.arrived_us);
      const int result = sqlite3_step(insert);
      sqlite3_reset(insert);
      if (result != SQLITE_DONE) return failure("INSERT INTO " + write.table->name());
    }
    return {};
  }

  Result<void> insert_ack(const AckNote& ack) {
    sqlite3_stmt* insert = insert_ack_.get();
    const std::string& id = *ack.stream_id;
    sqlite3_bind_text(insert, 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
    sqlite3_bind_int64(insert, 2, ack.up_to);
    sqlite3_bind_int64(insert, 3, ack.at_us);
    const int result = sqlite3_step(insert);
    sqlite3_reset(insert);
    if (result != SQLITE_DONE) return failure("INSERT INTO _acks");
    return {};
  }

  // Values outlive the step: nothing is copied. SQLite would turn NaN into NULL; it is kept as text
  // instead.
  static void bind(sqlite3_stmt* insert, int at, const Value& value) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      sqlite3_bind_int64(insert, at, *number);
    } else if (const auto* real = std::get_if<double>(&value)) {
      if (*real == *real) {
        sqlite3_bind_double(insert, at, *real);
      } else {
        sqlite3_bind_text(insert, at, "NaN", 3, SQLITE_STATIC);
      }
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      sqlite3_bind_text(insert, at, text->data(), static_cast<int>(text->size()), SQLITE_STATIC);
    } else if (const auto* blob = std::get_if<Blob>(&value)) {
      const auto& bytes = blob->bytes;
      sqlite3_bind_blob(insert, at, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
    } else {
      sqlite3_bind_null(insert, at);
    }
  }

  std::unique_ptr<sqlite3, CloseDb> db_;             // closed after the statements
  std::unordered_map<TablePtr, Statement> inserts_;  // for each form of a table
  Statement insert_ack_;
};

}  // namespace

Result<std::unique_ptr<Backend>> open_sqlite_backend(const std::string& dir) {
  const std::string path = dir + "/lakehouse.db";
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<sqlite3, CloseDb> db(raw);
  if (opened != SQLITE_OK) {
    return Error{ErrorKind::kDenied, path + " cannot be opened: " + sqlite3_errstr(opened), {}};
  }
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  auto backend = std::make_unique<SqliteBackend>(std::move(db));
  for (const char* pragma : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    if (auto set = backend->execute(pragma); !set) return std::move(set).error().in(path);
  }
  if (auto ledger = backend->open_ledger(); !ledger) return std::move(ledger).error().in(path);
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace penstock::local
