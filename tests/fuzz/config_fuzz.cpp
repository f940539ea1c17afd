// Any bytes as a configuration: loading ends, with a configuration or with problems, and shows no
// secret.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using penstock::config::Environment;
  constexpr std::string_view kSecret = "s3cr3t-q7";
  const auto give_secret = [&](const auto&) { return std::string(kSecret); };
  Environment environment;
  environment.env = give_secret;
  environment.read_file = give_secret;
  environment.find_files = [&](const auto& pattern) {  // no file is named like the secret
    const bool exists = pattern.string().find(kSecret) == std::string::npos;
    return exists ? std::vector{pattern} : std::vector<std::filesystem::path>();
  };
  environment.credentials_dir = "/credentials";
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto loaded = penstock::config::load_text(text, "fuzz.yaml", "/etc/fuzz", environment);
  for (const auto& problem : loaded.problems) {
    const bool shown = to_string(problem).find(kSecret) != std::string::npos;
    if (shown && text.find(kSecret) == std::string::npos) std::abort();
  }
  if (loaded.ok() && loaded.config.agent.id.empty()) std::abort();
  return 0;
}
