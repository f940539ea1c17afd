#include "agent/codec/path_tree.h"

#include <algorithm>

namespace penstock::codec {
namespace {

// The place of `key` in a list sorted by its first members.
template <class List, class Key>
auto place_of(List& list, const Key& key) {
  return std::lower_bound(list.begin(), list.end(), key, [](const auto& entry, const Key& wanted) {
    return entry.first < wanted;
  });
}

template <class List, class Key>
PathTree::NodeId find(const List& list, const Key& key) {
  const auto place = place_of(list, key);
  return place != list.end() && place->first == key ? place->second : PathTree::kNowhere;
}

}  // namespace

size_t PathTree::add(const std::vector<PathStep>& path) {
  NodeId node = kRoot;
  for (const auto& step : path) node = child(node, step);
  auto& slot = nodes_[node].slot;
  if (!slot) slot = slots_++;
  return *slot;
}

PathTree::NodeId PathTree::child(NodeId parent, const PathStep& step) {
  const auto* name = std::get_if<std::string>(&step);
  const NodeId known = name ? field(parent, *name) : element(parent, std::get<size_t>(step));
  if (known != kNowhere) return known;
  const auto added = static_cast<NodeId>(nodes_.size());
  nodes_.emplace_back();
  if (name) {
    auto& fields = nodes_[parent].fields;
    fields.emplace(place_of(fields, *name), *name, added);
  } else {
    auto& elements = nodes_[parent].elements;
    elements.emplace(place_of(elements, std::get<size_t>(step)), std::get<size_t>(step), added);
  }
  return added;
}

PathTree::NodeId PathTree::field(NodeId parent, std::string_view name) const {
  return parent == kNowhere ? kNowhere : find(nodes_[parent].fields, name);
}

PathTree::NodeId PathTree::element(NodeId parent, size_t index) const {
  return parent == kNowhere ? kNowhere : find(nodes_[parent].elements, index);
}

}  // namespace penstock::codec
