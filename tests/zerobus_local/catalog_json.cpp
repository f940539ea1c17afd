#include "tests/zerobus_local/catalog_json.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

// Upper case: Unity Catalog's type_name. Spark's name of a simple type is given apart.
std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::kTinyint:
      return "BYTE";
    case Kind::kSmallint:
      return "SHORT";
    case Kind::kBigint:
      return "LONG";
    case Kind::kVarchar:
      return "STRING";
    case Kind::kInt:
      return "INT";
    case Kind::kFloat:
      return "FLOAT";
    case Kind::kDouble:
      return "DOUBLE";
    case Kind::kString:
      return "STRING";
    case Kind::kBoolean:
      return "BOOLEAN";
    case Kind::kBinary:
      return "BINARY";
    case Kind::kDate:
      return "DATE";
    case Kind::kTimestamp:
      return "TIMESTAMP";
    case Kind::kTimestampNtz:
      return "TIMESTAMP_NTZ";
    case Kind::kDecimal:
      return "DECIMAL";
    case Kind::kVariant:
      return "VARIANT";
    case Kind::kArray:
      return "ARRAY";
    case Kind::kMap:
      return "MAP";
    case Kind::kStruct:
      return "STRUCT";
  }
  return "STRING";
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Field names keep their case, types are lower case.
std::string type_text(const Type& type) {
  if (type.args.empty()) return lower_case(to_string(type));
  std::string out = lower_case(type_name(type.kind)) + "<";
  for (size_t i = 0; i < type.args.size(); ++i) {
    if (i > 0) out += ',';
    if (type.kind == Kind::kStruct) out += type.names[i] + ":";
    out += type_text(type.args[i]);
  }
  return out + ">";
}

std::string spark_field(const std::string& name, const Type& type, bool nullable);

std::string spark_type(const Type& type) {
  switch (type.kind) {
    case Kind::kArray:
      return R"({"type":"array","elementType":)" + spark_type(type.args[0]) +
             R"(,"containsNull":true})";
    case Kind::kMap:
      return R"({"type":"map","keyType":)" + spark_type(type.args[0]) + R"(,"valueType":)" +
             spark_type(type.args[1]) + R"(,"valueContainsNull":true})";
    case Kind::kStruct: {
      std::string fields;
      for (size_t i = 0; i < type.args.size(); ++i) {
        fields += (i > 0 ? "," : "") + spark_field(type.names[i], type.args[i], true);
      }
      return R"({"type":"struct","fields":[)" + fields + "]}";
    }
    case Kind::kInt:
      return "\"integer\"";
    case Kind::kDecimal:
      return '"' + lower_case(to_string(type)) + '"';
    default:
      return '"' + lower_case(type_name(type.kind)) + '"';
  }
}

std::string spark_field(const std::string& name, const Type& type, bool nullable) {
  return R"({"name":")" + name + R"(","type":)" + spark_type(type) + R"(,"nullable":)" +
         (nullable ? "true" : "false") + R"(,"metadata":{}})";
}

}  // namespace

std::string catalog_json(const Table& table) {
  const std::string& name = table.name();
  const size_t first = name.find('.');
  const size_t second = name.find('.', first + 1);
  std::string out = R"({"full_name":")" + name + R"(","catalog_name":")" + name.substr(0, first) +
                    R"(","schema_name":")" + name.substr(first + 1, second - first - 1) +
                    R"(","name":")" + name.substr(second + 1) +
                    R"(","table_type":"MANAGED","data_source_format":"DELTA","columns":[)";
  for (size_t i = 0; i < table.columns().size(); ++i) {
    const Column& column = table.columns()[i];
    out += (i > 0 ? "," : "") + std::string(R"({"name":")") + column.name + R"(","type_text":")" +
           type_text(column.type) + R"(","type_name":")" +
           std::string(type_name(column.type.kind)) + R"(","type_json":)";
    append_json_string(spark_field(column.name, column.type, column.nullable), out);
    out += R"(,"nullable":)" + std::string(column.nullable ? "true" : "false") + R"(,"position":)" +
           std::to_string(i) + "}";
  }
  return out + "]}";
}

}  // namespace penstock::local
