#include "agent/codec/table_text.h"

#include <algorithm>
#include <array>
#include <vector>

#include "agent/codec/row_descriptor.h"

namespace penstock::codec {
namespace {

std::string quoted(std::string_view name) {
  std::string out = "`";
  for (const char c : name) out.append(c == '`' ? 2 : 1, c);
  return out + "`";
}

// `a`.`b`.`c` up to the given number of parts.
std::string quoted_path(std::string_view name, size_t parts) {
  std::string out;
  while (parts-- > 0 && !name.empty()) {
    const auto part = name.substr(0, name.find('.'));
    out += (out.empty() ? "" : ".") + quoted(part);
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return out;
}

std::string_view scalar_text(TypeKind kind) {
  switch (kind) {
    case TypeKind::kTinyint:
    case TypeKind::kSmallint:
    case TypeKind::kInt:
    case TypeKind::kDate:
      return "int32";
    case TypeKind::kBigint:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampNtz:
      return "int64";
    case TypeKind::kFloat:
      return "float";
    case TypeKind::kDouble:
      return "double";
    case TypeKind::kBoolean:
      return "bool";
    case TypeKind::kBinary:
      return "bytes";
    case TypeKind::kStruct:
      return "message";
    default:
      return "string";
  }
}

}  // namespace

std::string create_table_sql(const TableSchema& table, std::string_view name,
                             std::string_view principal) {
  std::string out = "CREATE TABLE IF NOT EXISTS " + quoted_path(name, 3) + " (";
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const auto& column = table.columns[i];
    out += (i > 0 ? ",\n  " : "\n  ") + quoted(column.name) + " " + to_string(column.type);
    if (!column.nullable) out += " NOT NULL";
  }
  const auto to = " TO " + quoted(principal.empty() ? "APPLICATION_ID" : principal) + ";\n";
  out += "\n) USING DELTA;\n";
  out += "GRANT USE CATALOG ON CATALOG " + quoted_path(name, 1) + to;
  out += "GRANT USE SCHEMA ON SCHEMA " + quoted_path(name, 2) + to;
  out += "GRANT SELECT, MODIFY ON TABLE " + quoted_path(name, 3) + to;
  return out;
}

std::string wire_text(const TableColumn& column) {
  const auto& type = column.type;
  if (type.kind == TypeKind::kArray) {
    return "repeated " + std::string(scalar_text(type.parts[0].kind));
  }
  if (type.kind == TypeKind::kMap) {
    return "map<" + std::string(scalar_text(type.parts[0].kind)) + "," +
           std::string(scalar_text(type.parts[1].kind)) + ">";
  }
  return (column.nullable ? "optional " : "required ") + std::string(scalar_text(type.kind));
}

std::string mapping_text(const TableSchema& table) {
  std::vector<std::array<std::string, 4>> rows = {{"field", "column", "type", "protobuf"}};
  for (const auto& column : table.columns) {
    rows.push_back({std::to_string(field_number(column.position)), column.name,
                    to_string(column.type) + (column.nullable ? "" : " NOT NULL"),
                    wire_text(column)});
  }
  std::array<size_t, 4> widths{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] + 2 - row[i].size(), ' ');
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace penstock::codec
