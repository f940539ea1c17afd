#include "agent/host/secret_reader.h"

namespace penstock::host {

SecretReader::SecretReader(const std::vector<config::OptionValue>& values,
                           const config::Agent& agent)
    : agent_(agent) {
  for (const auto& value : values) {
    if (value.type != config::OptionType::kSecret) continue;
    auto& secret = secrets_[value.name];
    secret.source = "option " + value.name;
    secret.text = value.written;
    secret.folder = value.folder;
  }
}

std::string SecretReader::read(std::string_view option) const {
  const auto found = secrets_.find(option);
  if (found == secrets_.end()) return {};
  return config::reread(found->second, agent_, config::system_environment()).value;
}

}  // namespace penstock::host
