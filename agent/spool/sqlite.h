// The thin face of SQLite: a connection, a prepared statement, errors as Result. Only spool/*.cpp
// include <sqlite3.h>.
//
// One thread at a time (opened NOMUTEX). Every failure names the operation, SQLite's message and
// the extended code. Kinds: kFull = no room (quota, disk or disk quota); kTransient = out of
// memory, interrupted; kDenied = locked by another process or not permitted; kCorrupt = everything
// after which the file must not be written again: I/O errors, damage, and constraint failures,
// which mean damage here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace penstock::spool {

class Statement {
 public:
  Statement() = default;

  // Indexes from 1. The bytes behind text and blobs must live until the next reset.
  Statement& bind(int index, int64_t value);
  Statement& bind(int index, uint64_t value) { return bind(index, static_cast<int64_t>(value)); }
  Statement& bind_text(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);

  // True: a row is there, and its columns until the next step or reset.
  Result<bool> step();
  // Steps once and resets, for statements whose rows do not matter.
  Result<void> run();
  void reset();

  int64_t int_at(int column) const;
  std::string_view bytes_at(int column) const;  // text or blob, valid until the next step or reset

 private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_error_ = 0;
};

struct CloseDatabase {
  bool retires_log = false;
  void operator()(sqlite3* handle) const;
};

class Connection {
 public:
  // Opens or creates `file` with psow=0: a medium that garbles the sector being written must not
  // reach synced bytes. Closing does not checkpoint until checkpoint_on_close().
  // `code`: gets SQLite's primary result code when that fails.
  static Result<Connection> open(const std::filesystem::path& file, int* code = nullptr);

  Result<void> exec(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  // The first column of the first row; kCorrupt when there is no row.
  Result<int64_t> number(const std::string& sql);
  Result<std::string> text(const std::string& sql);
  Error error(int code, std::string_view doing) const;

  // SQLite's primary result code of the last call; SQLITE_IOERR also for a read error that it calls
  // damage. To be asked once for each failure.
  int last_code() const;
  // Did the medium fail to give what was read, from the file or its log, since this was last asked?
  bool take_read_error() const;
  bool in_transaction() const;
  // Closing copies the WAL back and then retires it only if this said so: not from a file that may
  // be damaged.
  void checkpoint_on_close(bool wanted);
  // Copies the WAL back; once all of it is in the database and synced, makes what is left of it
  // worthless, keeping the size of its file. Nothing may be written through this connection any
  // more.
  void retire_log();
  sqlite3* handle() const { return handle_.get(); }

 private:
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
};

}  // namespace penstock::spool
