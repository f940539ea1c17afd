// Unity Catalog's description of a table, as its REST interface answers
// (GET /api/2.1/unity-catalog/tables/NAME), read into values.
//
// Pure, any thread. Reads untrusted text. A column of a type the service does not take is left out
// when it may be NULL (such a column is then always NULL), with a warning; when it is NOT NULL the
// table is refused. Source of the facts: the public API's documentation and the vendor's SDK.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

struct UnityTable {
  std::string full_name;   // catalog.schema.table, empty when not said
  std::string table_id;    // another one when the table was dropped and created again
  std::string table_type;  // MANAGED, EXTERNAL, VIEW, ...
  std::string format;      // DELTA
  std::vector<std::string> partition_columns;
  TableSchema schema;
  std::vector<std::string> warnings;  // what will not work as one might hope, for people
};

inline constexpr size_t kMaxTableBytes = size_t{8} << 20;

// kRejected with what is wrong with the answer, naming the column.
Result<UnityTable> parse_unity_table(std::string_view json);

// One type as Spark writes it in JSON, bare or wrapped as the field of a struct (Unity Catalog's
// type_json): "\"long\"", "{\"type\":\"array\",\"elementType\":\"string\",...}".
Result<DataType> parse_type_json(std::string_view json);

}  // namespace penstock::codec
