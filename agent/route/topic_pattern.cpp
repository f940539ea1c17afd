#include "agent/route/topic_pattern.h"

#include <algorithm>

namespace penstock::route {
namespace {

constexpr size_t kMaxTopicBytes = 65'535;  // an MQTT string, MQTT 5.0 section 1.5.4

bool is_name(std::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  const auto is_name_char = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), is_name_char);
}

Error refused(std::string_view pattern, std::string_view problem) {
  return {ErrorKind::kRejected,
          "topic pattern '" + std::string(pattern) + "': " + std::string(problem),
          {}};
}

// Takes the first level off the front of `rest`; `rest` becomes nullopt behind the last one.
std::string_view take_level(std::optional<std::string_view>& rest) {
  const size_t slash = rest->find('/');
  const std::string_view level = rest->substr(0, slash);
  rest = slash == std::string_view::npos ? std::nullopt : std::optional(rest->substr(slash + 1));
  return level;
}

}  // namespace

Result<TopicPattern> TopicPattern::parse(std::string_view text) {
  if (text.empty()) return refused(text, "is empty; write `#` for any topic");
  if (text.size() > kMaxTopicBytes) {
    return refused(text.substr(0, 40), "is longer than a topic can be (65535 bytes)");
  }
  if (text.find('\0') != std::string_view::npos) return refused(text, "holds a NUL character");
  if (text.starts_with("$share/")) {
    return refused(text,
                   "topics never begin with `$share`; leave out `$share/<group>/`, which belongs "
                   "to the subscription");
  }
  TopicPattern pattern;
  pattern.text_ = text;
  for (std::optional<std::string_view> rest = text; rest;) {
    const std::string_view level = take_level(rest);
    if (level == "#" && !rest) {
      pattern.open_ended_ = true;
      break;
    }
    if (auto added = pattern.add_level(level); !added) return std::move(added).error();
  }
  return pattern;
}

Result<void> TopicPattern::add_level(std::string_view level) {
  if (level == "+") {
    levels_.emplace_back(std::nullopt);
    return {};
  }
  if (level.find('#') != std::string_view::npos) {
    return refused(text_, "`#` must be the whole last level, as in `plant/#`");
  }
  if (level.find('+') != std::string_view::npos) {
    return refused(text_, "`+` must be a whole level, as in `plant/+/telemetry`");
  }
  if (level.find_first_of("{}") == std::string_view::npos) {
    levels_.emplace_back(level);
    return {};
  }
  const bool braced = level.size() > 2 && level.front() == '{' && level.back() == '}';
  const std::string_view name = braced ? level.substr(1, level.size() - 2) : "";
  if (!is_name(name)) {
    return refused(text_, "level '" + std::string(level) +
                              "': a named level is `{name}` and nothing else, the name being "
                              "letters, digits and `_`, not beginning with a digit");
  }
  if (!names_.emplace(name, levels_.size()).second) {
    return refused(text_, "two levels are called `" + std::string(name) + "`");
  }
  levels_.emplace_back(std::nullopt);
  return {};
}

bool TopicPattern::matches(std::string_view topic) const {
  const bool leading_wildcard = levels_.empty() || !levels_.front();
  if (leading_wildcard && topic.starts_with('$')) return false;  // MQTT-4.7.2-1
  std::optional<std::string_view> rest = topic;
  for (const auto& wanted : levels_) {
    if (!rest) return false;
    const std::string_view level = take_level(rest);
    if (wanted && *wanted != level) return false;
  }
  return open_ended_ || !rest;
}

std::optional<size_t> TopicPattern::level(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace penstock::route
