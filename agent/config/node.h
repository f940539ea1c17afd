// What a configuration file says, before anyone knows what it means: a tree of positions and text,
// and the problems found in it.
//
// Values, freely copied, no thread rules. Nothing here knows YAML; yaml_tree.h makes the tree.
// `written` of a scalar is what stands in the file and is the only form that may be shown to
// people; `text` may hold a secret after substitution.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

struct Position {
  std::string file;  // as named by the one who loaded it
  int line = 0;      // from 1; 0: the file as a whole
  int column = 0;    // from 1, in bytes

  auto operator<=>(const Position&) const = default;
};

// "penstock.yaml:12:5", without the numbers that are 0.
std::string to_string(const Position& at);

struct Problem {
  Position at;
  std::string what;      // what is wrong; never holds a secret
  std::string hint;      // what to do about it; may be empty
  bool warning = false;  // the rest of the configuration can be used as it is
};

// "file:line:column: error: what (hint)"
std::string to_string(const Problem& problem);

struct Entry;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Position at;
  std::string text;  // kScalar: the value with load-time references resolved; kNull: "null", "~" or
                     // "", as written
  std::string written;         // kScalar: the value as it stands in the file
  bool quoted = false;         // kScalar: in quotes or a block scalar, hence text and nothing else
  std::vector<Node> items;     // kList
  std::vector<Entry> entries;  // kMap, in the order of the file, no key twice

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }
  // The value of `key`, or null when this is no map or has no such key.
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
};

struct Entry {
  std::string key;
  Position at;          // of the key
  bool quoted = false;  // the key
  Node node;
};

// "nothing", "a single value", "a list", "a map": for messages.
std::string_view to_string(Node::Kind kind);

}  // namespace penstock::config
