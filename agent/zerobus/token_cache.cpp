#include "agent/zerobus/token_cache.h"

#include <algorithm>

namespace penstock::zerobus {
namespace {

using std::chrono::ceil;
using std::chrono::seconds;

constexpr Millis kRefreshLead{300'000};
constexpr Millis kMinPause{1'000};
constexpr Millis kMaxPause{5'000};
constexpr Millis kMaxRetryAfter{300'000};  // what a server may ask for

}  // namespace

TokenCache::Step TokenCache::ask(const std::string& table, bool fresh, MonoTime now) {
  Entry& entry = entries_[table];
  if (fresh) entry.token.clear();
  const bool valid = entry.valid(now);
  Step step;
  if (valid) step.answer = entry.token;
  if (entry.under_way || (valid && now < entry.refresh_at)) return step;
  if (entry.failure && now < entry.not_before) {
    if (valid) return step;
    step.answer = *entry.failure;
    step.answer->error().retry_after = ceil<Millis>(entry.not_before - now);
    return step;
  }
  step.fetch = entry.under_way = true;
  return step;
}

Result<std::string> TokenCache::fetched(const std::string& table, const Result<AccessToken>& result,
                                        MonoTime sent, MonoTime now) {
  Entry& entry = entries_[table];
  entry.under_way = false;
  entry.failure.reset();
  if (result) {
    if (!result->lifetime) {
      entry.token.clear();
      return result->value;
    }
    const Millis lifetime = *result->lifetime;
    if (now < sent + lifetime) {
      entry.token = result->value;
      entry.expires_at = sent + lifetime;
      entry.refresh_at = entry.expires_at - std::min(kRefreshLead, lifetime / 2);
      return entry.token;
    }
  }
  const Error error =
      result ? Error{ErrorKind::kTransient, "the access token had expired before it arrived", {}}
             : result.error();
  // With a token in hand the next request can wait a little; without one, whoever asks has its own
  // backoff.
  Millis pause = std::min(error.retry_after.value_or(Millis(0)), kMaxRetryAfter);
  const bool valid = entry.valid(now);
  if (valid) {
    const auto half = std::chrono::duration_cast<Millis>(entry.expires_at - now) / 2;
    pause = std::max(pause, std::clamp(half, kMinPause, kMaxPause));
  }
  entry.not_before = now + pause;
  entry.failure = error;
  if (valid) return entry.token;
  return error;
}

}  // namespace penstock::zerobus
