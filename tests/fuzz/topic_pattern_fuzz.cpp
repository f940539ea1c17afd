// Topic patterns: the first line of the input is the pattern, the rest a topic. Wildcards never
// match a `$` topic.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "agent/route/topic_pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  const std::string_view text = input.substr(0, line);
  const std::string_view topic = input.substr(std::min(line + 1, input.size()));
  const auto pattern = penstock::route::TopicPattern::parse(text);
  if (!pattern) return 0;
  const bool matches = pattern->matches(topic);
  const bool wild_start = text[0] == '+' || text[0] == '#' || text[0] == '{';
  if (matches && wild_start && topic.starts_with('$')) std::abort();
  return 0;
}
