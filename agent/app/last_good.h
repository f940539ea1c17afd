// LastGood: the configuration that worked last, so that a gateway restarted after a bad edit goes
// on collecting.
//
// Kept as one file of the state directory: the text of the configuration file and of all it
// includes, as read. Secrets that stand outside of them are not copied. Written whole or not at
// all. Main thread.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/config.h"

namespace penstock::app {

class LastGood {
 public:
  // An empty directory or one that does not exist: nothing is kept.
  explicit LastGood(const std::filesystem::path& state_dir);

  // Does nothing when that is what is kept already.
  Result<void> save(const std::vector<config::SourceFile>& sources) const;
  // Empty when there is none; kCorrupt when it cannot be read as one.
  Result<std::vector<config::SourceFile>> sources() const;
  // When it was saved, for people; empty when unknown.
  std::string saved_at() const;

 private:
  std::filesystem::path file_;
};

// The machine as it is, but for these files, which are as they were.
config::Environment with_files(config::Environment environment,
                               std::vector<config::SourceFile> files);

}  // namespace penstock::app
