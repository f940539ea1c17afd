#include "agent/config/config.h"
#include "agent/config/substitute.h"

namespace penstock::config {
namespace {

void read_whole_file(Secret& secret, const Environment& environment) {
  secret.source = "file " + secret.file.string();
  secret.available = false;
  secret.value.clear();
  if (!environment.read_file) return;
  auto text = environment.read_file(secret.file);
  if (text) secret.value = without_line_end(*std::move(text));
}

}  // namespace

Secret reread(const Secret& secret, const Agent& agent, const Environment& environment) {
  Secret fresh = secret;
  if (!secret.file.empty()) {
    read_whole_file(fresh, environment);
  } else if (secret.configured()) {
    auto result = substitute(secret.text, kNoRecord, {environment, &agent, secret.folder});
    const bool whole = result.missing.empty() && result.wrong.empty();
    fresh.value = whole ? std::move(result.text) : std::string();
  }
  fresh.available = !fresh.value.empty() || !fresh.configured();
  return fresh;
}

}  // namespace penstock::config
