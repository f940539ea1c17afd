#include "agent/spool/sqlite.h"

#include <array>
#include <cerrno>
#include <mutex>

#include <sqlite3.h>

namespace penstock::spool {
namespace {

ErrorKind kind_of(int code, int system_errno) {
  if (code == SQLITE_IOERR_WRITE && (system_errno == EDQUOT || system_errno == ENOSPC))
    return ErrorKind::kFull;
  switch (code & 0xFF) {
    case SQLITE_FULL:
      return ErrorKind::kFull;
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
      return ErrorKind::kTransient;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return ErrorKind::kDenied;
    default:
      return ErrorKind::kCorrupt;
  }
}

// Of the file and its log, what the last failed read said; 0: none. A read behind the end makes
// them forget it, so that damage found later is not taken for it.
int read_errno(sqlite3* db, bool forget) {
  int found = 0;
  for (const int which : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    sqlite3_file* file = nullptr;
    if (sqlite3_file_control(db, "main", which, &file) != SQLITE_OK) continue;
    if (file == nullptr || file->pMethods == nullptr) continue;
    int last = 0;
    (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &last);
    if (last == EIO || last == ENXIO || last == ERANGE) found = last;
    sqlite3_int64 end = 0;
    char byte = 0;
    if (forget && file->pMethods->xFileSize(file, &end) == SQLITE_OK)
      (void)file->pMethods->xRead(file, &byte, 1, end);
  }
  return found;
}

Error make_error(sqlite3* db, int code, std::string_view doing) {
  const int extended = db != nullptr && (sqlite3_extended_errcode(db) & 0xFF) == (code & 0xFF)
                           ? sqlite3_extended_errcode(db)
                           : code;
  const int system_errno = db != nullptr ? sqlite3_system_errno(db) : 0;
  std::string what(doing);
  what.append(": ").append(db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  what.append(" (SQLite ").append(std::to_string(extended));
  if ((extended & 0xFF) == SQLITE_IOERR || (extended & 0xFF) == SQLITE_CANTOPEN) {
    what.append(", errno ").append(std::to_string(system_errno));
  }
  // What SQLite calls damage may be a read that failed; those it answers as SQLITE_CORRUPT.
  const int unread =
      (extended & 0xFF) == SQLITE_CORRUPT && db != nullptr ? read_errno(db, false) : 0;
  if (unread != 0) what.append(", a read error: errno ").append(std::to_string(unread));
  what.append(")");
  return {kind_of(extended, system_errno), std::move(what), {}};
}

// In a URI `?` and `#` end the path and `%` escapes.
std::string uri_of(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    if (c == '?') {
      uri += "%3f";
    } else if (c == '#') {
      uri += "%23";
    } else if (c == '%') {
      uri += "%25";
    } else {
      uri += c;
    }
  }
  return uri + "?psow=0";
}

// Left valid, a frame that goes bad would end the log early, and its older pages cover newer ones
// of the database. Without its header no frame counts. A cut in the middle leaves all of the log,
// which says the same as the database, or none. An error costs nothing else.
void retire(sqlite3* handle) {
  constexpr int kHeaderBytes = 32;
  int frames = 0;
  int copied = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(handle, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
  if (code != SQLITE_OK || frames <= 0 || copied != frames) return;
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER,
                           static_cast<void*>(&log)) != SQLITE_OK ||
      log == nullptr || log->pMethods == nullptr) {
    return;
  }
  const std::array<char, kHeaderBytes> zeros{};
  if (log->pMethods->xWrite(log, zeros.data(), kHeaderBytes, 0) == SQLITE_OK)
    (void)log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

// Memory statistics cost a global lock per allocation. Process-wide and only before first use: a
// later caller keeps what there is.
void configure_library() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void CloseDatabase::operator()(sqlite3* handle) const {
  if (retires_log) retire(handle);
  sqlite3_close_v2(handle);
}

Statement& Statement::bind(int index, int64_t value) {
  bind_error_ |= sqlite3_bind_int64(statement_.get(), index, value);
  return *this;
}

Statement& Statement::bind_text(int index, std::string_view text) {
  bind_error_ |= sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(),
                                     text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  bind_error_ |= sqlite3_bind_blob64(statement_.get(), index, bytes.empty() ? "" : bytes.data(),
                                     bytes.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  sqlite3* db = sqlite3_db_handle(statement_.get());
  if (bind_error_ != SQLITE_OK) return make_error(db, SQLITE_NOMEM, sqlite3_sql(statement_.get()));
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return make_error(db, code, sqlite3_sql(statement_.get()));
}

Result<void> Statement::run() {
  auto stepped = step();
  reset();
  if (!stepped) return std::move(stepped).error();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_.get());  // repeats the error of the last step, which is known already
  sqlite3_clear_bindings(statement_.get());
  bind_error_ = SQLITE_OK;
}

int64_t Statement::int_at(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::bytes_at(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr
             ? std::string_view()
             : std::string_view(static_cast<const char*>(data), static_cast<size_t>(size));
}

Result<Connection> Connection::open(const std::filesystem::path& file, int* failed_with) {
  configure_library();
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
                         SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(uri_of(file).c_str(), &raw, kFlags, nullptr);
  Connection connection;
  connection.handle_.reset(raw);
  if (code != SQLITE_OK && failed_with != nullptr) *failed_with = code & 0xFF;
  if (code != SQLITE_OK) return make_error(raw, code, "open " + file.string());
  connection.checkpoint_on_close(false);
  return connection;
}

Result<void> Connection::exec(const std::string& sql) {
  const int code = sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, sql);
  return {};
}

Result<Statement> Connection::prepare(std::string_view sql) {
  Statement statement;
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  statement.statement_.reset(raw);
  if (code != SQLITE_OK) return error(code, sql);
  return statement;
}

Result<int64_t> Connection::number(const std::string& sql) {
  auto statement = prepare(sql);
  if (!statement) return std::move(statement).error();
  auto row = statement->step();
  if (!row) return std::move(row).error();
  if (!*row) return Error{ErrorKind::kCorrupt, sql + ": no answer", {}};
  return statement->int_at(0);
}

Result<std::string> Connection::text(const std::string& sql) {
  auto statement = prepare(sql);
  if (!statement) return std::move(statement).error();
  auto row = statement->step();
  if (!row) return std::move(row).error();
  return *row ? std::string(statement->bytes_at(0)) : std::string();
}

Error Connection::error(int code, std::string_view doing) const {
  return make_error(handle(), code, doing);
}

int Connection::last_code() const {
  const int code = sqlite3_errcode(handle()) & 0xFF;
  return code == SQLITE_CORRUPT && take_read_error() ? SQLITE_IOERR : code;
}

bool Connection::take_read_error() const { return read_errno(handle(), true) != 0; }

bool Connection::in_transaction() const { return sqlite3_get_autocommit(handle()) == 0; }

void Connection::retire_log() { retire(handle()); }

void Connection::checkpoint_on_close(bool wanted) {
  handle_.get_deleter().retires_log = wanted;
  sqlite3_db_config(handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, wanted ? 0 : 1, nullptr);
}

}  // namespace penstock::spool
