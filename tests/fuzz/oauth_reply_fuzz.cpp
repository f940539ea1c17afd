// Any answer of whoever listens under the workspace's address: read_token gives a token that fits
// into a header, or an Error with words in it; the client's secret is in neither.
// Input: the first byte chooses the status, the rest is the body.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/zerobus/oauth_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::zerobus;
  static constexpr std::array kStatus{200, 200, 200, 204, 302, 400, 401, 404, 408, 429, 503};
  static const OAuthClient kClient{"app", "S3CR3T"};
  if (size == 0) return 0;
  const HttpReply reply{kStatus[data[0] % kStatus.size()],
                        std::string(reinterpret_cast<const char*>(data) + 1, size - 1),
                        {}};
  const auto token = read_token(reply, kClient);
  if (!token) {
    const std::string& what = token.error().what;
    if (what.empty() || what.size() > 2000) std::abort();
    if (what.find(kClient.secret) != what.npos) std::abort();
    return 0;
  }
  const bool fits = std::all_of(token->value.begin(), token->value.end(),
                                [](char c) { return c > 32 && c < 127; });
  if (reply.status != 200 || token->value.empty() || !fits) std::abort();
  if (token->lifetime && (token->lifetime->count() < 1 || token->lifetime->count() > 2'592'000)) {
    std::abort();
  }
  return 0;
}
