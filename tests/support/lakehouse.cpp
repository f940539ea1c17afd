#include "tests/support/lakehouse.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include <sqlite3.h>

namespace penstock::test {
namespace {

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;
using OnRow = std::function<void(sqlite3_stmt*)>;

// A SQLite identifier: quoted, because the tables are called "catalog.schema.table".
std::string quoted(const std::string& name) {
  std::string result = "\"";
  for (const char c : name) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

Database open(const std::filesystem::path& file) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) throw std::runtime_error("cannot open " + file.string());
  sqlite3_busy_timeout(raw, 10000);
  return db;
}

bool has_table(sqlite3* db, const std::string& table) {
  sqlite3_stmt* raw = nullptr;
  sqlite3_prepare_v2(db, "SELECT 1 FROM sqlite_master WHERE type='table' AND name=?1", -1, &raw,
                     nullptr);
  const Statement statement(raw);
  sqlite3_bind_text(raw, 1, table.data(), static_cast<int>(table.size()), SQLITE_STATIC);
  return sqlite3_step(raw) == SQLITE_ROW;
}

void query(sqlite3* db, const std::string& sql, const OnRow& on_row) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, nullptr);
  const Statement statement(raw);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(raw);
    if (code == SQLITE_ROW) on_row(raw);
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sql + ": " + sqlite3_errmsg(db));
}

std::string text_of(sqlite3_stmt* row, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return text == nullptr ? "" : text;
}

struct Ack {
  int64_t up_to_offset;
  int64_t at_us;
};
using AcksByStream = std::map<std::string, std::vector<Ack>>;

// Acknowledgements are cumulative, so per stream offsets and times rise together.
AcksByStream read_acks(sqlite3* db) {
  AcksByStream acks;
  if (!has_table(db, "_acks")) return acks;
  query(db, "SELECT _stream_id, _offset, _acked_us FROM _acks ORDER BY _stream_id, _offset",
        [&](sqlite3_stmt* row) {
          acks[text_of(row, 0)].push_back(
              {sqlite3_column_int64(row, 1), sqlite3_column_int64(row, 2)});
        });
  return acks;
}

int64_t acked_at(const AcksByStream& acks, const std::string& stream, int64_t offset,
                 int64_t otherwise_us) {
  const auto found = acks.find(stream);
  if (found == acks.end()) return otherwise_us;
  const auto covering =
      std::lower_bound(found->second.begin(), found->second.end(), offset,
                       [](const Ack& ack, int64_t wanted) { return ack.up_to_offset < wanted; });
  return covering == found->second.end() ? otherwise_us : covering->at_us;
}

}  // namespace

Lakehouse::Lakehouse(std::filesystem::path file) : file_(std::move(file)) {}

std::map<int64_t, uint32_t> Lakehouse::ids(const std::string& table,
                                           const std::string& id_column) const {
  std::map<int64_t, uint32_t> result;
  if (!std::filesystem::exists(file_)) return result;
  const Database db = open(file_);
  if (!has_table(db.get(), table)) return result;
  const std::string id = quoted(id_column);
  query(db.get(),
        "SELECT " + id + ", COUNT(*) FROM " + quoted(table) + " WHERE " + id +
            " IS NOT NULL GROUP BY 1",
        [&](sqlite3_stmt* row) {
          result[sqlite3_column_int64(row, 0)] =
              static_cast<uint32_t>(sqlite3_column_int64(row, 1));
        });
  return result;
}

std::string Lakehouse::value(const std::string& sql) const {
  const Database db = open(file_);
  std::string result;
  query(db.get(), sql, [&](sqlite3_stmt* row) { result = text_of(row, 0); });
  return result;
}

std::vector<Lakehouse::Landing> Lakehouse::landings(const std::string& table) const {
  std::vector<Landing> result;
  if (!std::filesystem::exists(file_)) return result;
  const Database db = open(file_);
  if (!has_table(db.get(), table)) return result;
  const AcksByStream acks = read_acks(db.get());
  query(db.get(),
        "SELECT received_us, _arrived_us, _stream_id, _offset FROM " + quoted(table) +
            " WHERE received_us IS NOT NULL",
        [&](sqlite3_stmt* row) {
          result.push_back({sqlite3_column_int64(row, 0),
                            acked_at(acks, text_of(row, 2), sqlite3_column_int64(row, 3),
                                     sqlite3_column_int64(row, 1))});
        });
  return result;
}

}  // namespace penstock::test
