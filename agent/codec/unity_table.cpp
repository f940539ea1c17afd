#include "agent/codec/unity_table.h"

#include <algorithm>
#include <utility>

#include <simdjson.h>

#include "agent/base/text.h"
#include "agent/codec/type_text.h"

namespace penstock::codec {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

std::string text_of(const object& from, std::string_view key) {
  std::string_view text;
  return from[key].get_string().get(text) ? std::string() : std::string(text);
}

// Missing, null and anything but false count as true: that is what Spark means by leaving it out.
bool flag_of(const object& from, std::string_view key) {
  bool flag = true;
  return from[key].get_bool().get(flag) ? true : flag;
}

class SparkTypes {
 public:
  Result<DataType> read(const element& from, size_t depth) {
    if (depth > kMaxTypeDepth) return refused("types are nested more than 100 levels deep");
    if (++parts_ > kMaxTypeParts) return refused("the type has more than 20000 parts");
    std::string_view name;
    if (!from.get_string().get(name)) return simple(name);
    object composed;
    if (from.get_object().get(composed)) {
      return refused("a type is neither a name nor an object in type_json");
    }
    auto type = composite(composed, depth);
    if (!type) return type;
    if (auto checked = check_composition(*type); !checked) return std::move(checked).error();
    return type;
  }

 private:
  static Result<DataType> simple(std::string_view name) {
    auto type = parse_type_text(name);
    if (type && type->nested()) return refused("type_json names a type '" + shown(name) + "'");
    return type;
  }

  Result<DataType> composite(const object& from, size_t depth) {
    const auto kind = text_of(from, "type");
    DataType type;
    if (kind == "array") {
      type.kind = TypeKind::kArray;
      return part(from, "elementType", depth, std::move(type));
    }
    if (kind == "map") {
      type.kind = TypeKind::kMap;
      auto key = part(from, "keyType", depth, std::move(type));
      return key ? part(from, "valueType", depth, *std::move(key)) : key;
    }
    if (kind == "struct") return fields(from, depth);
    return refused("the service does not take columns of type " +
                   (kind.empty() ? "unknown" : shown(kind)));
  }

  Result<DataType> part(const object& from, std::string_view key, size_t depth, DataType type) {
    element inner;
    if (from[key].get(inner)) return refused("type_json lacks " + std::string(key));
    auto read_part = read(inner, depth + 1);
    if (!read_part) return read_part;
    type.parts.push_back(*std::move(read_part));
    return type;
  }

  Result<DataType> fields(const object& from, size_t depth) {
    DataType type;
    type.kind = TypeKind::kStruct;
    simdjson::dom::array list;
    if (from["fields"].get_array().get(list)) return refused("type_json lacks fields of a struct");
    for (const auto entry : list) {
      object field;
      if (entry.get_object().get(field)) return refused("a field in type_json is no object");
      auto added = part(field, "type", depth, std::move(type));
      if (!added) return added;
      type = *std::move(added);
      type.names.push_back(text_of(field, "name"));
      type.required.push_back(!flag_of(field, "nullable"));
    }
    return type;
  }

  size_t parts_ = 0;
};

// VARCHAR where `text` has it and `type` has STRING.
void take_lengths(const DataType& text, DataType& type) {
  if (text.kind == TypeKind::kVarchar && type.kind == TypeKind::kString) type = text;
  if (text.kind != type.kind || text.parts.size() != type.parts.size()) return;
  for (size_t i = 0; i < type.parts.size(); ++i) take_lengths(text.parts[i], type.parts[i]);
}

// type_json is exact but hides VARCHAR and CHAR behind string; type_text shows them.
Result<DataType> column_type(const object& column) {
  const auto text = text_of(column, "type_text");
  const auto json = text_of(column, "type_json");
  if (json.empty() || json == "{}") {
    if (text.empty()) return refused("neither type_text nor type_json is there");
    return parse_type_text(text);
  }
  auto type = parse_type_json(json);
  if (!type || text.empty()) return type;
  auto shown_type = parse_type_text(text);
  if (shown_type) {
    take_lengths(*shown_type, *type);
  } else if (type->kind == TypeKind::kString) {
    return shown_type;
  }
  return type;
}

Result<void> add_column(const object& from, UnityTable& table) {
  TableColumn column;
  column.name = text_of(from, "name");
  column.nullable = flag_of(from, "nullable");
  int64_t position = static_cast<int64_t>(table.schema.columns.size());
  if (!from["position"].get_int64().get(position) && (position < 0 || position > 1'000'000)) {
    return refused("column '" + shown(column.name) + "': its position is out of range");
  }
  column.position = static_cast<uint32_t>(position);
  auto type = column_type(from);
  if (!type) {
    const auto what = "column '" + shown(column.name) + "': " + type.error().what;
    if (!column.nullable) return refused(what + ", and it is NOT NULL");
    table.warnings.push_back(what + "; it is left out and stays NULL");
    return {};
  }
  column.type = *std::move(type);
  table.schema.columns.push_back(std::move(column));
  return {};
}

Result<void> read_columns(const object& from, UnityTable& table) {
  simdjson::dom::array list;
  if (from["columns"].get_array().get(list)) return refused("the answer lists no columns");
  // Each may end in a warning.
  if (list.size() > kMaxTableColumns) return refused("the table has more than 2000 columns");
  size_t parts = 0;
  for (const auto entry : list) {
    object column;
    if (entry.get_object().get(column)) return refused("a column is no object");
    const size_t before = table.schema.columns.size();
    if (auto added = add_column(column, table); !added) return added;
    if (table.schema.columns.size() > before)
      parts += count_parts(table.schema.columns.back().type);
    if (parts > 2 * kMaxTypeParts) return refused("the types of the columns have too many parts");
    int64_t index = 0;
    if (!column["partition_index"].get_int64().get(index)) {
      table.partition_columns.push_back(text_of(column, "name"));
    }
  }
  auto& columns = table.schema.columns;
  std::stable_sort(columns.begin(), columns.end(),
                   [](const auto& a, const auto& b) { return a.position < b.position; });
  return check_table(table.schema);
}

void add_warnings(UnityTable& table) {
  const auto warn = [&](std::string text) { table.warnings.push_back(std::move(text)); };
  if (!table.table_type.empty() && table.table_type != "MANAGED" &&
      table.table_type != "STREAMING_TABLE") {
    warn("the table is " + shown(table.table_type) + "; the service writes to managed tables only");
  }
  if (!table.format.empty() && table.format != "DELTA") {
    warn("the table is in format " + shown(table.format) + "; the service writes Delta only");
  }
  if (!table.partition_columns.empty()) {
    warn("the table is partitioned by " + shown(table.partition_columns.front()) +
         "; the service takes rows of at most 100 partitions in 5 seconds; liquid clustering has "
         "no such limit");
  }
}

}  // namespace

Result<DataType> parse_type_json(std::string_view json) {
  if (json.size() > kMaxTypeTextBytes) return refused("type_json has more than 1 MiB");
  simdjson::dom::parser parser;
  element root;
  if (const auto code = parser.parse(json.data(), json.size()).get(root)) {
    return refused(std::string("type_json is not JSON: ") + simdjson::error_message(code));
  }
  object field;
  element type;
  const bool wrapped = !root.get_object().get(field) && !field["name"].error();
  if (wrapped && !field["type"].get(type)) root = type;
  return SparkTypes().read(root, 1);
}

Result<UnityTable> parse_unity_table(std::string_view json) {
  if (json.size() > kMaxTableBytes) return refused("the answer has more than 8 MiB");
  simdjson::dom::parser parser;
  object root;
  if (const auto code = parser.parse(json.data(), json.size()).get_object().get(root)) {
    return refused(std::string("the answer is no JSON object: ") + simdjson::error_message(code));
  }
  UnityTable table;
  table.full_name = text_of(root, "full_name");
  table.table_id = text_of(root, "table_id");
  table.table_type = text_of(root, "table_type");
  table.format = text_of(root, "data_source_format");
  if (auto read = read_columns(root, table); !read) return std::move(read).error();
  add_warnings(table);
  return table;
}

}  // namespace penstock::codec
