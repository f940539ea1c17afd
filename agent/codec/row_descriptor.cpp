#include "agent/codec/row_descriptor.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "agent/base/varint.h"

namespace penstock::codec {
namespace {

// google/protobuf/descriptor.proto: FieldDescriptorProto.Type and .Label.
enum Type : uint8_t {
  kDouble = 1,
  kFloat = 2,
  kInt64 = 3,
  kInt32 = 5,
  kBool = 8,
  kString = 9,
  kMessage = 11,
  kBytes = 12
};
enum Label : uint8_t { kOptional = 1, kRequired = 2, kRepeated = 3 };

Type wire_type(TypeKind kind) {
  switch (kind) {
    case TypeKind::kTinyint:
    case TypeKind::kSmallint:
    case TypeKind::kInt:
    case TypeKind::kDate:
      return kInt32;
    case TypeKind::kBigint:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampNtz:
      return kInt64;
    case TypeKind::kFloat:
      return kFloat;
    case TypeKind::kDouble:
      return kDouble;
    case TypeKind::kBoolean:
      return kBool;
    case TypeKind::kBinary:
      return kBytes;
    case TypeKind::kString:
    case TypeKind::kVarchar:
    case TypeKind::kDecimal:
    case TypeKind::kVariant:
      return kString;
    case TypeKind::kArray:
    case TypeKind::kMap:
    case TypeKind::kStruct:
      break;
  }
  return kMessage;
}

void append_text(uint32_t number, std::string_view text, std::string& out) {
  append_varint(number << 3 | 2, out);
  append_bytes(text, out);
}

void append_number(uint32_t number, uint64_t value, std::string& out) {
  append_varint(number << 3, out);
  append_varint(value, out);
}

// As protobuf derives the name of a map's entry message, which must match.
std::string camel_case(std::string_view name) {
  std::string out;
  bool upper = true;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return out;
}

struct Field {
  std::string_view name;
  uint32_t number;
  Label label;  // of what is neither ARRAY nor MAP
  const DataType& type;
};

// One message with its own names for what is nested in it.
class Message {
 public:
  static Result<std::string> write(std::string_view name, const std::vector<Field>& fields) {
    Message message(name);
    for (const auto& field : fields) message.taken_.emplace(field.name);
    for (const auto& field : fields) {
      if (field.type.kind != TypeKind::kMap) continue;
      if (!message.taken_.insert(camel_case(field.name) + "Entry").second) {
        return Error{ErrorKind::kRejected,
                     "column '" + std::string(field.name) +
                         "': its name is too much like that of another column for protobuf, which "
                         "names the entries of a MAP after it; use encoding: json",
                     {}};
      }
    }
    for (const auto& field : fields) {
      if (auto added = message.add(field); !added) return std::move(added).error();
    }
    return message.bytes_;
  }

 private:
  explicit Message(std::string_view name) { append_text(1, name, bytes_); }

  Result<void> add(const Field& field) {
    switch (field.type.kind) {
      case TypeKind::kArray: {
        auto type_name = nest(field.name, field.type.parts[0]);
        if (!type_name) return std::move(type_name).error();
        put(field, kRepeated, wire_type(field.type.parts[0].kind), *type_name, bytes_);
        return {};
      }
      case TypeKind::kMap:
        return add_map(field);
      default: {
        auto type_name = nest(field.name, field.type);
        if (!type_name) return std::move(type_name).error();
        put(field, field.label, wire_type(field.type.kind), *type_name, bytes_);
        return {};
      }
    }
  }

  Result<void> add_map(const Field& field) {
    const DataType& key = field.type.parts[0];
    const DataType& value = field.type.parts[1];
    auto value_name = nest(field.name, value);
    if (!value_name) return std::move(value_name).error();
    const auto entry_name = camel_case(field.name) + "Entry";
    std::string entry;
    append_text(1, entry_name, entry);
    put({"key", 1, kOptional, key}, kOptional, wire_type(key.kind), "", entry);
    put({"value", 2, kOptional, value}, kOptional, wire_type(value.kind), *value_name, entry);
    std::string options;
    append_number(7, 1, options);  // map_entry
    append_text(7, options, entry);
    append_text(3, entry, bytes_);
    put(field, kRepeated, kMessage, entry_name, bytes_);
    return {};
  }

  // The name of the message nested here for a STRUCT; empty for other types.
  Result<std::string> nest(std::string_view column, const DataType& type) {
    if (type.kind != TypeKind::kStruct) return std::string();
    std::vector<Field> fields;
    for (size_t i = 0; i < type.parts.size(); ++i) {
      fields.push_back({type.names[i], field_number(i), kOptional, type.parts[i]});
    }
    std::string name = camel_case(column);
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) name.insert(0, "Struct");
    const std::string base = name;
    for (int n = 2; !taken_.insert(name).second; ++n) name = base + std::to_string(n);
    auto message = write(name, fields);
    if (!message) return message;
    append_text(3, *message, bytes_);
    return name;
  }

  static void put(const Field& field, Label label, Type type, std::string_view type_name,
                  std::string& out) {
    std::string bytes;
    append_text(1, field.name, bytes);
    append_number(3, field.number, bytes);
    append_number(4, label, bytes);
    append_number(5, type, bytes);
    if (!type_name.empty()) append_text(6, type_name, bytes);
    append_text(2, bytes, out);
  }

  std::string bytes_;
  std::set<std::string> taken_;  // fields and messages of one scope share their names
};

}  // namespace

uint32_t field_number(size_t position) {
  constexpr uint32_t kFirstReserved = 19'000;
  constexpr uint32_t kReserved = 1'000;
  const auto number = static_cast<uint32_t>(position) + 1;
  return number < kFirstReserved ? number : number + kReserved;
}

Result<std::string> row_descriptor(const TableSchema& table, std::string_view message_name) {
  std::vector<Field> fields;
  for (const auto& column : table.columns) {
    fields.push_back({column.name, field_number(column.position),
                      column.nullable ? kOptional : kRequired, column.type});
  }
  std::vector<const Field*> order;
  std::vector<Field> sorted;
  for (const auto& field : fields) order.push_back(&field);
  std::sort(order.begin(), order.end(),
            [](const Field* a, const Field* b) { return a->number < b->number; });
  for (const auto* field : order) sorted.push_back(*field);
  return Message::write(message_name, sorted);
}

}  // namespace penstock::codec
