#include "agent/codec/nested_values.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "agent/base/text.h"
#include "agent/codec/cast.h"
#include "agent/codec/proto_wire.h"
#include "agent/codec/row_descriptor.h"
#include "agent/codec/table_fit.h"

namespace penstock::codec {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kKeptBytes = size_t{256} * 1024;  // buffers beyond this are not kept
constexpr size_t kNoField = static_cast<size_t>(-1);

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

// The text has been read before, so this does not happen.
Error unreadable(simdjson::error_code code) {
  return refused(std::string("is not readable: ") + simdjson::error_message(code));
}

// The same error with where it is in front: "element 3, field 'a' is 'x', expected ...".
Error at(const std::string& where, Error error) {
  const bool deeper = error.what.starts_with("element ") || error.what.starts_with("field ") ||
                      error.what.starts_with("key ");
  error.what.insert(0, where + (deeper ? ", " : " "));
  return error;
}

size_t field_of(const DataType& type, std::string_view key) {
  const auto found = std::find(type.names.begin(), type.names.end(), key);
  return found == type.names.end() ? kNoField : static_cast<size_t>(found - type.names.begin());
}

}  // namespace

struct NestedValues::State {
  explicit State(bool ignore) : ignore_unknown(ignore) {}

  Result<void> field(ondemand::value from, const DataType& type, uint32_t number, std::string& out);
  Result<void> array(ondemand::value from, const DataType& type, uint32_t number, std::string& out);
  Result<void> map(ondemand::value from, const DataType& type, uint32_t number, std::string& out);
  Result<void> entry(ondemand::field& from, const DataType& type, std::set<int64_t>& taken,
                     std::string& out);
  Result<void> map_key(std::string_view key, const DataType& type, std::set<int64_t>& taken,
                       std::string& out);
  Result<void> structure(ondemand::value from, const DataType& type, std::string& out);
  Result<void> members(ondemand::object from, const DataType& type, std::string& out);
  Result<void> single(ondemand::value from, const DataType& type, uint32_t number,
                      std::string& out);
  Result<void> scalar(const Value& value, const DataType& type, uint32_t number, std::string& out);

  bool ignore_unknown;
  ondemand::parser parser;
  std::string padded;
  std::string scratch;
};

namespace {

Result<Value> value_of(ondemand::value from) {
  ondemand::json_type type;
  if (const auto code = from.type().get(type)) return unreadable(code);
  std::string_view token = from.raw_json_token();
  while (!token.empty() && token.back() == ' ') token.remove_suffix(1);
  switch (type) {
    case ondemand::json_type::null:
      return Value{Value::Kind::kNull, {}, {}};
    case ondemand::json_type::boolean:
      return Value{Value::Kind::kBoolean, token, {}};
    case ondemand::json_type::number:
      return Value{Value::Kind::kNumber, token, {}};
    case ondemand::json_type::string: {
      std::string_view text;
      if (const auto code = from.get_string().get(text)) return unreadable(code);
      return Value{Value::Kind::kText, text, token};
    }
    default:
      break;
  }
  std::string_view json;
  if (const auto code = simdjson::to_json_string(from).get(json)) return unreadable(code);
  return Value{Value::Kind::kJson, json, {}};
}

Result<bool> is_null(ondemand::value& from) {
  ondemand::json_type type;
  if (const auto code = from.type().get(type)) return unreadable(code);
  return type == ondemand::json_type::null;
}

// What a container is asked to be and is not.
Error mismatch(ondemand::value from, std::string_view expected) {
  const auto value = value_of(from);
  if (!value) return value.error();
  return refused("is " + shown(value->text, 40) + ", expected " + std::string(expected));
}

}  // namespace

Result<void> NestedValues::State::field(ondemand::value from, const DataType& type, uint32_t number,
                                        std::string& out) {
  if (type.kind == TypeKind::kArray) return array(from, type, number, out);
  if (type.kind == TypeKind::kMap) return map(from, type, number, out);
  return single(from, type, number, out);
}

// Anything but an ARRAY or MAP, which are not one field but a run of them.
Result<void> NestedValues::State::single(ondemand::value from, const DataType& type,
                                         uint32_t number, std::string& out) {
  if (type.kind == TypeKind::kStruct) {
    append_tag(number, Wire::kLength, out);
    const size_t begin = out.size();
    if (auto written = structure(from, type, out); !written) return written;
    insert_length(begin, out);
    return {};
  }
  const auto value = value_of(from);
  if (!value) return value.error();
  return scalar(*value, type, number, out);
}

Result<void> NestedValues::State::scalar(const Value& value, const DataType& type, uint32_t number,
                                         std::string& out) {
  const auto cell = cast_value(value, cast_of(type), TimeUnit::kAuto, scratch);
  if (!cell) return cell.error();
  append_tag(number, wire_of(type.kind), out);
  append_scalar(*cell, type.kind, out);
  return {};
}

Result<void> NestedValues::State::array(ondemand::value from, const DataType& type, uint32_t number,
                                        std::string& out) {
  ondemand::array list;
  if (from.get_array().get(list)) return mismatch(from, "an array");
  size_t index = 0;
  for (auto each : list) {
    const std::string where = "element " + std::to_string(index++);
    ondemand::value element;
    if (const auto code = each.get(element)) return unreadable(code);
    const auto null = is_null(element);
    if (!null) return null.error();
    if (*null) return refused(where + " is null, which an ARRAY cannot hold");
    if (auto written = single(element, type.parts[0], number, out); !written) {
      return at(where, std::move(written).error());
    }
  }
  return {};
}

Result<void> NestedValues::State::map(ondemand::value from, const DataType& type, uint32_t number,
                                      std::string& out) {
  ondemand::object object;
  if (from.get_object().get(object)) return mismatch(from, "an object");
  std::set<int64_t> taken;
  for (auto each : object) {
    ondemand::field field;
    if (const auto code = std::move(each).get(field)) return unreadable(code);
    append_tag(number, Wire::kLength, out);
    const size_t begin = out.size();
    if (auto written = entry(field, type, taken, out); !written) return written;
    insert_length(begin, out);
  }
  return {};
}

// "1" and "01" are one key to a MAP of numbers, which would hold the last of their values only.
// That texts differ has been checked.
Result<void> NestedValues::State::map_key(std::string_view key, const DataType& type,
                                          std::set<int64_t>& taken, std::string& out) {
  const auto cell =
      cast_value({Value::Kind::kText, key, {}}, cast_of(type), TimeUnit::kAuto, scratch);
  if (!cell) return cell.error();
  if (cell->kind != Cell::Kind::kText && !taken.insert(cell->integer).second) {
    std::string same;
    append_json(*cell, same);
    return refused("is in the MAP already, as " + same);
  }
  append_tag(1, wire_of(type.kind), out);
  append_scalar(*cell, type.kind, out);
  return {};
}

Result<void> NestedValues::State::entry(ondemand::field& from, const DataType& type,
                                        std::set<int64_t>& taken, std::string& out) {
  std::string_view key;
  if (const auto code = from.unescaped_key().get(key)) return unreadable(code);
  const std::string where = "key '" + shown(key) + "'";
  if (auto written = map_key(key, type.parts[0], taken, out); !written) {
    return at(where, std::move(written).error());
  }
  ondemand::value value = from.value();
  const auto null = is_null(value);
  if (!null) return null.error();
  if (*null) return refused(where + " is null, which a MAP cannot hold");
  if (auto written = single(value, type.parts[1], 2, out); !written) {
    return at(where, std::move(written).error());
  }
  return {};
}

Result<void> NestedValues::State::structure(ondemand::value from, const DataType& type,
                                            std::string& out) {
  ondemand::object object;
  if (from.get_object().get(object)) return mismatch(from, "an object");
  return members(object, type, out);
}

Result<void> NestedValues::State::members(ondemand::object from, const DataType& type,
                                          std::string& out) {
  std::vector<bool> present(type.names.size(), false);
  for (auto each : from) {
    ondemand::field member;
    if (const auto code = std::move(each).get(member)) return unreadable(code);
    std::string_view key;
    if (const auto code = member.unescaped_key().get(key)) return unreadable(code);
    const size_t index = field_of(type, key);
    if (index == kNoField) {
      if (ignore_unknown) continue;
      return refused("field '" + shown(key) + "' is not in the table");
    }
    ondemand::value value = member.value();
    const auto null = is_null(value);
    if (!null) return null.error();
    if (*null) continue;
    present[index] = true;
    if (auto written = field(value, type.parts[index], field_number(index), out); !written) {
      return at("field '" + type.names[index] + "'", std::move(written).error());
    }
  }
  for (size_t i = 0; i < present.size(); ++i) {
    if (type.required[i] && !present[i]) {
      return refused("field '" + type.names[i] + "' is null or missing, but it is NOT NULL");
    }
  }
  return {};
}

NestedValues::NestedValues(bool ignore_unknown) : state_(std::make_unique<State>(ignore_unknown)) {}
NestedValues::NestedValues(NestedValues&&) noexcept = default;
NestedValues& NestedValues::operator=(NestedValues&&) noexcept = default;
NestedValues::~NestedValues() = default;

Result<void> NestedValues::append(std::string_view json, const DataType& type, uint32_t number,
                                  std::string& out) {
  auto& state = *state_;
  state.padded.assign(json);
  state.padded.append(simdjson::SIMDJSON_PADDING, '\0');
  ondemand::document document;
  ondemand::value root;
  auto code =
      state.parser.iterate(state.padded.data(), json.size(), state.padded.size()).get(document);
  if (!code) code = document.get_value().get(root);
  if (code) return unreadable(code);
  return state.field(root, type, number, out);
}

void NestedValues::release_large_buffers() {
  if (state_->padded.capacity() <= kKeptBytes) return;
  state_->padded = {};
  state_->scratch = {};
  state_->parser = ondemand::parser();
}

}  // namespace penstock::codec
