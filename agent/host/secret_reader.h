// SecretReader: the secrets among the options of one input, read again from where the configuration
// says they are.
//
// A value; read() on any thread: it looks at files and the environment and nothing else.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/options.h"

namespace penstock::host {

class SecretReader {
 public:
  SecretReader() = default;  // has none
  SecretReader(const std::vector<config::OptionValue>& values, const config::Agent& agent);

  // Empty: it cannot be read, or no secret has this name.
  std::string read(std::string_view option) const;

 private:
  std::map<std::string, config::Secret, std::less<>> secrets_;  // by name of the option
  config::Agent agent_;
};

}  // namespace penstock::host
