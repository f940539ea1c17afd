// Goal: which encoding a destination uses makes no difference to what lands. Method: random tables
// and random records; each record is encoded both ways, read by the local server's own decoders
// (which share no code with the agent's), and the cells compared. The server's own type parser
// checks ours at the same time.
#include <cmath>
#include <map>
#include <random>
#include <set>

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "agent/base/varint.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/json_text.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/type_text.h"
#include "agent/codec/unity_table.h"
#include "tests/zerobus_local/catalog_json.h"
#include "tests/zerobus_local/json_rows.h"
#include "tests/zerobus_local/proto_rows.h"

namespace penstock::codec {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  bool chance(size_t one_in) { return below(one_in) == 0; }

  DataType scalar(bool nested) {
    DataType type;
    // VARIANT is left out inside others: there JSON rows carry text as it came.
    type.kind = static_cast<TypeKind>(below(static_cast<size_t>(TypeKind::kVariant) + !nested));
    if (type.kind == TypeKind::kVarchar) type.precision = 1 + static_cast<int>(below(12));
    if (type.kind == TypeKind::kDecimal) {
      type.precision = 1 + static_cast<int>(below(38));
      type.scale = static_cast<int>(below(static_cast<size_t>(type.precision) + 1));
    }
    return type;
  }

  DataType type(int depth) {
    if (depth > 3 || !chance(3)) return scalar(depth > 0);
    DataType out;
    out.kind = static_cast<TypeKind>(static_cast<size_t>(TypeKind::kArray) + below(3));
    if (out.kind == TypeKind::kMap) {
      static constexpr TypeKind kKeys[] = {TypeKind::kInt, TypeKind::kBigint, TypeKind::kString,
                                           TypeKind::kBoolean};
      DataType key;
      key.kind = kKeys[below(4)];
      out.parts.push_back(key);
    }
    const size_t fields = out.kind == TypeKind::kStruct ? 1 + below(4) : 1;
    for (size_t i = 0; i < fields; ++i) {
      DataType part = type(depth + 1);
      if (out.kind != TypeKind::kStruct && part.kind >= TypeKind::kArray &&
          part.kind != TypeKind::kStruct) {
        part = scalar(true);
      }
      out.parts.push_back(std::move(part));
      if (out.kind != TypeKind::kStruct) continue;
      out.names.push_back("f" + std::to_string(i));
      out.required.push_back(false);
    }
    return out;
  }

  TableSchema table() {
    TableSchema out;
    uint32_t position = 0;
    const size_t columns = 1 + below(8);
    for (size_t i = 0; i < columns; ++i) {
      out.columns.push_back({"c_" + std::to_string(i), type(0), !chance(5), position});
      position += 1 + static_cast<uint32_t>(below(3));
    }
    return out;
  }

  std::string value(const DataType& type) {
    switch (type.kind) {
      case TypeKind::kTinyint:
        return std::to_string(static_cast<int8_t>(random_()));
      case TypeKind::kSmallint:
        return std::to_string(static_cast<int16_t>(random_()));
      case TypeKind::kInt:
        return std::to_string(static_cast<int32_t>(random_()));
      case TypeKind::kBigint:
        return std::to_string(static_cast<int64_t>(random_()));
      case TypeKind::kFloat:
        return std::to_string(static_cast<int32_t>(below(1 << 10)) - (1 << 9)) + ".125";
      case TypeKind::kDouble: {
        char text[64];
        const double mantissa = std::uniform_real_distribution<double>(-1, 1)(random_);
        std::snprintf(text, sizeof text, "%.17g",
                      std::ldexp(mantissa, static_cast<int>(below(200)) - 100));
        const std::string made = text;
        return made + (made.find_first_of(".e") == std::string::npos ? ".0" : "");
      }
      case TypeKind::kBoolean:
        return chance(2) ? "true" : "false";
      case TypeKind::kDate:
        return std::to_string(static_cast<int64_t>(below(40'000)) - 10'000);
      case TypeKind::kTimestamp:
      case TypeKind::kTimestampNtz:
        return std::to_string(static_cast<int64_t>(random_() % 4'000'000'000'000'000));
      case TypeKind::kVariant:
        return "{\"k\":[1,{\"x\":" + text(5) + "}]}";
      case TypeKind::kArray:
        return array(type);
      case TypeKind::kMap:
        return map(type);
      case TypeKind::kStruct:
        return structure(type);
      case TypeKind::kDecimal:
        return decimal(type);
      case TypeKind::kBinary:
        return binary();
      case TypeKind::kString:
        break;
      case TypeKind::kVarchar:
        return text(static_cast<size_t>(type.precision));
    }
    return text(20);
  }

  std::string payload(const TableSchema& table) {
    std::string out = "{";
    for (const auto& column : table.columns) {
      if (column.nullable && chance(4)) continue;
      if (out.size() > 1) out += ", ";
      const bool null = column.nullable && chance(5);
      out += "\"" + column.name + "\": " + (null ? "null" : value(column.type));
    }
    return out + "}";
  }

 private:
  std::string text(size_t most) {
    static constexpr const char* kParts[] = {"a",       "Z",    "\\n", "\\\"", "\xC3\xA4",
                                             "\\u20ac", "\\\\", " ",   "7",    "\xF0\x9F\x98\x80"};
    std::string out = "\"";
    for (size_t i = below(most + 1); i > 0; --i) out += kParts[below(std::size(kParts))];
    return out + "\"";
  }
  std::string binary() {
    std::string bytes;
    for (size_t i = below(10); i > 0; --i) bytes += static_cast<char>(random_());
    std::string out = "\"";
    append_base64(bytes, out);
    return out + "\"";
  }
  // In the one form that is kept as it is: no zeros in front or at the end.
  std::string decimal(const DataType& type) {
    std::string out = chance(2) ? "\"-" : "\"";
    const auto whole = static_cast<size_t>(type.precision - type.scale);
    const auto digits = [&](size_t n) {
      std::string made;
      for (; n > 0; --n) made += static_cast<char>('1' + below(9));
      return made;
    };
    out += whole > 0 ? digits(1 + below(whole)) : "0";
    if (type.scale > 0) out += "." + digits(1 + below(static_cast<size_t>(type.scale)));
    return out + "\"";
  }
  std::string array(const DataType& type) {
    std::string out = "[";
    for (size_t i = below(4); i > 0; --i) out += value(type.parts[0]) + (i > 1 ? "," : "");
    return out + "]";
  }
  std::string map(const DataType& type) {
    std::map<std::string, std::string> entries;
    for (size_t i = below(4); i > 0; --i) {
      std::string key = value(type.parts[0]);
      if (key[0] != '"') key = "\"" + key + "\"";
      if (type.parts[0].kind == TypeKind::kString) key = "\"k" + std::to_string(i) + "\"";
      entries.emplace(std::move(key), value(type.parts[1]));
    }
    std::string out = "{";
    for (const auto& [key, entry] : entries) out += (out.size() > 1 ? "," : "") + key + ":" + entry;
    return out + "}";
  }
  std::string structure(const DataType& type) {
    std::string out = "{";
    for (size_t i = 0; i < type.parts.size(); ++i) {
      if (chance(5)) continue;
      out += (out.size() > 1 ? "," : "") + ("\"" + type.names[i] + "\":");
      out += chance(6) ? "null" : value(type.parts[i]);
    }
    return out + "}";
  }

  std::mt19937_64 random_;
};

std::string hexadecimal(double number) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", number);
  return text;
}

// JSON with sorted keys and without what protobuf cannot say: NULL and empty.
std::string canonical(simdjson::dom::element from) {
  simdjson::dom::object object;
  simdjson::dom::array array;
  std::string out;
  if (!from.get_object().get(object)) {
    std::map<std::string, std::string> members;
    for (const auto [key, value] : object) {
      auto text = canonical(value);
      if (!text.empty()) members.emplace(key, std::move(text));
    }
    for (const auto& [key, text] : members) out += (out.empty() ? "{" : ",") + key + ":" + text;
    return out.empty() ? "" : out + "}";
  }
  if (!from.get_array().get(array)) {
    for (const auto value : array) out += (out.empty() ? "[" : ",") + canonical(value);
    return out.empty() ? "" : out + "]";
  }
  if (from.is_null()) return "";
  // A whole DOUBLE is printed without a point, up to 10^16.
  constexpr int64_t kPlain = 10'000'000'000'000'000;
  int64_t whole = 0;
  const bool is_whole = from.type() == simdjson::dom::element_type::INT64;
  if (is_whole && !from.get_int64().get(whole) && whole <= kPlain && whole >= -kPlain) {
    return hexadecimal(static_cast<double>(whole));
  }
  double number = 0;
  if (from.type() == simdjson::dom::element_type::DOUBLE && !from.get_double().get(number))
    return hexadecimal(number);
  return simdjson::minify(from);
}

std::string shown_cell(const local::Value& cell, bool nested) {
  if (const auto* n = std::get_if<int64_t>(&cell)) return std::to_string(*n);
  if (const auto* d = std::get_if<double>(&cell)) {
    return hexadecimal(*d);
  }
  if (const auto* b = std::get_if<local::Blob>(&cell)) return "x'" + b->bytes + "'";
  const auto* s = std::get_if<std::string>(&cell);
  if (!s) return nested ? "" : "NULL";
  if (!nested) return "'" + *s + "'";
  simdjson::dom::parser parser;
  return canonical(parser.parse(*s).value());
}

local::TablePtr local_table(const TableSchema& table) {
  std::vector<local::Column> columns;
  for (const auto& column : table.columns) {
    auto type = local::parse_type(to_string(column.type));
    EXPECT_TRUE(type) << to_string(column.type);
    columns.push_back({column.name, *std::move(type), column.nullable});
  }
  return std::make_shared<local::Table>("main.iot.t", std::move(columns));
}

// The cells as the decoder reads them, or the reason it refuses.
std::string landed(RowEncoder& rows, local::RowDecoder& decoder, const std::string& payload,
                   const TableSchema& table) {
  RecordView record;
  record.payload = payload;
  std::string out;
  const auto encoded = rows.encode(record, {"o", "e", 1, 1}, out);
  if (!encoded) return "not encoded: " + encoded.error().what;
  std::string_view rest(out);
  rest.remove_prefix(1);
  std::vector<local::Value> cells;
  if (const auto reason = decoder.decode(*take_bytes(rest), cells)) return "refused: " + *reason;
  std::string text;
  for (size_t i = 0; i < cells.size(); ++i) {
    text += shown_cell(cells[i], table.columns[i].type.nested()) + " | ";
  }
  return text;
}

void compare(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Generator generator(seed);
  const TableSchema table = generator.table();
  const auto server_table = local_table(table);
  auto proto = RowEncoder::make({}, table, RowForm::kProto);
  auto json = RowEncoder::make({}, table, RowForm::kJson);
  ASSERT_TRUE(proto) << proto.error().what;
  ASSERT_TRUE(json) << json.error().what;
  auto proto_decoder = local::make_proto_decoder(proto->descriptor(), server_table);
  ASSERT_TRUE(proto_decoder) << proto_decoder.error().what;
  const auto json_decoder = local::make_json_decoder(server_table);
  for (int i = 0; i < 20; ++i) {
    const auto payload = generator.payload(table);
    const auto by_json = landed(*json, *json_decoder, payload, table);
    EXPECT_FALSE(by_json.starts_with("not encoded") || by_json.starts_with("refused"))
        << by_json << "\n"
        << payload;
    EXPECT_EQ(landed(*proto, **proto_decoder, payload, table), by_json) << payload;
    if (testing::Test::HasFailure()) return;
  }
}

TEST(RowsEqual, JsonAndProtobufRowsOfTheSameRecordLandEqual) {
  const uint64_t first = std::random_device{}();
  std::cout << "seeds from " << first << "\n";
  for (uint64_t seed = first; seed < first + 300 && !HasFailure(); ++seed) compare(seed);
}

TEST(RowsEqual, BothReadersOfTypesAgree) {
  const uint64_t first = std::random_device{}();
  std::cout << "seeds from " << first << "\n";
  for (uint64_t seed = first; seed < first + 300 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const TableSchema table = Generator(seed).table();
    const auto server_table = local_table(table);
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const auto text = local::to_string(server_table->columns()[i].type);
      const auto type = parse_type_text(text);
      ASSERT_TRUE(type) << type.error().what;
      EXPECT_EQ(*type, table.columns[i].type) << text;
    }
    const auto answered = parse_unity_table(local::catalog_json(*server_table));
    ASSERT_TRUE(answered) << answered.error().what;
    ASSERT_EQ(answered->schema.columns.size(), table.columns.size());
    for (size_t i = 0; i < table.columns.size(); ++i) {
      EXPECT_EQ(answered->schema.columns[i].type, table.columns[i].type);
      EXPECT_EQ(answered->schema.columns[i].nullable, table.columns[i].nullable);
    }
  }
}

}  // namespace
}  // namespace penstock::codec
