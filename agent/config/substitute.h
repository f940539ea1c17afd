// Resolves the `${...}` references of one text that are known when the configuration is loaded.
//
// ${env:NAME}, ${file:path}, ${credential:name}, ${agent.id}, ${label.x} are replaced; references
// that are known only per record are kept as written when `allowed` names their root, and refused
// otherwise. Reads through Environment.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"

namespace penstock::config {

// Per-record roots, as a set of bits.
enum RecordScope : unsigned {
  kNoRecord = 0,
  kTopicScope = 1,
  kSourceScope = 2,
  kAttrScope = 4,
  kPayloadScope = 8,
  kMetaScope = 16,
};

struct LoadValues {
  const Environment& environment;
  const Agent* agent = nullptr;  // null: agent.id and labels are not known yet, refused
  std::filesystem::path folder;  // where relative ${file:...} start
};

struct Substituted {
  // With `allowed` == kNoRecord plain text; otherwise an expression, where text that was put in is
  // escaped.
  std::string text;
  std::vector<std::string>
      missing;  // "credential zb_token is missing", one per reference without a value
  std::vector<std::string>
      origins;        // "credential zb_token", one per env, file and credential reference
  std::string wrong;  // not empty: the text is no good, and why
  std::string hint;
};

Substituted substitute(std::string_view written, unsigned allowed, const LoadValues& values);

// Without one line end at the end of the text, as editors and `echo` leave there.
std::string without_line_end(std::string text);

}  // namespace penstock::config
