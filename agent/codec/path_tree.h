// The payload paths that columns refer to, merged into a tree, so that one walk over a payload
// finds them all.
//
// Built once, then immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/expression.h"

namespace penstock::codec {

class PathTree {
 public:
  using NodeId = uint32_t;
  static constexpr NodeId kRoot = 0;
  static constexpr NodeId kNowhere =
      std::numeric_limits<NodeId>::max();  // no path leads on from here

  // The slot of `path`: the same for the same path, else the next number from 0. An empty path is
  // the whole payload.
  size_t add(const std::vector<PathStep>& path);

  size_t slots() const { return slots_; }
  size_t nodes() const { return nodes_.size(); }

  NodeId field(NodeId parent, std::string_view name) const;
  NodeId element(NodeId parent, size_t index) const;
  std::optional<size_t> slot(NodeId node) const {
    return node == kNowhere ? std::nullopt : nodes_[node].slot;
  }

 private:
  struct Node {
    std::vector<std::pair<std::string, NodeId>> fields;  // sorted by name
    std::vector<std::pair<size_t, NodeId>> elements;     // sorted by index
    std::optional<size_t> slot;
  };
  NodeId child(NodeId parent, const PathStep& step);

  std::vector<Node> nodes_ = std::vector<Node>(1);
  size_t slots_ = 0;
};

}  // namespace penstock::codec
