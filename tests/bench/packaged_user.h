// AsPackagedUser: while one exists, the calling thread and what it starts are an ordinary user
// without capabilities, and net.core.rmem_max is what the package's sysctl.d file sets: as the
// packaged unit runs the agent.
//
// Needs root; why() says what it is instead. The user is `penstock` where the package is installed,
// else `nobody`. `dir` is given to it. Both are as before when this goes, but not after a SIGKILL.
#pragma once

#include <filesystem>
#include <string>

namespace penstock::bench {

class AsPackagedUser {
 public:
  explicit AsPackagedUser(const std::filesystem::path& dir);
  ~AsPackagedUser();
  AsPackagedUser(const AsPackagedUser&) = delete;
  AsPackagedUser& operator=(const AsPackagedUser&) = delete;

  // Empty: as above.
  const std::string& why() const { return why_; }
  // "as penstock (uid 990), no capabilities, rmem_max 16777216"
  std::string text() const;

 private:
  void restore();

  std::string name_;
  std::string limit_before_;
  std::string limit_;
  std::string why_;
  unsigned uid_ = 0;
};

}  // namespace penstock::bench
