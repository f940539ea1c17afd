// YAML text to a Node tree with the position of everything. The only part that knows yaml-cpp.
//
// Pure. Anchors and aliases are expanded; size, depth and the number of nodes after expansion are
// limited, so that no text can exhaust memory or stack. Scalars keep their text: nothing is turned
// into booleans or numbers here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/node.h"

namespace penstock::config {

struct YamlLimits {
  size_t max_bytes = size_t{1} << 20;
  size_t max_nodes = 50'000;
  size_t max_depth = 32;
};

// The one document of `text`; a null node when there is none. Appends what is wrong to `problems`:
// nullopt when the text is no YAML at all; a duplicate key (the first one stays) or a key that is
// no text still gives a tree.
std::optional<Node> parse_yaml(std::string_view text, const std::string& file,
                               std::vector<Problem>& problems, const YamlLimits& limits = {});

}  // namespace penstock::config
