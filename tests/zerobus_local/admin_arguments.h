// Query arguments of one admin call: every one must be known, needed ones present, numbers in
// range. Pure; lives no longer than the target it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/support/status.h>

#include "tests/zerobus_local/http_reply.h"

namespace penstock::local {

class Arguments {
 public:
  Arguments(const Target& target, std::vector<std::string_view> known);

  std::optional<std::string> text(std::string_view name) const;
  bool has(std::string_view name) const { return text(name).has_value(); }
  std::string table() const { return text("table").value_or("*"); }  // a glob
  // The rest note a problem and return something harmless.
  std::string needed(std::string_view name);
  int64_t number(std::string_view name, std::optional<int64_t> otherwise, int64_t min, int64_t max);
  bool flag(std::string_view name, bool otherwise);
  grpc::StatusCode status();

  void fail(std::string what);
  const std::string& problem() const { return problem_; }  // the first; empty: none

 private:
  const std::vector<std::pair<std::string, std::string>>& query_;
  std::string problem_;
};

}  // namespace penstock::local
