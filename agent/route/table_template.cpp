#include "agent/route/table_template.h"

#include <algorithm>
#include <optional>

#include "agent/base/text.h"
#include "agent/base/topic.h"

namespace penstock::route {
namespace {

constexpr size_t kMaxPartChars = 255;

bool is_table_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Only table characters and dots.
bool is_table_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_table_char(c) || c == '.'; });
}

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

Error illegal(std::string_view table) {
  return refused("illegal table name '" + shown(table) +
                 "': need catalog.schema.table, each part 1 to 255 of [A-Za-z0-9_]");
}

// The only step of a path, when it is a name.
const std::string* only_name(const Reference& reference) {
  return reference.path.size() == 1 ? std::get_if<std::string>(&reference.path[0]) : nullptr;
}

std::optional<std::string_view> attribute(const RecordView& record, std::string_view key) {
  for (const auto& each : record.attributes) {
    if (each.key == key) return each.value;
  }
  return std::nullopt;
}

// Appends the value that `reference` has in a record; anything a table part cannot hold is refused.
Result<void> append_value(std::string_view reference, std::optional<std::string_view> value,
                          std::string& out) {
  if (!value || value->empty()) {
    return refused("illegal table name: " + std::string(reference) + " " +
                   (value ? "is empty" : "does not exist") + " in this record");
  }
  if (!std::all_of(value->begin(), value->end(), is_table_char)) {
    return refused("illegal table name: " + std::string(reference) + " is '" + shown(*value) +
                   "', and only [A-Za-z0-9_] can stand in a table name");
  }
  out.append(*value);
  return {};
}

}  // namespace

bool is_legal_table(std::string_view table) {
  size_t parts = 1;
  size_t length = 0;
  for (const char c : table) {
    if (c == '.') {
      if (length == 0) return false;
      ++parts;
      length = 0;
    } else if (!is_table_char(c) || ++length > kMaxPartChars) {
      return false;
    }
  }
  return parts == 3 && length > 0;
}

Result<TableTemplate> TableTemplate::compile(std::string_view text, const TemplateScope& scope) {
  const auto expression = Expression::parse(text);
  if (!expression) return refused("table '" + std::string(text) + "': " + expression.error().what);
  TableTemplate compiled;
  compiled.text_ = text;
  for (const auto& part : expression->parts()) {
    const auto* reference = std::get_if<Reference>(&part);
    auto next =
        reference ? compile_reference(*reference, scope) : Part(std::get<std::string>(part));
    if (!next) return std::move(next).error().in("table '" + std::string(text) + "'");
    auto* const literal = std::get_if<std::string>(&*next);
    auto* const last =
        compiled.parts_.empty() ? nullptr : std::get_if<std::string>(&compiled.parts_.back());
    if (literal && last) {
      *last += *literal;
    } else {
      compiled.parts_.push_back(*std::move(next));
    }
  }
  if (auto legal = compiled.check_fixed_text(); !legal) return std::move(legal).error();
  if (compiled.parts_.size() == 1 && std::holds_alternative<std::string>(compiled.parts_[0])) {
    compiled.fixed_ = std::get<std::string>(compiled.parts_[0]);
  }
  return compiled;
}

// With the shortest possible value in every open place: what is illegal now is illegal for every
// record.
Result<void> TableTemplate::check_fixed_text() const {
  std::string sample;
  for (const auto& part : parts_) {
    const auto* literal = std::get_if<std::string>(&part);
    sample += literal ? *literal : "x";
    if (literal && !is_table_text(*literal)) return illegal(*literal).in("table '" + text_ + "'");
  }
  if (!is_legal_table(sample)) return illegal(text_);
  return {};
}

auto TableTemplate::compile_reference(const Reference& reference, const TemplateScope& scope)
    -> Result<Part> {
  const std::string* name = only_name(reference);
  if (!reference.argument.empty()) {
    return refused(reference.text + " is resolved when the configuration is loaded, not here");
  }
  if (reference.root == "topic") return compile_topic(reference, scope);
  if (reference.root == "source" && reference.path.empty()) return Part(Source{});
  if (reference.root == "attr" && name) return Part(Attribute{*name, reference.text});
  if (reference.root == "agent" && name && *name == "id") return Part(scope.agent_id);
  if (reference.root == "label" && name) {
    const auto label = scope.labels.find(*name);
    if (label == scope.labels.end()) {
      return refused(reference.text + ": agent.labels has no `" + *name + "`");
    }
    return Part(label->second);
  }
  return refused(reference.text +
                 " cannot be part of a table name; use topic[n], topic.name, source, attr.x, "
                 "label.x or agent.id");
}

auto TableTemplate::compile_topic(const Reference& reference, const TemplateScope& scope)
    -> Result<Part> {
  if (reference.path.size() != 1) {
    return refused(reference.text + ": name one level, as ${topic[0]} or ${topic.name}");
  }
  const TopicPattern* pattern = scope.pattern;
  if (const auto* name = std::get_if<std::string>(&reference.path[0])) {
    const auto index = pattern ? pattern->level(*name) : std::nullopt;
    if (index) return Part(TopicLevel{*index, reference.text});
    return refused(reference.text + ": the route's topic pattern has no level {" + *name + "}");
  }
  const size_t index = std::get<size_t>(reference.path[0]);
  if (pattern && !pattern->open_ended() && index >= pattern->min_levels()) {
    return refused(reference.text + ": topics matching '" + pattern->text() + "' have only " +
                   std::to_string(pattern->min_levels()) + " levels, counted from 0");
  }
  return Part(TopicLevel{index, reference.text});
}

Result<std::string> TableTemplate::expand(const RecordView& record) const {
  if (!fixed_.empty()) return fixed_;
  std::string table;
  for (const auto& part : parts_) {
    Result<void> appended;
    if (const auto* literal = std::get_if<std::string>(&part)) {
      table += *literal;
    } else if (const auto* level = std::get_if<TopicLevel>(&part)) {
      appended = append_value(level->text, topic_level(record.topic, level->index), table);
    } else if (const auto* attr = std::get_if<Attribute>(&part)) {
      appended = append_value(attr->text, attribute(record, attr->key), table);
    } else {
      appended = append_value("${source}", record.source, table);
    }
    if (!appended) return std::move(appended).error();
  }
  if (!is_legal_table(table)) return illegal(table);  // too long: all else was checked on the way
  return table;
}

}  // namespace penstock::route
