// The catalog: which tables exist, read from a YAML file.
//
// An entry has either `name` (a table) or `pattern` (a glob with * and ? over the full name: such a
// table comes into being when a stream first names it). Names are matched without regard to case,
// as Unity Catalog does; an exact name wins over patterns, patterns count in file order.
// Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

class Catalog {
 public:
  struct Pattern {
    std::string glob;
    std::vector<Column> columns;
  };
  Catalog(std::vector<TablePtr> tables, std::vector<Pattern> patterns);

  // Null when there is no such table and no pattern that allows it.
  TablePtr find(std::string_view name);

  // Every table that exists now, by name.
  std::vector<TablePtr> all() const;

  // ALTER TABLE and DROP TABLE, for as long as the server runs. A table that is changed is another
  // object; who holds the old one finds out by version(). A column that is added is nullable.
  // kRejected: there is no such table or column, it exists already, or the type is no type.
  Result<void> add_column(const std::string& table, const std::string& column,
                          const std::string& type);
  Result<void> drop_column(const std::string& table, const std::string& column);
  bool drop_table(const std::string& table);  // false: there is none
  // Rises with every such change.
  uint64_t version() const { return version_; }

 private:
  Result<void> replace(const std::string& table, std::vector<Column> columns);

  mutable std::mutex mutex_;
  std::map<std::string, TablePtr> tables_;  // by lower-case name
  std::set<std::string> dropped_;
  const std::vector<Pattern> patterns_;
  std::atomic<uint64_t> version_{0};
};

// kRejected: `what` has one line per problem, "FILE:LINE: what is wrong and what to do", all
// problems at once.
Result<std::shared_ptr<Catalog>> parse_tables(const std::string& yaml, std::string_view file);

// The same, from a file that may be missing or unreadable.
Result<std::shared_ptr<Catalog>> load_tables(const std::string& path);

// * = any run of characters, ? = one. Without regard to case. Pure.
bool glob_matches(std::string_view glob, std::string_view text);

}  // namespace penstock::local
