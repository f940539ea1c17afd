#include "agent/spool/database.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool/directory.h"
#include "agent/spool/volatile_fs.h"

namespace penstock::spool {
namespace {

constexpr char kSchema[] = R"sql(
CREATE TABLE epoch(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, agent_id TEXT NOT NULL, machine_id TEXT NOT NULL,
  filesystem TEXT NOT NULL, started_at_us INTEGER NOT NULL) STRICT;
CREATE TABLE lane_state(
  lane INTEGER PRIMARY KEY, route TEXT NOT NULL, table_name TEXT NOT NULL,
  cursor INTEGER NOT NULL, next_seq INTEGER NOT NULL,
  quarantined INTEGER NOT NULL DEFAULT 0, damaged INTEGER NOT NULL DEFAULT 0,
  discarded INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
  first_seq INTEGER NOT NULL DEFAULT 1,
  stream_id TEXT, committed_offset INTEGER,
  dropped_age INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
  quarantine_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE(route, table_name)) STRICT;
CREATE TABLE seg(
  id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, first_seq INTEGER NOT NULL, count INTEGER NOT NULL,
  newest_us INTEGER NOT NULL, epoch INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE quarantine(
  lane INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, at_us INTEGER NOT NULL,
  reason TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY(lane, seq)) STRICT;
CREATE TABLE fate(
  lane INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, kind INTEGER NOT NULL,
  at_us INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY(lane, first_seq)) STRICT;
CREATE TABLE clock(
  first_seg INTEGER PRIMARY KEY, boot TEXT NOT NULL, offset_us INTEGER NOT NULL,
  is_set INTEGER NOT NULL) STRICT;
)sql";

Error refused(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

// Only what differs: setting auto_vacuum again, for one, would be a write and a sync at every
// start.
Result<void> apply_settings(Connection& db, const Sizing& sizing) {
  for (const auto& setting : required_settings(sizing)) {
    auto value = db.text("PRAGMA " + setting.name);
    if (!value) return std::move(value).error();
    if (*value == setting.value) continue;
    if (auto set = db.exec("PRAGMA " + setting.name + "=" + setting.value); !set) return set;
  }
  return {};
}

Result<void> check_settings(Connection& db, const Sizing& sizing) {
  for (const auto& setting : required_settings(sizing)) {
    auto value = db.text("PRAGMA " + setting.name);
    if (!value) return std::move(value).error();
    // A file that is already larger than a lowered max_size keeps its own size as the bound;
    // Store::fits holds inserts.
    if (setting.name == "max_page_count" && std::stoll(*value) >= sizing.max_pages) continue;
    if (*value != setting.value) {
      return refused("SQLite did not take PRAGMA " + setting.name + "=" + setting.value +
                     ": it reads " + *value + "; this SQLite library cannot hold a spool");
    }
  }
  return {};
}

Result<void> set_chunk_size(Connection& db, int64_t bytes) {
  auto chunk = static_cast<int>(bytes);
  const int code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
  if (code != SQLITE_OK) return db.error(code, "set the chunk size");
  return {};
}

// Nobody can ask SQLite for the chunk size. So the file is told to hold a byte more than it does,
// in chunks of two pages, and is cut back to the byte. What the disk refuses proves nothing.
Result<void> check_chunk_size(Connection& db, const Sizing& sizing) {
  constexpr int64_t kChunk = 2 * kPageBytes;
  sqlite3_file* file = nullptr;
  sqlite3_int64 before = 0;
  int code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER,
                                  static_cast<void*>(&file));
  if (code != SQLITE_OK || file->pMethods == nullptr ||
      file->pMethods->xFileSize(file, &before) != SQLITE_OK) {
    return {};
  }
  if (auto set = set_chunk_size(db, kChunk); !set) return set;
  sqlite3_int64 wanted = before + 1;
  sqlite3_int64 after = before;
  code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_SIZE_HINT, &wanted);
  const bool is_known = code == SQLITE_OK && file->pMethods->xFileSize(file, &after) == SQLITE_OK;
  if (auto set = set_chunk_size(db, 1); !set) return set;
  (void)file->pMethods->xTruncate(file, before);  // else it has two pages more, of zeros
  if (auto set = set_chunk_size(db, sizing.chunk_bytes); !set) return set;
  if (!is_known || after == (wanted + kChunk - 1) / kChunk * kChunk) return {};
  return refused(
      "SQLite did not take SQLITE_FCNTL_CHUNK_SIZE or SQLITE_FCNTL_SIZE_HINT: the file does not "
      "grow beforehand; this SQLite library cannot hold a spool");
}

Result<void> apply_file_controls(Connection& db, const Sizing& sizing) {
  int persist = 1;
  int code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
  if (code != SQLITE_OK) return db.error(code, "keep the WAL file");
  int persists = -1;
  code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_PERSIST_WAL, &persists);
  if (code != SQLITE_OK) return db.error(code, "read back that the WAL file is kept");
  if (persists != 1) return refused("SQLite does not keep the WAL file");
  if (auto set = set_chunk_size(db, sizing.chunk_bytes); !set) return set;
  int powersafe = -1;
  code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &powersafe);
  if (code != SQLITE_OK) return db.error(code, "read back psow");
  if (powersafe != 0)
    return refused("SQLite did not take psow=0; this SQLite library cannot hold a spool");
  return {};
}

Result<std::vector<std::string>> schema_of(Connection& db) {
  auto query = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
  if (!query) return std::move(query).error();
  std::vector<std::string> texts;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return texts;
    texts.emplace_back(query->bytes_at(0));
  }
}

Result<void> refuse_version(Connection& db, int64_t version) {
  auto texts = schema_of(db);
  if (!texts) return std::move(texts).error();
  if (is_own_schema(*texts)) {
    return Error{ErrorKind::kCorrupt,
                 fmt::format("says that it is in format {}, but its tables are those of format {}: "
                             "its header is damaged; penstock spool repair brings back what is in "
                             "it",
                             version, kSchemaVersion),
                 {}};
  }
  return Error{ErrorKind::kRejected,
               fmt::format("written in format {}, this agent knows format {}; run the version that "
                           "wrote it",
                           version, kSchemaVersion),
               {}};
}

// Creates the schema in an empty file, also one that a crash left half made; refuses files that are
// not ours.
Result<void> ensure_schema(Connection& db) {
  auto version = db.number("PRAGMA user_version");
  if (!version) return std::move(version).error();
  auto application = db.number("PRAGMA application_id");
  if (!application) return std::move(application).error();
  if (*version == kSchemaVersion && *application == kApplicationId) return {};
  if (*application == kApplicationId) return refuse_version(db, *version);
  auto tables = db.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::move(tables).error();
  auto ours = db.number(
      "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name IN ('seg', 'lane_state')");
  if (!ours) return std::move(ours).error();
  if (*ours == 2) return Error{ErrorKind::kCorrupt, "is a spool with a damaged header", {}};
  if (*tables != 0 || *application != 0)
    return refused("is a database, but not a spool; move it away");
  const auto sql =
      fmt::format("BEGIN IMMEDIATE;{}{}PRAGMA application_id={};PRAGMA user_version={};COMMIT;",
                  kSchema, kIndexSchema, kApplicationId, kSchemaVersion);
  const int code = sqlite3_exec(db.handle(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return db.error(code, "create the tables");  // not with the text of it all
  return {};
}

// Writes zeros behind what the WAL holds, up to `bytes`: no frame begins with zeros, so SQLite sees
// no difference. Only ever makes the file longer. False with errno set when the disk did not take
// it.
bool grow_wal(const std::filesystem::path& file, int64_t bytes) {
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat info {};
  bool good = fstat(fd, &info) == 0;
  const std::string zeros(size_t{1} << 16, '\0');
  for (int64_t at = info.st_size; good && at < bytes;) {
    const auto size = std::min<int64_t>(static_cast<int64_t>(zeros.size()), bytes - at);
    const ssize_t wrote = pwrite(fd, zeros.data(), static_cast<size_t>(size), at);
    good = wrote > 0;
    at += wrote;
  }
  good = good && (info.st_size >= bytes || fdatasync(fd) == 0);
  const int error = errno;
  close(fd);
  errno = error;
  return good;
}

Result<void> set_up(Connection& db, const Sizing& sizing) {
  if (auto set = apply_settings(db, sizing); !set) return set;
  if (auto set = apply_file_controls(db, sizing); !set) return set;
  if (auto made = ensure_schema(db); !made) return made;
  return check_settings(db, sizing);
}

// What a spool takes before its first record: the log made beforehand, tables, first transaction.
uint64_t least_free_bytes(const Sizing& sizing) {
  constexpr int64_t kTablesBytes = 256 << 10;
  return static_cast<uint64_t>(sizing.wal_bytes + kTablesBytes);
}

Error no_room(const std::filesystem::path& file, const Sizing& sizing) {
  const auto dir = file.parent_path();
  const auto kib = [](uint64_t bytes) { return fmt::format("{} KiB", bytes >> 10); };
  const auto free = free_bytes(dir);
  return {ErrorKind::kFull,
          fmt::format("cannot create the spool in {}: the disk is full ({} free, {} needed); make "
                      "room, or set spool.dir to another disk",
                      dir.string(), free ? kib(*free) : "?", kib(least_free_bytes(sizing))),
          {}};
}

// Nothing there yet, and no room for what every spool has. Asked before anything is written: the
// log would take the last of the disk, and the tables find no room.
bool cannot_begin(const std::filesystem::path& file, const Sizing& sizing) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(file, failed);
  const bool is_new = failed ? failed == std::errc::no_such_file_or_directory : size == 0;
  if (!is_new) return false;
  const auto free = free_bytes(file.parent_path());
  return free && *free < least_free_bytes(sizing);
}

// Did the creation of its tables fail, so that nothing was ever in it?
bool is_unmade(Connection& db) {
  if (db.in_transaction() && !db.exec("ROLLBACK")) return false;
  const auto tables = db.number("SELECT count(*) FROM sqlite_schema");
  const auto application = db.number("PRAGMA application_id");
  return tables && *tables == 0 && application && *application == 0;
}

void remove_unmade(const std::filesystem::path& file) {
  for (const char* suffix : {"", "-wal", "-journal"}) {
    std::error_code ignored;
    std::filesystem::remove(std::filesystem::path(file) += suffix, ignored);
  }
}

}  // namespace

const char kIndexSchema[] = R"sql(
CREATE TABLE IF NOT EXISTS seg_index(
  lane INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  segments INTEGER NOT NULL, bytes INTEGER NOT NULL,
  segments_before INTEGER NOT NULL, bytes_before INTEGER NOT NULL, checksum INTEGER NOT NULL,
  entries BLOB NOT NULL, PRIMARY KEY(lane, first_seq)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS index_state(
  id INTEGER PRIMARY KEY, covered_id INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
)sql";

bool is_own_schema(const std::vector<std::string>& texts) {
  constexpr std::string_view kCreate = "CREATE TABLE ";
  constexpr size_t kTables = 6;  // those of the index may not be there
  const std::string own = std::string(kSchema) + kIndexSchema;
  return texts.size() >= kTables && std::all_of(texts.begin(), texts.end(), [&](const auto& text) {
           return text.starts_with(kCreate) &&
                  own.find(text.substr(kCreate.size()) + ";") != own.npos;
         });
}

std::filesystem::path generation_file(const std::filesystem::path& dir, uint32_t generation) {
  return dir / (std::to_string(generation) + ".db");
}

std::vector<Setting> required_settings(const Sizing& sizing) {
  return {
      {"locking_mode",
       "exclusive"},  // first, before the WAL is read: no shared memory file, no second opener
      {"page_size", std::to_string(kPageBytes)},
      {"auto_vacuum", "2"},  // incremental: removal of unread backlog reads 1/60 of the pages
      {"journal_mode", "wal"},
      {"synchronous", "2"},          // FULL: the fsync that on_durable stands for
      {"secure_delete", "0"},        // Debian's default would double every write
      {"journal_size_limit", "-1"},  // the WAL file never shrinks, so it never has to grow again
      {"wal_autocheckpoint", "0"},   // its errors would be swallowed: Store checkpoints and looks
      {"cache_size", "-8192"},
      {"mmap_size", "0"},  // an I/O error on a map is a SIGBUS
      {"temp_store", "2"},
      {"trusted_schema", "0"},
      {"cell_size_check", "1"},
      {"max_page_count", std::to_string(sizing.max_pages)},
  };
}

OpenTrouble trouble_of(int sqlite_code) {
  switch (sqlite_code) {
    case SQLITE_IOERR:
      return OpenTrouble::kReadError;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return OpenTrouble::kUnopenable;
    default:
      return OpenTrouble::kOther;
  }
}

Result<Connection> open_existing(const std::filesystem::path& file, const Sizing& sizing,
                                 OpenTrouble* trouble) {
  if (trouble != nullptr) *trouble = OpenTrouble::kOther;
  if (cannot_begin(file, sizing)) return no_room(file, sizing);
  int code = SQLITE_OK;
  auto db = Connection::open(file, &code);
  auto good = db ? set_up(*db, sizing) : Result<void>();
  if (db && !good) code = db->last_code();
  if (trouble != nullptr) *trouble = trouble_of(code);
  if (!db) return std::move(db).error();
  if (good) return db;
  if (good.error().kind != ErrorKind::kFull || !is_unmade(*db))
    return std::move(good).error().in(file.string());
  *db = Connection();
  remove_unmade(file);
  return no_room(file, sizing);
}

Result<void> prepare_for_writing(Connection& db, const std::filesystem::path& file,
                                 const Sizing& sizing, const Log& log) {
  if (auto good = check_chunk_size(db, sizing); !good)
    return std::move(good).error().in(file.string());
  if (!grow_wal(file.string() + "-wal", sizing.wal_bytes)) {
    log.warning(
        "{}-wal cannot be grown to {} bytes beforehand: {}; a full disk may now block removals",
        file.string(), sizing.wal_bytes, strerror(errno));
  }
  return sync_directory(file.parent_path());
}

Result<Connection> open_database(const std::filesystem::path& file, const Sizing& sizing,
                                 const Log& log) {
  auto db = open_existing(file, sizing);
  if (!db) return db;
  if (auto ready = prepare_for_writing(*db, file, sizing, log); !ready)
    return std::move(ready).error();
  return db;
}

}  // namespace penstock::spool
