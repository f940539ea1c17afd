// Reads maps of the tree into typed values and collects every problem on the way.
//
// A Reader knows which keys were asked for, so finish() can name the others. Asking for an absent
// key gives nullopt and is no problem; a value that is no good gives nullopt and a problem. One
// thread; borrows the tree and the Context.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/substitute.h"
#include "agent/config/words.h"

namespace penstock::config {

// What all sections share while one configuration is read.
struct Context {
  const Environment& environment;
  std::vector<Problem>& problems;
  std::map<std::string, std::filesystem::path> folders;  // by Position::file
  const Agent* agent = nullptr;  // null until agent.id and the labels are read

  void error(const Position& at, std::string what, std::string hint = "");
  void warn(const Position& at, std::string what, std::string hint = "");
  std::filesystem::path folder_of(const Position& at) const;
  LoadValues load_values(const Position& at) const { return {environment, agent, folder_of(at)}; }
};

// A value and how to call it.
struct Named {
  const Node* node = nullptr;
  std::string path;     // "destinations.prod.encoding", for people
  std::string pattern;  // "destinations.*.encoding", for unsupported.h
  std::string key;      // the last step of the path
  Position key_at;

  std::string label() const { return path + ": "; }
  // In a message: as written, never what a reference stands for.
  std::string shown() const;
};

// The value with references replaced; a problem for lists and maps, for nothing, for missing
// references and for what is not supported yet. `allowed` as in substitute().
std::optional<std::string> scalar_of(const Named& named, Context& context,
                                     unsigned allowed = kNoRecord);
// The same where text is meant: words that YAML 1.1 takes for booleans have to be quoted.
std::optional<std::string> text_of(const Named& named, Context& context,
                                   unsigned allowed = kNoRecord);
// Literal secrets get a warning, unless it is one that needs no hiding (a client id). One that
// cannot be read or is empty is not available: what that means is up to the caller.
std::optional<Secret> secret_of(const Named& named, Context& context, bool may_be_literal = false);
// What to do about "credential x is missing" and the like.
std::string missing_hint(std::string_view missing, const Environment& environment);

class Reader {
 public:
  // `at`: where to report what is missing. A node that is no map is a problem, except nothing.
  Reader(const Named& named, Context& context);

  const Position& at() const { return at_; }
  const std::string& path() const { return path_; }
  Context& context() { return context_; }

  bool has(std::string_view key) const;
  std::optional<Named> get(std::string_view key);  // null nodes too
  Reader map(std::string_view key);                // an empty one when absent
  std::vector<Named> list(std::string_view key);
  // The entries of a map whose keys are names chosen by the user.
  std::vector<Named> named_entries(std::string_view key, bool (*is_valid)(std::string_view),
                                   std::string_view hint);

  std::optional<std::string> text(std::string_view key, unsigned allowed = kNoRecord);
  std::optional<bool> flag(std::string_view key);
  std::optional<uint64_t> count(std::string_view key, uint64_t min, uint64_t max);
  std::optional<uint64_t> size(std::string_view key, uint64_t min, uint64_t max);
  std::optional<Millis> duration(std::string_view key, Millis min, Millis max);
  std::optional<double> percent(std::string_view key);
  std::optional<std::filesystem::path> file_path(std::string_view key);
  std::optional<Secret> secret(std::string_view key, bool may_be_literal = false);
  template <class E>
  std::optional<E> word(std::string_view key,
                        const std::vector<std::pair<std::string_view, E>>& words) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : words) names.push_back(name);
    const auto index = word_index(key, names);
    if (!index) return {};
    return words[*index].second;
  }

  // Reports a key that has to be there.
  void require(std::string_view key, std::string hint);
  // Reports the keys nobody asked for. To be called last.
  void finish();

 private:
  Named child(const Entry& entry, bool user_named) const;
  std::optional<size_t> word_index(std::string_view key,
                                   const std::vector<std::string_view>& names);

  const Node* node_;  // never null
  Position at_;
  std::string path_;
  std::string pattern_;
  Context& context_;
  std::vector<std::string> known_;
};

// out = value, when there is one.
template <class T, class V>
void set(T& out, std::optional<V> value) {
  if (value) out = *std::move(value);
}

}  // namespace penstock::config
