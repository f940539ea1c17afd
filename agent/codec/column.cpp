#include "agent/codec/column.h"

#include <charconv>

#include "agent/base/text.h"
#include "agent/base/topic.h"
#include "agent/codec/json_text.h"
#include "agent/codec/proto_wire.h"
#include "agent/codec/row_descriptor.h"

namespace penstock::codec {
namespace {

using Kind = Value::Kind;

Value text_value(std::string_view text) { return {Kind::kText, text, {}}; }

Value optional_text(std::optional<std::string_view> text) {
  return text ? text_value(*text) : Value{};
}

template <class Integer>
Value number_value(Integer number, std::array<char, 24>& digits) {
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  return {Kind::kNumber, {digits.data(), static_cast<size_t>(written.ptr - digits.data())}, {}};
}

Value json_value(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::kMissing:
      return {};
    case JsonValue::Kind::kNull:
      return {Kind::kNull, {}, {}};
    case JsonValue::Kind::kBoolean:
      return {Kind::kBoolean, value.json, {}};
    case JsonValue::Kind::kNumber:
      return {Kind::kNumber, value.json, {}};
    case JsonValue::Kind::kString:
      return {Kind::kText, value.text, value.json};
    case JsonValue::Kind::kObject:
    case JsonValue::Kind::kArray:
      break;
  }
  return {Kind::kJson, value.json, {}};
}

std::optional<std::string_view> attribute(const RecordView& record, std::string_view key) {
  for (const auto& each : record.attributes) {
    if (each.key == key) return each.value;
  }
  return std::nullopt;
}

const std::string* only_name(const Reference& reference) {
  return reference.path.size() == 1 ? std::get_if<std::string>(&reference.path[0]) : nullptr;
}

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

bool is_payload_text(Cast cast) {
  return cast == Cast::kNone || cast == Cast::kString || cast == Cast::kBinary ||
         cast == Cast::kVariant;
}

bool has_unit(Cast cast) { return cast == Cast::kTimestamp || cast == Cast::kDate; }

}  // namespace

Result<Column> Column::compile(const ColumnSpec& column, const EncoderSpec& spec, PathTree& paths,
                               const TableColumn* target) {
  Column compiled;
  compiled.name_ = column.name;
  if (target) {
    compiled.proto_ = true;
    compiled.type_ = target->type;
    compiled.number_ = field_number(target->position);
    append_tag(compiled.number_, wire_of(target->type.kind), compiled.prefix_);
  } else {
    append_json_string(column.name, compiled.prefix_);
    compiled.prefix_ += ':';
  }
  compiled.nullable_ = column.nullable;
  compiled.from_ = column.from.text();
  compiled.cast_ = column.cast;
  compiled.unit_ = column.unit;
  compiled.on_error_ = column.on_error;
  if (column.unit != TimeUnit::kAuto && !has_unit(column.cast.cast)) {
    return refused("`unit` is for `as: timestamp` and `as: date` only");
  }
  for (const auto& part : column.from.parts()) {
    const auto* reference = std::get_if<Reference>(&part);
    auto next = reference ? compile_reference(*reference, column, spec, paths)
                          : Part(Constant{std::get<std::string>(part)});
    if (!next) return std::move(next).error();
    compiled.parts_.push_back(*std::move(next));
  }
  if (auto settled = compiled.settle_constants(column); !settled) return std::move(settled).error();
  return compiled;
}

// Casts once what is the same for every record, so that a mistake in it shows before the first.
Result<void> Column::settle_constants(const ColumnSpec& column) {
  if (column.default_json && trimmed(*column.default_json) != "null") {
    auto written = written_default(*column.default_json);
    if (!written) return std::move(written).error();
    when_missing_ = *std::move(written);
  }
  std::string text;
  for (const auto& part : parts_) {
    const auto* constant = std::get_if<Constant>(&part);
    if (!constant) return {};
    text += constant->text;
  }
  NestedValues nested(false);
  std::string scratch;
  if (auto written = write(text_value(text), nested, scratch, constant_); !written) {
    return refused("'" + shown(from_) + "' " + written.error().what);
  }
  return {};
}

// What stands in a row when `from` leads nowhere.
Result<std::string> Column::written_default(const std::string& json) const {
  PathTree paths;
  const size_t slot = paths.add({});
  JsonReader reader(std::move(paths), RowEncoder::kMaxDepth);
  if (auto read = reader.read(json); !read) {
    return refused("default '" + shown(json) + "' " + read.error().what);
  }
  std::string out;
  NestedValues nested(false);
  std::string scratch;
  if (auto written = write(json_value(reader.value(slot)), nested, scratch, out); !written) {
    return refused("default " + written.error().what);
  }
  return out;
}

auto Column::compile_reference(const Reference& reference, const ColumnSpec& column,
                               const EncoderSpec& spec, PathTree& paths) -> Result<Part> {
  const std::string* name = only_name(reference);
  if (!reference.argument.empty()) {
    return refused(reference.text + " is resolved when the configuration is loaded, not here");
  }
  if (reference.root == "topic") return compile_topic(reference, spec);
  if (reference.root == "payload") return compile_payload(reference, column, spec, paths);
  if (reference.root == "meta") return compile_meta(reference);
  if (reference.root == "source" && reference.path.empty()) return Part(Field::kSource);
  if (reference.root == "attr" && name) return Part(Attribute{*name});
  if (reference.root == "agent" && name && *name == "id") return Part(Constant{spec.agent_id});
  if (reference.root == "label" && name) {
    const auto label = spec.labels.find(*name);
    if (label != spec.labels.end()) return Part(Constant{label->second});
    return refused(reference.text + ": agent.labels has no `" + *name + "`");
  }
  return refused(reference.text +
                 " does not exist; use payload.x, topic[n], topic.name, topic, source, attr.x, "
                 "meta.x, label.x or agent.id");
}

auto Column::compile_topic(const Reference& reference, const EncoderSpec& spec) -> Result<Part> {
  if (reference.path.empty()) return Part(Field::kTopic);
  if (reference.path.size() > 1) {
    return refused(reference.text + ": name one level, as ${topic[0]} or ${topic.name}");
  }
  if (const auto* index = std::get_if<size_t>(&reference.path[0])) return Part(TopicLevel{*index});
  const auto& name = std::get<std::string>(reference.path[0]);
  const auto level = spec.topic_levels.find(name);
  if (level != spec.topic_levels.end()) return Part(TopicLevel{level->second});
  return refused(reference.text + ": the route's topic pattern has no level {" + name + "}");
}

auto Column::compile_payload(const Reference& reference, const ColumnSpec& column,
                             const EncoderSpec& spec, PathTree& paths) -> Result<Part> {
  if (spec.format == PayloadFormat::kRaw) {
    if (reference.path.empty()) return Part(Field::kPayload);
    return refused(reference.text +
                   ": a raw payload has no fields; use ${payload}, or format json");
  }
  // As text the payload is kept byte for byte; as anything else it is a JSON value like others.
  const bool whole_text = reference.path.empty() &&
                          (is_payload_text(column.cast.cast) || column.from.single() == nullptr);
  if (whole_text) {
    // The table reads a VARIANT: what is refused in a field is refused in the whole as well.
    if (column.cast.cast == Cast::kVariant && column.from.single()) paths.add({});
    return Part(Field::kPayload);
  }
  return Part(PayloadSlot{paths.add(reference.path)});
}

auto Column::compile_meta(const Reference& reference) -> Result<Part> {
  static constexpr std::array<std::pair<std::string_view, Field>, 10> kFields = {{
      {"origin", Field::kOrigin},
      {"seq", Field::kSeq},
      {"sub", Field::kSub},
      {"agent_id", Field::kAgentId},
      {"epoch", Field::kEpoch},
      {"lane", Field::kLane},
      {"source", Field::kSource},
      {"topic", Field::kTopic},
      {"received_at", Field::kReceivedAt},
      {"time_quality", Field::kTimeQuality},
  }};
  const std::string* name = only_name(reference);
  std::string known;
  for (const auto& [word, field] : kFields) {
    if (name && *name == word) return Part(field);
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  return refused(reference.text + " does not exist; meta has: " + known);
}

Value Column::fetch_field(Field field, RowInputs& inputs) {
  const RecordView& record = inputs.record;
  switch (field) {
    case Field::kTopic:
      return text_value(record.topic);
    case Field::kSource:
      return text_value(record.source);
    case Field::kPayload:
      return {inputs.format == PayloadFormat::kJson ? Kind::kDocument : Kind::kBytes,
              record.payload,
              {}};
    case Field::kOrigin:
      return text_value(inputs.meta.origin);
    case Field::kSeq:
      return number_value(inputs.meta.seq, inputs.digits);
    case Field::kSub:
      return number_value(0, inputs.digits);
    case Field::kAgentId:
      return text_value(inputs.agent_id);
    case Field::kEpoch:
      return text_value(inputs.meta.epoch);
    case Field::kLane:
      return number_value(inputs.meta.lane, inputs.digits);
    case Field::kReceivedAt:
      return number_value(record.received_at_us, inputs.digits);
    case Field::kTimeQuality:
      break;
  }
  return text_value(record.time_quality == TimeQuality::kSet ? "set" : "unset");
}

Value Column::fetch(const Part& part, RowInputs& inputs) {
  if (const auto* slot = std::get_if<PayloadSlot>(&part)) {
    return json_value(inputs.reader.value(slot->slot));
  }
  if (const auto* level = std::get_if<TopicLevel>(&part)) {
    return optional_text(topic_level(inputs.record.topic, level->index));
  }
  if (const auto* attr = std::get_if<Attribute>(&part)) {
    return optional_text(attribute(inputs.record, attr->key));
  }
  if (const auto* constant = std::get_if<Constant>(&part)) return text_value(constant->text);
  return fetch_field(std::get<Field>(part), inputs);
}

// Text around references makes text; it is missing as a whole when one of them is missing or null.
Value Column::fetch_all(RowInputs& inputs) const {
  if (parts_.size() == 1) return fetch(parts_[0], inputs);
  inputs.text.clear();
  for (const auto& part : parts_) {
    const Value value = fetch(part, inputs);
    if (value.kind == Kind::kMissing || value.kind == Kind::kNull) return {};
    inputs.text.append(value.text);
  }
  return text_value(inputs.text);
}

Result<void> Column::write_null(std::string& out) const {
  if (!nullable_) return refused("is null or missing, but the column is NOT NULL");
  if (!proto_) out.append(prefix_).append("null");
  return {};
}

Result<void> Column::write(const Value& value, NestedValues& nested, std::string& scratch,
                           std::string& out) const {
  const auto cell = cast_value(value, cast_, unit_, scratch);
  if (!cell) return cell.error();
  if (cell->kind == Cell::Kind::kNull) return write_null(out);
  if (proto_ && type_.nested()) return nested.append(cell->text, type_, number_, out);
  out.append(prefix_);
  if (proto_) {
    append_scalar(*cell, type_.kind, out);
  } else {
    append_json(*cell, out);
  }
  return {};
}

Result<void> Column::append(RowInputs& inputs, std::string& out, uint64_t& nulled) const {
  if (!constant_.empty()) {
    out.append(constant_);
    return {};
  }
  const Value value = fetch_all(inputs);
  if (value.kind == Kind::kMissing && when_missing_) {
    out.append(*when_missing_);
    return {};
  }
  const size_t mark = out.size();
  auto written = write(value, inputs.nested, inputs.scratch, out);
  if (written) return {};
  if (on_error_ == OnError::kReject || !nullable_) {
    return refused("column '" + name_ + "': " + shown(from_) + " " + written.error().what);
  }
  out.resize(mark);
  ++nulled;
  return write_null(out);
}

}  // namespace penstock::codec
