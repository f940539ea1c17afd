#include "tests/zerobus_local/json_rows.h"

#include <cmath>
#include <limits>
#include <utility>

#include <simdjson.h>

#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using Reason = std::optional<std::string>;

std::string got(const element& value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "the text " + quoted_sample(value.get_string().value());
    case element_type::BOOL:
      return value.get_bool().value() ? "true" : "false";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "the number " + std::string(simdjson::minify(value));
  }
}

std::string wanted(const Type& type) {
  switch (type.kind) {
    case Kind::kTimestamp:
    case Kind::kTimestampNtz:
      return "integer microseconds since 1970-01-01";
    case Kind::kDate:
      return "integer days since 1970-01-01";
    case Kind::kBinary:
      return "a base64 string";
    case Kind::kDecimal:
      return "a string with a decimal number";
    case Kind::kVariant:
      return "a string with JSON text";
    case Kind::kBoolean:
      return "true or false";
    case Kind::kFloat:
    case Kind::kDouble:
      return "a number";
    case Kind::kString:
    case Kind::kVarchar:
      return "a string";
    case Kind::kArray:
      return "an array";
    case Kind::kMap:
    case Kind::kStruct:
      return "an object";
    default:
      return "an integer";
  }
}

class JsonRows : public RowDecoder {
 public:
  explicit JsonRows(TablePtr table) : table_(std::move(table)) {}

  Reason decode(std::string_view record, std::vector<Value>& cells) override {
    const size_t base = cells.size();
    auto reason = decode_object(record, cells);
    if (reason) cells.resize(base);
    return reason;
  }

 private:
  Reason decode_object(std::string_view record, std::vector<Value>& cells) {
    const auto parsed = parser_.parse(record.data(), record.size());
    if (parsed.error()) {
      return std::string("not valid JSON: ") + simdjson::error_message(parsed.error());
    }
    simdjson::dom::object object;
    if (parsed.get_object().get(object)) {
      return "a record must be one JSON object, got " + got(parsed.value_unsafe());
    }
    const auto& columns = table_->columns();
    const size_t base = cells.size();
    cells.resize(base + columns.size());
    seen_.assign(columns.size(), false);
    for (const auto [key, value] : object) {
      const auto at = table_->find(key);
      if (!at) return "the table has no column " + quoted_sample(key);
      if (seen_[*at]) return "column " + std::string(key) + ": given twice";
      seen_[*at] = true;
      if (auto reason = read_column(value, columns[*at], cells[base + *at])) return reason;
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].nullable && !seen_[i]) {
        return "column " + columns[i].name + ": missing, but the column is NOT NULL";
      }
    }
    return std::nullopt;
  }

  Reason read_column(const element& value, const Column& column, Value& cell) {
    if (value.is_null()) {
      if (column.nullable) return std::nullopt;
      return "column " + column.name + ": null, but the column is NOT NULL";
    }
    auto reason = column.type.nested() ? read_nested(value, column.type, cell)
                                       : read_scalar(value, column.type, cell);
    if (!reason) return std::nullopt;
    return "column " + column.name + " (" + to_string(column.type) + "): " + *reason;
  }

  static Reason mismatch(const element& value, const Type& type) {
    return "wants " + wanted(type) + ", got " + got(value);
  }

  Reason read_scalar(const element& value, const Type& type, Value& cell) {
    switch (type.kind) {
      case Kind::kFloat:
      case Kind::kDouble:
        return read_number(value, type, cell);
      case Kind::kBoolean: {
        bool flag = false;
        if (value.get_bool().get(flag)) return mismatch(value, type);
        cell = int64_t{flag};
        return std::nullopt;
      }
      case Kind::kString:
      case Kind::kVarchar:
      case Kind::kDecimal:
      case Kind::kVariant:
      case Kind::kBinary:
        return read_text(value, type, cell);
      default:
        return read_integer(value, type, cell);
    }
  }

  static Reason read_integer(const element& value, const Type& type, Value& cell) {
    int64_t number = 0;
    if (value.type() == element_type::UINT64) return got(value) + " does not fit";
    if (!value.is_int64() || value.get_int64().get(number)) return mismatch(value, type);
    cell = number;
    return check_integer(number, type);
  }

  static Reason read_number(const element& value, const Type& type, Value& cell) {
    double number = 0;
    if (!value.is_number() || value.get_double().get(number)) return mismatch(value, type);
    if (type.kind == Kind::kFloat) {
      if (std::abs(number) > std::numeric_limits<float>::max()) return got(value) + " does not fit";
      number = static_cast<float>(number);
    }
    cell = number;
    return std::nullopt;
  }

  Reason read_text(const element& value, const Type& type, Value& cell) {
    std::string_view text;
    if (value.get_string().get(text)) return mismatch(value, type);
    if (type.kind == Kind::kBinary) {
      Blob blob;
      if (!decode_base64(text, blob.bytes)) return quoted_sample(text) + " is not base64";
      cell = std::move(blob);
      return std::nullopt;
    }
    cell = std::string(text);
    return check_text(text, type, scratch_);
  }

  Reason read_nested(const element& value, const Type& type, Value& cell) {
    if (auto reason = check_nested(value, type)) return reason;
    cell = std::string(simdjson::minify(value));
    return std::nullopt;
  }

  Reason check_nested(const element& value, const Type& type) {
    if (!type.nested()) {
      Value ignored;
      return read_scalar(value, type, ignored);
    }
    if (type.kind == Kind::kArray) return check_array(value, type);
    if (type.kind == Kind::kMap) return check_map(value, type);
    return check_struct(value, type);
  }

  Reason check_array(const element& value, const Type& type) {
    simdjson::dom::array array;
    if (value.get_array().get(array)) return mismatch(value, type);
    size_t i = 0;
    for (const auto item : array) {
      const auto reason = item.is_null() ? Reason("null is not allowed in an array")
                                         : check_nested(item, type.args[0]);
      if (reason) return "element " + std::to_string(i) + ": " + *reason;
      ++i;
    }
    return std::nullopt;
  }

  Reason check_map(const element& value, const Type& type) {
    simdjson::dom::object object;
    if (value.get_object().get(object)) return mismatch(value, type);
    for (const auto [key, item] : object) {
      auto reason = check_key(key, type.args[0]);
      if (!reason && item.is_null()) reason = "null is not allowed in a map";
      if (!reason) reason = check_nested(item, type.args[1]);
      if (reason) return "key " + quoted_sample(key) + ": " + *reason;
    }
    return std::nullopt;
  }

  Reason check_key(std::string_view key, const Type& type) {
    if (type.kind == Kind::kString || type.kind == Kind::kVarchar) {
      return check_text(key, type, scratch_);
    }
    element value;  // JSON keys are text: 7 and true are written "7" and "true"
    if (scratch_.parse(key.data(), key.size()).get(value)) return "is not " + to_string(type);
    Value ignored;
    return read_scalar(value, type, ignored);
  }

  Reason check_struct(const element& value, const Type& type) {
    simdjson::dom::object object;
    if (value.get_object().get(object)) return mismatch(value, type);
    for (const auto [key, item] : object) {
      size_t at = 0;
      while (at < type.names.size() && type.names[at] != key) ++at;
      if (at == type.names.size()) return "the struct has no field " + quoted_sample(key);
      if (item.is_null()) continue;
      if (auto reason = check_nested(item, type.args[at])) {
        return "field " + std::string(key) + ": " + *reason;
      }
    }
    return std::nullopt;
  }

  TablePtr table_;
  simdjson::dom::parser parser_;
  simdjson::dom::parser scratch_;  // VARIANT text and map keys, while parser_ owns the record
  std::vector<bool> seen_;
};

}  // namespace

std::unique_ptr<RowDecoder> make_json_decoder(TablePtr table) {
  return std::make_unique<JsonRows>(std::move(table));
}

}  // namespace penstock::local
