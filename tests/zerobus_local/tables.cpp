#include "tests/zerobus_local/tables.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include <yaml-cpp/yaml.h>

namespace penstock::local {
namespace {

constexpr size_t kMaxColumns = 2000;  // the service's limit
// Where a row came from, kept by the store beside the table's own columns.
constexpr std::array<std::string_view, 4> kReserved = {"_stream_id", "_offset", "_index",
                                                       "_arrived_us"};

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

std::vector<std::string_view> split_dots(std::string_view name) {
  std::vector<std::string_view> parts;
  for (size_t dot; (dot = name.find('.')) != std::string_view::npos; name.remove_prefix(dot + 1)) {
    parts.push_back(name.substr(0, dot));
  }
  parts.push_back(name);
  return parts;
}

bool legal_table_name(std::string_view name) {
  const auto parts = split_dots(name);
  return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), legal_name);
}

bool legal_pattern(std::string_view glob) {
  return !glob.empty() && std::all_of(glob.begin(), glob.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '*' ||
           c == '?';
  });
}

// Walks the document and notes every problem instead of stopping at the first.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  void read(const YAML::Node& root) {
    if (!root.IsMap()) return problem(root, "the file must be a map with the key 'tables'");
    YAML::Node list;
    for (const auto& [key, value] : entries(root, {"tables"})) {
      if (key == "tables") list = value;
    }
    if (!list.IsDefined() || !list.IsSequence() || list.size() == 0) {
      return problem(root, "'tables' must be a list with at least one table");
    }
    for (const auto& entry : list) read_table(entry);
  }

  std::vector<TablePtr> tables;
  std::vector<Catalog::Pattern> patterns;
  std::string problems;  // one line each

 private:
  void problem(const YAML::Node& at, std::string_view what) { problem(at.Mark().line + 1, what); }
  void problem(int line, std::string_view what) {
    if (!problems.empty()) problems += '\n';
    problems +=
        std::string(file_) + ":" + std::to_string(std::max(line, 1)) + ": " + std::string(what);
  }

  // The pairs of a map; unknown and repeated keys are problems.
  std::vector<std::pair<std::string, YAML::Node>> entries(const YAML::Node& map,
                                                          std::set<std::string> known) {
    std::vector<std::pair<std::string, YAML::Node>> out;
    std::set<std::string> seen;
    for (const auto& pair : map) {
      std::string key = pair.first.IsScalar() ? pair.first.Scalar() : std::string("?");
      if (known.count(key) == 0) {
        std::string names;
        for (const auto& name : known) names += (names.empty() ? "" : ", ") + name;
        const bool cut_type = key.find_first_of(")>") != std::string::npos;
        problem(pair.first, "unknown key '" + key + "'; known here: " + names +
                                (cut_type ? " (quote a type that holds commas)" : ""));
      } else if (!seen.insert(key).second) {
        problem(pair.first, "key '" + key + "' is given twice");
      } else {
        out.emplace_back(std::move(key), pair.second);
      }
    }
    return out;
  }

  void read_table(const YAML::Node& entry) {
    if (!entry.IsMap()) return problem(entry, "a table must be a map with 'name' and 'columns'");
    std::string name, pattern;
    std::vector<Column> columns;
    bool has_columns = false;
    for (const auto& [key, value] : entries(entry, {"name", "pattern", "columns"})) {
      if (key == "columns") {
        has_columns = true;
        columns = read_columns(value);
      } else if (!value.IsScalar()) {
        problem(value, "'" + key + "' must be text");
      } else {
        (key == "name" ? name : pattern) = value.Scalar();
      }
    }
    if (name.empty() == pattern.empty()) {
      problem(entry, "a table needs either 'name' or 'pattern'");
    } else if (!has_columns) {
      problem(entry, "table " + name + pattern + " has no 'columns'");
    } else {
      add(entry, name, pattern, std::move(columns));
    }
  }

  void add(const YAML::Node& at, const std::string& name, const std::string& pattern,
           std::vector<Column> columns) {
    if (!pattern.empty()) {
      if (!legal_pattern(pattern)) {
        return problem(at,
                       "pattern '" + pattern + "' may hold letters, digits, '_', '.', '*' and '?'");
      }
      patterns.push_back({pattern, std::move(columns)});
      return;
    }
    if (!legal_table_name(name)) {
      return problem(
          at, "table '" + name +
                  "' must have three parts, catalog.schema.table, of letters, digits and '_'");
    }
    if (!names_.insert(lower(name)).second) {
      return problem(at, "table '" + name + "' is defined twice (case does not count)");
    }
    tables.push_back(std::make_shared<Table>(name, std::move(columns)));
  }

  std::vector<Column> read_columns(const YAML::Node& list) {
    std::vector<Column> columns;
    if (!list.IsSequence() || list.size() == 0) {
      problem(list, "'columns' must be a list with at least one {name: ..., type: ...}");
      return columns;
    }
    if (list.size() > kMaxColumns) problem(list, "a table may have at most 2000 columns");
    std::set<std::string> names;
    for (const auto& entry : list) {
      const size_t before = problems.size();
      Column column = read_column(entry);
      if (problems.size() != before) continue;
      if (!names.insert(lower(column.name)).second) {
        problem(entry, "column '" + column.name + "' is defined twice (case does not count)");
      }
      columns.push_back(std::move(column));
    }
    return columns;
  }

  Column read_column(const YAML::Node& entry) {
    Column column;
    bool has_type = false;
    if (!entry.IsMap()) {
      problem(entry, "a column must be a map with 'name' and 'type'");
      return column;
    }
    for (const auto& [key, value] : entries(entry, {"name", "type", "nullable"})) {
      if (!value.IsScalar()) {
        problem(value, "'" + key + "' must be a plain value");
      } else if (key == "name") {
        column.name = value.Scalar();
      } else if (key == "type") {
        has_type = true;
        auto type = parse_type(value.Scalar());
        if (type) {
          column.type = std::move(*type);
        } else {
          problem(value, type.error().what);
        }
      } else if (!YAML::convert<bool>::decode(value, column.nullable)) {
        problem(value, "'nullable' must be true or false");
      }
    }
    check_column_name(entry, column.name);
    if (!has_type) problem(entry, "column '" + column.name + "' has no 'type'");
    return column;
  }

  void check_column_name(const YAML::Node& at, const std::string& name) {
    if (!legal_name(name)) {
      return problem(at,
                     "column '" + name +
                         "' needs a 'name' of letters, digits and '_', not starting with a digit");
    }
    if (std::find(kReserved.begin(), kReserved.end(), lower(name)) != kReserved.end()) {
      problem(at, "column '" + name + "' is a name the local server uses itself");
    }
  }

  std::string_view file_;
  std::set<std::string> names_;
};

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

}  // namespace

Catalog::Catalog(std::vector<TablePtr> tables, std::vector<Pattern> patterns)
    : patterns_(std::move(patterns)) {
  for (auto& table : tables) tables_.emplace(lower(table->name()), std::move(table));
}

TablePtr Catalog::find(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto it = tables_.find(lower(name)); it != tables_.end()) return it->second;
  if (!legal_table_name(name) || dropped_.contains(lower(name))) return nullptr;
  for (const auto& pattern : patterns_) {
    if (!glob_matches(pattern.glob, name)) continue;
    auto table = std::make_shared<Table>(std::string(name), pattern.columns);
    tables_.emplace(lower(name), table);
    return table;
  }
  return nullptr;
}

std::vector<TablePtr> Catalog::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<TablePtr> out;
  for (const auto& [name, table] : tables_) out.push_back(table);
  return out;
}

Result<void> Catalog::replace(const std::string& table, std::vector<Column> columns) {
  const std::lock_guard lock(mutex_);
  auto& known = tables_[lower(table)];
  known = std::make_shared<Table>(known->name(), std::move(columns));
  ++version_;
  return {};
}

Result<void> Catalog::add_column(const std::string& table, const std::string& column,
                                 const std::string& type) {
  const auto known = find(table);
  if (!known) return refused("there is no table " + table);
  auto parsed = parse_type(type);
  if (!parsed) return refused(std::move(parsed).error().what);
  const bool reserved =
      std::find(kReserved.begin(), kReserved.end(), lower(column)) != kReserved.end();
  if (!legal_name(column) || reserved) return refused("'" + column + "' cannot be a column's name");
  const auto same = [&](const Column& one) { return lower(one.name) == lower(column); };
  auto columns = known->columns();
  if (std::any_of(columns.begin(), columns.end(), same)) {
    return refused("table " + table + " has a column " + column + " already");
  }
  columns.push_back({column, *std::move(parsed), true});
  return replace(table, std::move(columns));
}

Result<void> Catalog::drop_column(const std::string& table, const std::string& column) {
  const auto known = find(table);
  if (!known) return refused("there is no table " + table);
  const auto at = known->find(column);
  if (!at) return refused("table " + table + " has no column " + column);
  if (known->columns().size() == 1) return refused("a table keeps at least one column");
  auto columns = known->columns();
  columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(*at));
  return replace(table, std::move(columns));
}

bool Catalog::drop_table(const std::string& table) {
  if (!find(table)) return false;
  const std::lock_guard lock(mutex_);
  tables_.erase(lower(table));
  dropped_.insert(lower(table));
  ++version_;
  return true;
}

Result<std::shared_ptr<Catalog>> parse_tables(const std::string& yaml, std::string_view file) {
  Reader reader(file);
  try {
    reader.read(YAML::Load(yaml));
  } catch (const YAML::Exception& e) {  // the text is not YAML at all
    return refused(std::string(file) + ":" + std::to_string(std::max(e.mark.line + 1, 1)) + ": " +
                   e.msg);
  }
  if (!reader.problems.empty()) return refused(std::move(reader.problems));
  return std::make_shared<Catalog>(std::move(reader.tables), std::move(reader.patterns));
}

Result<std::shared_ptr<Catalog>> load_tables(const std::string& path) {
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    return refused(path + ": cannot be read; give --tables a YAML file with the tables to offer");
  }
  return parse_tables(text, path);
}

bool glob_matches(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0;
  size_t star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
    } else if (g < glob.size() && (glob[g] == '?' || lower(glob[g]) == lower(text[t]))) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace penstock::local
