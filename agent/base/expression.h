// Expressions of the configuration: text with `${...}` references, as in
// `main.iot.telemetry_${topic.line}`.
//
// This header knows the syntax only; what a reference means is up to the caller: load-time ones
// (env, file, credential, agent, label) are resolved by config, per-record ones (topic, source,
// attr, payload, meta) by route and codec. Pure, immutable after parse, freely copied.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/result.h"

namespace penstock {

// One step of a path: `.name` (letters of any script, digits, `_`, `-`), `['any name']`, `["any
// name"]` or `[3]`.
using PathStep = std::variant<std::string, size_t>;

struct Reference {
  std::string root;            // topic, payload, env, ...
  std::string argument;        // what follows a colon: NAME in ${env:NAME}; else empty
  std::vector<PathStep> path;  // .a.b[0]
  std::string text;            // as written, with ${ }
};

class Expression {
 public:
  // kRejected with the offset (in bytes, from 0) and what was expected: "`${` at 5 is not closed by
  // `}`".
  // `$${` stands for a literal `${`.
  static Result<Expression> parse(std::string_view text);

  const std::string& text() const { return text_; }
  // Literal text and references, in order; neighbouring literals are joined, empty ones left out.
  const std::vector<std::variant<std::string, Reference>>& parts() const { return parts_; }
  bool is_literal() const;
  // The reference when the whole text is exactly one.
  const Reference* single() const;

 private:
  std::string text_;
  std::vector<std::variant<std::string, Reference>> parts_;
};

}  // namespace penstock
