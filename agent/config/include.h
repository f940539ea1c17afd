// Reads a configuration file and everything it includes, and merges it into one tree.
//
// Maps merge, lists append, a scalar set twice is a problem that names both places. Patterns start
// at the folder of the including file. Bounded in files and depth; a file that includes itself,
// directly or not, is refused.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/reader.h"

namespace penstock::config {

struct Merged {
  Node root;  // a map; `version` of every file is checked, `version` and `include` are taken out
  bool complete =
      true;  // false: a file could not be read or is no YAML, so what is missing says nothing
  std::vector<std::string> absent;  // which of `version` and `include` the first file lacks
  std::vector<SourceFile> sources;
};

// `file` names `text` in messages. Adds the folder of every file to `context.folders`.
Merged read_with_includes(std::string_view text, const std::string& file,
                          const std::filesystem::path& base_dir, Context& context);

}  // namespace penstock::config
