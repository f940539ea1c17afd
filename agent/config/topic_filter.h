// The form of topic filters, and which references a route may make to the levels they match. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/reader.h"

namespace penstock::config {

struct TopicShape {
  std::vector<std::string> names;  // of {name} levels
  size_t levels = 0;               // that surely exist
  bool open_end = true;            // ends in `#`: further levels may exist
  bool whole = true;               // ${topic} without a level may be used
};

// kRejected with what is wrong: "`#` has to be the last level". MQTT 5 section 4.7, with {name} as
// a named `+`.
Result<TopicShape> parse_topic_filter(std::string_view filter);

// Checks the per-record references of `expression`, which substitute() has let through.
void check_references(const Named& named, std::string_view expression, const TopicShape& shape,
                      Context& context);

}  // namespace penstock::config
