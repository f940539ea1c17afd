#include "agent/config/reader.h"

#include <algorithm>
#include <limits>

#include "agent/config/units.h"

namespace penstock::config {
namespace {

const Node kNothing;

// How to read, print and explain one kind of number.
template <class T>
struct Measure {
  Result<T> (*parse)(std::string_view);
  std::string (*format)(T);
  std::string_view hint;
};

template <class T>
std::optional<T> measured(const std::optional<Named>& value, const Measure<T>& measure, T min,
                          T max, Context& context) {
  if (!value) return {};
  const auto text = scalar_of(*value, context);
  if (!text) return {};
  const Position& at = value->node->at;
  const auto number = measure.parse(*text);
  if (!number) {
    context.error(at, value->label() + value->shown() + " " + number.error().what,
                  std::string(measure.hint));
  } else if (*number < min || *number > max) {
    context.error(at, value->label() + value->shown() + " is out of range",
                  "from " + measure.format(min) + " to " + measure.format(max));
  } else {
    return *number;
  }
  return {};
}

}  // namespace

Reader::Reader(const Named& value, Context& context)
    : node_(value.node),
      at_(value.node->at),
      path_(value.path),
      pattern_(value.pattern),
      context_(context) {
  if (node_->is_map() || node_->is_null()) return;
  context_.error(at_, value.label() + "a map is needed, not " + std::string(to_string(node_->kind)),
                 "write its keys below it, indented");
  node_ = &kNothing;
}

bool Reader::has(std::string_view key) const { return node_->find(key) != nullptr; }

Named Reader::child(const Entry& entry, bool user_named) const {
  const std::string_view dot = path_.empty() ? "" : ".";
  const std::string_view pattern_key = user_named ? std::string_view("*") : entry.key;
  return {&entry.node, path_ + std::string(dot) + entry.key,
          pattern_ + std::string(dot) + std::string(pattern_key), entry.key, entry.at};
}

std::optional<Named> Reader::get(std::string_view key) {
  known_.emplace_back(key);
  for (const auto& entry : node_->entries) {
    if (entry.key == key) return child(entry, false);
  }
  return {};
}

Reader Reader::map(std::string_view key) {
  if (const auto value = get(key)) return Reader(*value, context_);
  Named nothing{&kNothing, path_ + (path_.empty() ? "" : ".") + std::string(key), "", "", {}};
  Reader reader(nothing, context_);
  reader.at_ = at_;
  return reader;
}

std::vector<Named> Reader::list(std::string_view key) {
  const auto value = get(key);
  if (!value || value->node->is_null()) return {};
  if (!value->node->is_list()) {
    context_.error(
        value->node->at,
        value->label() + "a list is needed, not " + std::string(to_string(value->node->kind)),
        "write [a, b], or one element per line after `- `");
    return {};
  }
  std::vector<Named> items;
  for (const auto& item : value->node->items) {
    items.push_back({&item, value->path + "[" + std::to_string(items.size()) + "]",
                     value->pattern + "[]", "", item.at});
  }
  return items;
}

std::vector<Named> Reader::named_entries(std::string_view key, bool (*is_valid)(std::string_view),
                                         std::string_view hint) {
  const auto value = get(key);
  if (!value) return {};
  const Reader inner(*value, context_);
  std::vector<Named> entries;
  for (const auto& entry : inner.node_->entries) {
    if (!entry.quoted && is_boolean_word(entry.key)) {
      context_.error(entry.at,
                     value->label() + quote(entry.key) + " is a boolean to many YAML readers",
                     "quote it: \"" + entry.key + "\"");
    } else if (!is_valid(entry.key)) {
      context_.error(entry.at, value->label() + quote(entry.key) + " cannot be a name",
                     std::string(hint));
    }
    entries.push_back(inner.child(entry, true));
  }
  return entries;
}

std::optional<std::string> Reader::text(std::string_view key, unsigned allowed) {
  const auto value = get(key);
  if (!value) return {};
  auto text = text_of(*value, context_, allowed);
  if (text && text->empty()) {
    context_.error(value->node->at, value->path + " is empty", "give a value or remove the key");
    return {};
  }
  return text;
}

std::optional<bool> Reader::flag(std::string_view key) {
  const auto value = get(key);
  if (!value) return {};
  const auto text = scalar_of(*value, context_);
  if (!text) return {};
  if (*text == "true") return true;
  if (*text == "false") return false;
  context_.error(value->node->at, value->label() + value->shown() + " is not true or false",
                 "write true or false");
  return {};
}

std::optional<uint64_t> Reader::count(std::string_view key, uint64_t min, uint64_t max) {
  const std::string hint =
      "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  const Measure<int64_t> measure{parse_integer, [](int64_t n) { return std::to_string(n); }, hint};
  const auto number =
      measured(get(key), measure, static_cast<int64_t>(min), static_cast<int64_t>(max), context_);
  if (!number) return {};
  return static_cast<uint64_t>(*number);
}

std::optional<uint64_t> Reader::size(std::string_view key, uint64_t min, uint64_t max) {
  return measured(get(key), Measure<uint64_t>{parse_size, format_size, kSizeHint}, min, max,
                  context_);
}

std::optional<Millis> Reader::duration(std::string_view key, Millis min, Millis max) {
  return measured(get(key), Measure<Millis>{parse_duration, format_duration, kDurationHint}, min,
                  max, context_);
}

std::optional<double> Reader::percent(std::string_view key) {
  const auto format = [](double share) { return std::to_string(share) + "%"; };
  return measured(get(key), Measure<double>{parse_percent, format, kPercentHint}, 0.0, 100.0,
                  context_);
}

std::optional<std::filesystem::path> Reader::file_path(std::string_view key) {
  const auto value = get(key);
  if (!value) return {};
  const auto written = text_of(*value, context_);
  if (!written) return {};
  if (written->empty()) {
    context_.error(value->node->at, value->path + " is empty", "give a path or remove the key");
    return {};
  }
  return (context_.folder_of(value->node->at) / *written).lexically_normal();
}

std::optional<Secret> Reader::secret(std::string_view key, bool may_be_literal) {
  const auto value = get(key);
  if (!value) return {};
  return secret_of(*value, context_, may_be_literal);
}

std::optional<size_t> Reader::word_index(std::string_view key,
                                         const std::vector<std::string_view>& names) {
  const auto value = get(key);
  if (!value) return {};
  const Node& node = *value->node;
  // `null` is a word of some lists (on_error: null), although YAML has its own idea of it.
  std::optional<std::string> text;
  if (node.is_null() && std::find(names.begin(), names.end(), node.text) != names.end()) {
    text = node.text;
  } else {
    text = scalar_of(*value, context_);
  }
  if (!text) return {};
  const auto found = std::find(names.begin(), names.end(), *text);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  context_.error(node.at, value->label() + value->shown() + " is not one of " + join(names, ", "),
                 nearest(node.written, names).empty() ? "" : suggestion(node.written, names));
  return {};
}

void Reader::require(std::string_view key, std::string hint) {
  if (has(key)) return;
  const std::string prefix = path_.empty() ? "" : path_ + ".";
  context_.error(at_, prefix + std::string(key) + " is missing", std::move(hint));
}

void Reader::finish() {
  std::vector<std::string_view> free;
  std::vector<std::string_view> taken;
  for (const auto& key : known_) {
    auto& keys = has(key) ? taken : free;
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  for (const auto& entry : node_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string where = path_.empty() ? "" : path_ + ": ";
    context_.error(entry.at, where + "unknown key " + quote(entry.key),
                   key_suggestion(entry.key, free, taken));
  }
}

}  // namespace penstock::config
