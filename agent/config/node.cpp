#include "agent/config/node.h"

namespace penstock::config {

std::string to_string(const Position& at) {
  std::string text = at.file;
  if (at.line > 0) text += ":" + std::to_string(at.line);
  if (at.line > 0 && at.column > 0) text += ":" + std::to_string(at.column);
  return text;
}

std::string to_string(const Problem& problem) {
  std::string text = to_string(problem.at) + (problem.warning ? ": warning: " : ": error: ");
  text += problem.what;
  if (!problem.hint.empty()) text += " (" + problem.hint + ")";
  return text;
}

const Node* Node::find(std::string_view key) const {
  for (const auto& entry : entries) {
    if (entry.key == key) return &entry.node;
  }
  return nullptr;
}

Node* Node::find(std::string_view key) {
  for (auto& entry : entries) {
    if (entry.key == key) return &entry.node;
  }
  return nullptr;
}

std::string_view to_string(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      return "a single value";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  return "nothing";
}

}  // namespace penstock::config
