#include "agent/codec/json_reader.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "agent/base/text.h"
#include "agent/codec/json_text.h"
#include "agent/codec/number_text.h"

namespace penstock::codec {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kKeptBytes =
    size_t{256} * 1024;  // buffers beyond this are not kept between payloads

// A value found; containers lie in the scratch buffer, which may still move.
struct Found {
  JsonValue value;
  size_t begin = 0;
  size_t end = 0;  // 0: `value.json` is final
};

JsonValue::Kind kind_of(ondemand::json_type type) {
  switch (type) {
    case ondemand::json_type::array:
      return JsonValue::Kind::kArray;
    case ondemand::json_type::object:
      return JsonValue::Kind::kObject;
    case ondemand::json_type::number:
      return JsonValue::Kind::kNumber;
    case ondemand::json_type::string:
      return JsonValue::Kind::kString;
    case ondemand::json_type::boolean:
      return JsonValue::Kind::kBoolean;
    case ondemand::json_type::null:
      break;
  }
  return JsonValue::Kind::kNull;
}

bool is_container(JsonValue::Kind kind) {
  return kind == JsonValue::Kind::kObject || kind == JsonValue::Kind::kArray;
}

}  // namespace

// simdjson's on-demand parser finds the structure and decodes strings; it looks at a scalar only
// when asked, so the walk below visits every value of the payload and checks each number and word
// itself.
struct JsonReader::State {
  State(PathTree tree, size_t depth)
      : paths(std::move(tree)), max_depth(depth), found(paths.slots()), seen(paths.nodes(), 0) {}

  Result<void> read(std::string_view payload);

  PathTree paths;
  size_t max_depth;
  ondemand::parser parser;
  std::string padded;   // the payload and simdjson's padding
  std::string scratch;  // JSON text of the containers asked for
  std::vector<Found> found;
  std::vector<uint64_t> seen;  // for each node of `paths`, the read that met it last
  uint64_t read_number = 0;
  // Keys of the objects being copied that are open, one object after the other. With a hash in
  // front, sorting them compares integers.
  std::vector<std::pair<size_t, std::string_view>> keys;
  std::optional<std::string_view> stranger;
  bool is_object = false;
  std::string problem;  // what the walk stumbled over, when simdjson has no word for it

 private:
  bool walk_document(ondemand::document& document);
  bool walk(ondemand::value value, PathTree::NodeId node, bool copying, size_t depth);
  // `Holder` is the document or a value: they have the same functions but check different things.
  template <class Holder>
  bool walk_container(Holder& holder, JsonValue::Kind kind, PathTree::NodeId node, bool copying,
                      size_t depth);
  bool walk_object(ondemand::object object, PathTree::NodeId node, bool copying, size_t depth);
  bool walk_array(ondemand::array array, PathTree::NodeId node, bool copying, size_t depth);
  bool enter_field(std::string_view key, PathTree::NodeId node, bool copying);
  bool check_keys(size_t first_key);
  bool check_scalar(JsonValue::Kind kind, std::string_view token, bool copying);
  bool check_number(std::string_view token, bool copying);
  void keep(PathTree::NodeId node, const JsonValue& value, bool copying);
  bool fail(std::string what);
  bool fail(simdjson::error_code code);
  Error error_at(ondemand::document& document) const;
  Error first_stage_error(simdjson::error_code code, std::string_view payload) const;
};

Result<void> JsonReader::State::read(std::string_view payload) {
  for (auto& each : found) each = Found{};
  scratch.clear();
  keys.clear();
  problem.clear();
  stranger.reset();
  is_object = false;
  ++read_number;
  if (trimmed(payload).empty()) return Error{ErrorKind::kRejected, "is empty, not JSON", {}};
  padded.assign(payload);
  padded.append(simdjson::SIMDJSON_PADDING, '\0');
  ondemand::document document;
  const auto code = parser.iterate(padded.data(), payload.size(), padded.size()).get(document);
  if (code) return first_stage_error(code, payload);
  if (!walk_document(document)) return error_at(document);
  for (auto& each : found) {
    if (each.end == 0) continue;
    each.value.json = std::string_view(scratch).substr(each.begin, each.end - each.begin);
  }
  return {};
}

bool JsonReader::State::walk_document(ondemand::document& document) {
  ondemand::json_type type;
  if (const auto code = document.type().get(type)) return fail(code);
  JsonValue value{kind_of(type), {}, {}};
  is_object = value.kind == JsonValue::Kind::kObject;
  if (is_container(value.kind)) {
    if (!walk_container(document, value.kind, PathTree::kRoot, false, 1)) return false;
  } else {
    value.json = trimmed({padded.data(), padded.size() - simdjson::SIMDJSON_PADDING});
    if (value.kind != JsonValue::Kind::kString) {
      if (!check_scalar(value.kind, value.json, false)) return false;
      keep(PathTree::kRoot, value, false);
      return true;
    }
    if (const auto code = document.get_string().get(value.text)) return fail(code);
    keep(PathTree::kRoot, value, false);
  }
  if (document.current_location().error() == simdjson::OUT_OF_BOUNDS) return true;
  return fail("has more text behind its JSON value; one message must hold one value");
}

bool JsonReader::State::walk(ondemand::value value, PathTree::NodeId node, bool copying,
                             size_t depth) {
  ondemand::json_type type;
  if (const auto code = value.type().get(type)) return fail(code);
  JsonValue found_value{kind_of(type), {}, {}};
  if (is_container(found_value.kind)) {
    return walk_container(value, found_value.kind, node, copying, depth);
  }
  found_value.json = trimmed(value.raw_json_token());
  if (found_value.kind == JsonValue::Kind::kString) {
    if (const auto code = value.get_string().get(found_value.text)) return fail(code);
  } else if (!check_scalar(found_value.kind, found_value.json, copying)) {
    return false;
  }
  keep(node, found_value, copying);
  return true;
}

template <class Holder>
bool JsonReader::State::walk_container(Holder& holder, JsonValue::Kind kind, PathTree::NodeId node,
                                       bool copying, size_t depth) {
  if (depth > max_depth) {
    return fail("is nested deeper than " + std::to_string(max_depth) + " levels");
  }
  const auto slot = paths.slot(node);
  const size_t begin = scratch.size();
  const bool copy = copying || slot;
  if (kind == JsonValue::Kind::kObject) {
    ondemand::object object;
    if (const auto code = holder.get_object().get(object)) return fail(code);
    if (!walk_object(object, node, copy, depth)) return false;
  } else {
    ondemand::array array;
    if (const auto code = holder.get_array().get(array)) return fail(code);
    if (!walk_array(array, node, copy, depth)) return false;
  }
  if (slot) found[*slot] = Found{{kind, {}, {}}, begin, scratch.size()};
  return true;
}

bool JsonReader::State::walk_object(ondemand::object object, PathTree::NodeId node, bool copying,
                                    size_t depth) {
  if (copying) scratch += '{';
  const size_t first_key = keys.size();
  bool first = true;
  for (auto each : object) {
    ondemand::field field;
    if (const auto code = std::move(each).get(field)) return fail(code);
    std::string_view key;
    if (const auto code = field.unescaped_key().get(key)) return fail(code);
    const auto child = paths.field(node, key);
    if (depth == 1 && child == PathTree::kNowhere && !stranger) stranger = key;
    if (copying && !std::exchange(first, false)) scratch += ',';
    if (!enter_field(key, child, copying)) return false;
    if (!walk(field.value(), child, copying, depth + 1)) return false;
  }
  if (!copying) return true;
  scratch += '}';
  return check_keys(first_key);
}

bool JsonReader::State::enter_field(std::string_view key, PathTree::NodeId node, bool copying) {
  if (copying) {
    append_json_string(key, scratch);
    scratch += ':';
    keys.emplace_back(std::hash<std::string_view>()(key), key);
  }
  if (node == PathTree::kNowhere) return true;
  if (seen[node] == read_number) return fail("has the key '" + shown(key) + "' twice");
  seen[node] = read_number;
  return true;
}

// Each key of the object whose keys begin at `first_key` occurs once; the keys are then done with.
bool JsonReader::State::check_keys(size_t first_key) {
  const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first_key);
  std::sort(begin, keys.end());
  const auto twice = std::adjacent_find(begin, keys.end());
  if (twice != keys.end()) return fail("has the key '" + shown(twice->second) + "' twice");
  keys.resize(first_key);
  return true;
}

bool JsonReader::State::walk_array(ondemand::array array, PathTree::NodeId node, bool copying,
                                   size_t depth) {
  if (copying) scratch += '[';
  size_t index = 0;
  for (auto each : array) {
    ondemand::value element;
    if (const auto code = each.get(element)) return fail(code);
    if (copying && index > 0) scratch += ',';
    if (!walk(element, paths.element(node, index), copying, depth + 1)) return false;
    ++index;
  }
  if (copying) scratch += ']';
  return true;
}

// A column's own cast judges the range of a number; one that goes to the row as part of an object
// is judged here.
bool JsonReader::State::check_number(std::string_view token, bool copying) {
  if (const size_t held = held_number(token); held > 0 && held == token.size()) return true;
  const auto number = parse_number(token);
  if (!number || !number->is_json) {
    return fail("has '" + shown(token, 32) + "', which is no JSON value");
  }
  if (!copying || fits_double(token, *number)) return true;
  return fail("has the number " + shown(token, 32) + ", beyond the range of a double");
}

bool JsonReader::State::check_scalar(JsonValue::Kind kind, std::string_view token, bool copying) {
  if (kind == JsonValue::Kind::kNumber) return check_number(token, copying);
  const bool is_word =
      kind == JsonValue::Kind::kBoolean ? token == "true" || token == "false" : token == "null";
  return is_word || fail("has '" + shown(token, 32) + "', which is no JSON value");
}

void JsonReader::State::keep(PathTree::NodeId node, const JsonValue& value, bool copying) {
  if (copying) scratch.append(value.json);
  if (const auto slot = paths.slot(node)) found[*slot] = Found{value, 0, 0};
}

bool JsonReader::State::fail(std::string what) {
  problem = std::move(what);
  return false;
}

bool JsonReader::State::fail(simdjson::error_code code) {
  // simdjson's texts end in a period or in advice about its own API.
  switch (code) {
    case simdjson::STRING_ERROR:
      return fail("is not valid JSON: a string with a bad escape");
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return fail("is not valid JSON: it ends within an object or array");
    default:
      return fail("is not valid JSON");
  }
}

Error JsonReader::State::error_at(ondemand::document& document) const {
  std::string where;
  const char* location = nullptr;
  const size_t size = padded.size() - simdjson::SIMDJSON_PADDING;
  if (!document.current_location().get(location)) {
    const auto offset = static_cast<size_t>(std::max<std::ptrdiff_t>(location - padded.data(), 0));
    where = " (near offset " + std::to_string(std::min(offset, size)) + ")";
  }
  return {ErrorKind::kRejected, problem + where, {}};
}

Error JsonReader::State::first_stage_error(simdjson::error_code code,
                                           std::string_view payload) const {
  std::string what = "is not valid JSON";
  if (code == simdjson::UTF8_ERROR) {
    size_t offset = 0;
    while (const size_t size = utf8_character(payload.substr(offset))) offset += size;
    what = "is not UTF-8 at offset " + std::to_string(offset) +
           "; for data that is not text use format raw and a column `as: binary`";
  } else if (code == simdjson::UNCLOSED_STRING) {
    what += ": a string is not closed";
  } else if (code == simdjson::UNESCAPED_CHARS) {
    what += ": a string holds a control character that is not escaped";
  } else if (code == simdjson::MEMALLOC) {
    return {ErrorKind::kTransient, "cannot be read: out of memory", {}};
  }
  return {ErrorKind::kRejected, what, {}};
}

JsonReader::JsonReader(PathTree paths, size_t max_depth)
    : state_(std::make_unique<State>(std::move(paths), max_depth)) {}
JsonReader::JsonReader(JsonReader&&) noexcept = default;
JsonReader& JsonReader::operator=(JsonReader&&) noexcept = default;
JsonReader::~JsonReader() = default;

Result<void> JsonReader::read(std::string_view payload) { return state_->read(payload); }

const JsonValue& JsonReader::value(size_t slot) const { return state_->found[slot].value; }

std::optional<std::string_view> JsonReader::stranger() const { return state_->stranger; }

bool JsonReader::is_object() const { return state_->is_object; }

void JsonReader::release_large_buffers() {
  if (state_->padded.capacity() <= kKeptBytes) return;
  state_->padded = {};
  state_->scratch = {};
  state_->keys = {};
  state_->parser = ondemand::parser();
}

}  // namespace penstock::codec
