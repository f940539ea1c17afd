// What a Delta table looks like, as far as writing to it is concerned: names, types, what may be
// NULL.
//
// Plain values, immutable once made. The types are those of the service's documented mapping from
// Delta to protobuf; what that mapping does not list (INTERVAL, GEOMETRY, CHAR, arrays of arrays)
// is refused by whatever reads a schema, with the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace penstock::codec {

enum class TypeKind : uint8_t {
  kTinyint,
  kSmallint,
  kInt,
  kBigint,
  kFloat,
  kDouble,
  kBoolean,
  kString,
  kVarchar,
  kBinary,
  kDate,          // days since 1970-01-01
  kTimestamp,     // microseconds since 1970-01-01 UTC
  kTimestampNtz,  // microseconds since 1970-01-01 on a wall clock
  kDecimal,
  kVariant,
  kArray,
  kMap,
  kStruct,
};

struct DataType {
  TypeKind kind = TypeKind::kString;
  int precision = 0;               // DECIMAL: digits; VARCHAR: characters
  int scale = 0;                   // DECIMAL: digits after the point
  std::vector<DataType> parts;     // ARRAY: the element; MAP: key, value; STRUCT: the fields
  std::vector<std::string> names;  // STRUCT: of the fields
  std::vector<bool> required;      // STRUCT: the field may not be NULL

  bool nested() const { return kind >= TypeKind::kArray; }
  bool operator==(const DataType&) const = default;
};

inline constexpr size_t kMaxTypeDepth = 100;  // of the service
// Fields, elements, keys and values in one table; only input made to exhaust memory has more.
inline constexpr size_t kMaxTypeParts = 20'000;
inline constexpr size_t kMaxTableColumns = 2000;  // of the service

struct TableColumn {
  std::string name;
  DataType type;
  bool nullable = true;
  uint32_t position = 0;  // from 0; gaps are what dropped columns left behind

  bool operator==(const TableColumn&) const = default;
};

struct TableSchema {
  std::vector<TableColumn> columns;  // by position

  // Without regard to case, as Unity Catalog compares names. Null: there is none.
  const TableColumn* find(std::string_view name) const;
  bool operator==(const TableSchema&) const = default;
};

// As in SQL: "DECIMAL(10,2)", "STRUCT<a:INT NOT NULL,b:ARRAY<STRING>>".
std::string to_string(const DataType& type);

// Whether the service takes the name of a column or field: A-Z a-z 0-9 _ and no digit in front.
bool is_column_name(std::string_view name);
// Whether two names are the same to Unity Catalog.
bool same_name(std::string_view a, std::string_view b);

// How many types `type` consists of, itself included.
size_t count_parts(const DataType& type);

// The rules for how types may be put together, of one level: `type`'s parts are checked already.
// kRejected with what is wrong.
Result<void> check_composition(const DataType& type);
// Names (legal, not twice), number of columns, positions ascending. kRejected naming the column.
Result<void> check_table(const TableSchema& table);

}  // namespace penstock::codec
