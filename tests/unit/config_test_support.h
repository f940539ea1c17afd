// What the tests of the configuration share: an environment made of maps, and problems as text.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"

namespace penstock::config {

// Files, variables and credentials that exist only here. Outlives the Environment it gives.
struct FakeMachine {
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;
  // Pattern -> files; a pattern that is not here stands for the file of that name, if there is one.
  std::map<std::string, std::vector<std::string>> matches;
  bool has_credentials = true;  // in the folder /credentials

  Environment environment() const {
    Environment made;
    made.env = [this](std::string_view name) -> std::optional<std::string> {
      const auto found = variables.find(std::string(name));
      if (found == variables.end()) return {};
      return found->second;
    };
    made.read_file = [this](const std::filesystem::path& path) -> Result<std::string> {
      const auto found = files.find(path.string());
      if (found == files.end()) return Error{ErrorKind::kDenied, "no such file", {}};
      return found->second;
    };
    made.find_files = [this](const std::filesystem::path& pattern) {
      std::vector<std::filesystem::path> found;
      if (const auto match = matches.find(pattern.string()); match != matches.end()) {
        found.assign(match->second.begin(), match->second.end());
      } else if (files.contains(pattern.string())) {
        found.push_back(pattern);
      }
      return found;
    };
    if (has_credentials) made.credentials_dir = "/credentials";
    return made;
  }

  Loaded load(std::string_view text) const {
    return load_text(text, "c.yaml", "/etc/penstock", environment());
  }
};

inline std::vector<std::string> texts(const std::vector<Problem>& problems) {
  std::vector<std::string> out;
  for (const auto& problem : problems) out.push_back(to_string(problem));
  return out;
}

// A configuration that is good; what a test adds starts at line 3.
inline std::string minimal(std::string_view more) {
  return "version: 1\nagent: {id: gw-1}\n" + std::string(more);
}

// The same with a destination; what a test adds starts at line 4.
inline std::string with_destination(std::string_view more) {
  return minimal("destinations: {d: {endpoint: \"http://localhost:8080\"}}\n" + std::string(more));
}

}  // namespace penstock::config
