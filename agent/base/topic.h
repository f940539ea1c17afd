// Topics as sequences of levels separated by `/`, as in MQTT 5.0 section 4.7. Pure; views into the
// topic given.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace penstock {

// The level at `index` (from 0); it may be empty, as the second of `a//b`. nullopt when the topic
// has fewer levels.
inline std::optional<std::string_view> topic_level(std::string_view topic, size_t index) {
  for (; index > 0; --index) {
    const size_t slash = topic.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    topic.remove_prefix(slash + 1);
  }
  return topic.substr(0, topic.find('/'));
}

}  // namespace penstock
