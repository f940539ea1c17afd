// Expressions: no text crashes the parser, and what it accepts says where each reference came from.
#include <cstdint>
#include <cstdlib>

#include "agent/base/expression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto expression = penstock::Expression::parse(text);
  if (!expression) return 0;
  for (const auto& part : expression->parts()) {
    const auto* reference = std::get_if<penstock::Reference>(&part);
    if (reference && text.find(reference->text) == std::string_view::npos) std::abort();
  }
  return 0;
}
