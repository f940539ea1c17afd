#include "agent/codec/table_schema.h"

#include <algorithm>
#include <set>

#include "agent/base/text.h"

namespace penstock::codec {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string folded(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

std::string_view sql_name(TypeKind kind) {
  switch (kind) {
    case TypeKind::kTinyint:
      return "TINYINT";
    case TypeKind::kSmallint:
      return "SMALLINT";
    case TypeKind::kInt:
      return "INT";
    case TypeKind::kBigint:
      return "BIGINT";
    case TypeKind::kFloat:
      return "FLOAT";
    case TypeKind::kDouble:
      return "DOUBLE";
    case TypeKind::kBoolean:
      return "BOOLEAN";
    case TypeKind::kString:
      return "STRING";
    case TypeKind::kVarchar:
      return "VARCHAR";
    case TypeKind::kBinary:
      return "BINARY";
    case TypeKind::kDate:
      return "DATE";
    case TypeKind::kTimestamp:
      return "TIMESTAMP";
    case TypeKind::kTimestampNtz:
      return "TIMESTAMP_NTZ";
    case TypeKind::kDecimal:
      return "DECIMAL";
    case TypeKind::kVariant:
      return "VARIANT";
    case TypeKind::kArray:
      return "ARRAY";
    case TypeKind::kMap:
      return "MAP";
    case TypeKind::kStruct:
      break;
  }
  return "STRUCT";
}

// Integers, booleans and text: what protobuf allows as the key of a map.
bool is_key(TypeKind kind) {
  return kind <= TypeKind::kBigint || kind == TypeKind::kBoolean || kind == TypeKind::kString ||
         kind == TypeKind::kVarchar;
}

Result<void> check_fields(const DataType& type) {
  std::set<std::string> taken;
  for (const auto& name : type.names) {
    if (!is_column_name(name)) {
      return refused("the field name '" + shown(name) +
                     "' is not made of A-Z a-z 0-9 _ only, which is all that the service takes");
    }
    if (!taken.insert(folded(name)).second) {
      return refused("a STRUCT has the field '" + name + "' twice");
    }
  }
  if (type.names.empty()) return refused("a STRUCT needs at least one field");
  return {};
}

}  // namespace

const TableColumn* TableSchema::find(std::string_view name) const {
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const TableColumn& column) {
    return same_name(column.name, name);
  });
  return found == columns.end() ? nullptr : &*found;
}

std::string to_string(const DataType& type) {
  std::string out(sql_name(type.kind));
  if (type.kind == TypeKind::kVarchar) return out + "(" + std::to_string(type.precision) + ")";
  if (type.kind == TypeKind::kDecimal) {
    return out + "(" + std::to_string(type.precision) + "," + std::to_string(type.scale) + ")";
  }
  if (!type.nested()) return out;
  out += '<';
  for (size_t i = 0; i < type.parts.size(); ++i) {
    if (i > 0) out += ',';
    if (type.kind == TypeKind::kStruct) out += type.names[i] + ":";
    out += to_string(type.parts[i]);
    if (type.kind == TypeKind::kStruct && type.required[i]) out += " NOT NULL";
  }
  return out + ">";
}

bool is_column_name(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789";
  return !name.empty() && kDigits.find(name.front()) == std::string_view::npos &&
         name.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
             std::string_view::npos;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

size_t count_parts(const DataType& type) {
  size_t count = 1;
  for (const auto& part : type.parts) count += count_parts(part);
  return count;
}

Result<void> check_composition(const DataType& type) {
  if (type.kind == TypeKind::kDecimal) {
    const bool good = type.precision >= 1 && type.precision <= 38 && type.scale >= 0 &&
                      type.scale <= type.precision;
    if (!good) return refused("DECIMAL(p,s) needs 1 <= p <= 38 and 0 <= s <= p");
  }
  if (type.kind == TypeKind::kVarchar && type.precision < 1) {
    return refused("VARCHAR(n) needs a length of at least 1");
  }
  if (type.kind == TypeKind::kStruct) return check_fields(type);
  if (!type.nested()) return {};
  if (type.kind == TypeKind::kMap && !is_key(type.parts[0].kind)) {
    return refused("the key of a MAP is an integer, BOOLEAN or STRING, not " +
                   to_string(type.parts[0]));
  }
  const TypeKind inner = type.parts.back().kind;
  if (inner == TypeKind::kArray || inner == TypeKind::kMap) {
    return refused("the service takes no " + std::string(sql_name(inner)) + " directly in " +
                   (type.kind == TypeKind::kMap ? "a MAP" : "an ARRAY") +
                   "; a STRUCT in between is fine");
  }
  return {};
}

Result<void> check_table(const TableSchema& table) {
  if (table.columns.empty()) return refused("the table has no columns");
  if (table.columns.size() > kMaxTableColumns) {
    return refused("the table has more than 2000 columns, the most that the service takes");
  }
  std::set<std::string> taken;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const auto& column = table.columns[i];
    const std::string context = "column '" + shown(column.name) + "': ";
    if (!is_column_name(column.name)) {
      return refused(context +
                     "the service takes names of A-Z a-z 0-9 _ with no digit in front only");
    }
    if (!taken.insert(folded(column.name)).second) return refused(context + "it is there twice");
    if (i > 0 && column.position <= table.columns[i - 1].position) {
      return refused(context + "its position is that of another column");
    }
  }
  return {};
}

}  // namespace penstock::codec
