// One generation of the spool: the SQLite file `<n>.db`, opened with the settings its promises rest
// on. FORMAT.md has the schema and the reasons.
//
// Owned by the spool thread once it runs. open() has applied and read back every setting, so a
// library built with other defaults is refused rather than trusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/sizing.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

inline constexpr int64_t kSchemaVersion = 1;
inline constexpr int64_t kApplicationId = 0x506E7374;  // "Pnst"

// <dir>/<generation>.db
std::filesystem::path generation_file(const std::filesystem::path& dir, uint32_t generation);

struct Setting {
  std::string name;
  std::string value;  // as the pragma reads back
};
// The pragmas in the order in which they must be set.
std::vector<Setting> required_settings(const Sizing& sizing);

// Is a schema, given as the texts SQLite keeps of it, to the letter that of this format? That of
// another one is not: in such a file a version number that differs is damage.
bool is_own_schema(const std::vector<std::string>& texts);

// The tables of the index, if they are not there: files of earlier versions have none, and get them
// with their first rows.
extern const char kIndexSchema[];

// Opens a file to read it, or to make its tables if it has none. kDenied: locked, not permitted or
// not a spool; kRejected: in a newer format; kCorrupt: damaged; kFull: no room to create it.
// `trouble` says more of a failure.
enum class OpenTrouble {
  kOther,
  kReadError,   // of the medium; it may answer again
  kUnopenable,  // not a file, not permitted, read-only
};
Result<Connection> open_existing(const std::filesystem::path& file, const Sizing& sizing,
                                 OpenTrouble* trouble = nullptr);
OpenTrouble trouble_of(int sqlite_code);

// Grows the WAL and syncs the directory: before the first commit to a file. kDenied: SQLite does
// not follow the file controls that make it longer beforehand.
Result<void> prepare_for_writing(Connection& db, const std::filesystem::path& file,
                                 const Sizing& sizing, const Log& log);

// Both.
Result<Connection> open_database(const std::filesystem::path& file, const Sizing& sizing,
                                 const Log& log);

}  // namespace penstock::spool
