// TableSchemas: the tables of one destination as Unity Catalog describes them, kept in memory and
// on disk, so that a start without a link knows them too.
//
// get() on the agent thread; `done` is called once, at once or later on another thread, and not any
// more once the destructor has begun. A table is asked for when it is not known, was asked for more
// than ten minutes ago, or may be out of date. When it cannot be asked for within a few seconds,
// what was known last is used, however old, for a minute without asking again, and that is logged
// once for each kind of trouble. A file that another process has written meanwhile (`penstock
// schema fetch`) counts before what is in memory. A table that has been created anew, by its id, is
// warned of, and a file beside remembers that for kept_schema(). So a workspace that hangs does not
// keep a table waiting that is known. Files: DIR/<table>.json, the catalog's answer as it came; one
// that cannot be read is as if missing. They, and the folders made for them, are the spool's
// owner's; the spool's own directory is not made here.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/codec/unity_table.h"
#include "agent/config/config.h"
#include "agent/zerobus/table_catalog.h"

namespace penstock::app {

class TableSchemas {
 public:
  using Done = std::function<void(Result<codec::UnityTable>)>;
  struct Described {
    codec::UnityTable table;
    bool current = false;      // the workspace has just said so
    std::string unanswered{};  // it was asked and has not: why
  };
  using Got = std::function<void(Result<Described>)>;
  // How long get() asks, token and all, but that a token another table has asked for is waited for
  // as long as that one does. Well below the time that a stream has to open.
  struct Limits {
    Millis known{5'000};     // when the table is known, if only from the disk
    Millis unknown{10'000};  // when there is nothing to go on with
  };

  static Limits default_limits() { return {}; }

  static Result<std::shared_ptr<TableSchemas>> start(const config::Config& config,
                                                     const config::Destination& destination,
                                                     const std::string& user_agent, Log log,
                                                     Limits limits = default_limits());

  // `fresh`: ask even when the table is known.
  void get(const std::string& table, bool fresh, Got done);
  // Always asks; what was known before does not help.
  void ask(const std::string& table, Done done);

 private:
  // Which version of a file this is: each is another inode, or of another time.
  struct FileMark {
    uint64_t inode = 0;  // 0: there is none
    int64_t changed_ns = 0;
    bool operator==(const FileMark&) const = default;
  };
  struct Known {
    codec::UnityTable table;
    size_t body_hash = 0;                 // of the catalog's answer
    FileMark file;                        // as it was when this was read or written
    MonoTime usable_until{};              // without asking
    std::optional<ErrorKind> said_stale;  // the trouble that it is used for
  };

  TableSchemas(std::filesystem::path spool, std::filesystem::path dir, Log log, Limits limits)
      : spool_(std::move(spool)), dir_(std::move(dir)), log_(std::move(log)), limits_(limits) {}
  void ask(const std::string& table, Millis limit, Done done);
  FileMark mark_of(const std::string& table) const;
  void read_again(const std::string& table);
  Result<codec::UnityTable> learn(const std::string& table, const std::string& body);
  Result<codec::UnityTable> last_known(const std::string& table, const Error& why);
  void keep(const std::string& table, const codec::UnityTable& read, const std::string& body);
  void write(const std::filesystem::path& file, const std::string& text);
  Result<void> write_as_owner(const std::filesystem::path& file, const std::string& text);

  const std::filesystem::path spool_;
  const std::filesystem::path dir_;
  const Log log_;
  const Limits limits_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
  std::unique_ptr<zerobus::TableCatalog> catalog_;  // last: its thread uses the rest
};

// A table as it was last fetched, by an agent or by `penstock schema fetch`, with a warning if it
// has been created anew since it was first seen. kDenied: never.
Result<codec::UnityTable> kept_schema(const config::Config& config,
                                      const config::Destination& destination,
                                      const std::string& table);

}  // namespace penstock::app
