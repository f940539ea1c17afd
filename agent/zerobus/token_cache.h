// TokenCache: which token a table's next stream gets, and when a new one is asked for.
//
// Pure; one owner, which locks if several threads ask. Per table there is at most one request under
// way. A token counts from before its request was sent, and is replaced early, min(300 s, half its
// life) before its end; until then, and while a replacement cannot be had, the old one is served.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/zerobus/oauth_request.h"

namespace penstock::zerobus {

class TokenCache {
 public:
  struct Step {
    std::optional<Result<std::string>> answer;  // empty: wait for fetched()
    bool fetch = false;  // send a request for this table now and report it with fetched()
  };

  // `fresh`: the token handed out last was refused, and is not handed out again.
  Step ask(const std::string& table, bool fresh, MonoTime now);

  // The request of this table, sent at `sent`, has ended. Returns what everybody gets who waits.
  Result<std::string> fetched(const std::string& table, const Result<AccessToken>& result,
                              MonoTime sent, MonoTime now);

 private:
  struct Entry {
    std::string token;  // empty: none
    MonoTime refresh_at{};
    MonoTime expires_at{};
    bool under_way = false;
    // After a failure nothing is asked before this.
    MonoTime not_before{};
    std::optional<Error> failure;

    bool valid(MonoTime now) const { return !token.empty() && now < expires_at; }
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace penstock::zerobus
