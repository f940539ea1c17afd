// A pattern over topics: MQTT wildcards (MQTT 5.0 section 4.7), and `{name}` for a `+` that has a
// name.
//
// `+` stands for exactly one level (which may be empty), `#` (last level only) for the parent and
// everything below it. A pattern that begins with a wildcard matches no topic that begins with `$`.
// Matching is by bytes, case-sensitive, without normalising. Immutable after parse, freely copied,
// any thread.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace penstock::route {

class TopicPattern {
 public:
  // kRejected with what is wrong and how to write it. Names are [A-Za-z_][A-Za-z0-9_]*, each at
  // most once.
  static Result<TopicPattern> parse(std::string_view text);

  const std::string& text() const { return text_; }
  bool matches(std::string_view topic) const;

  // Index (from 0) of the level called `name`.
  std::optional<size_t> level(std::string_view name) const;
  const std::map<std::string, size_t, std::less<>>& named_levels() const { return names_; }

  // How many levels every matching topic has at least.
  size_t min_levels() const { return levels_.size(); }
  // True when the pattern ends in `#`: matching topics may have more levels than min_levels().
  bool open_ended() const { return open_ended_; }

 private:
  Result<void> add_level(std::string_view level);

  std::string text_;
  std::vector<std::optional<std::string>>
      levels_;  // nullopt: any one level; the final `#` is not among them
  std::map<std::string, size_t, std::less<>> names_;
  bool open_ended_ = false;
};

}  // namespace penstock::route
