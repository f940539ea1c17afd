// Expressions of the configuration: any text parses or is refused; parsing what was parsed agrees.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/base/expression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto expression = penstock::Expression::parse({reinterpret_cast<const char*>(data), size});
  if (!expression) return 0;
  const auto again = penstock::Expression::parse(expression->text());
  if (!again || again->parts().size() != expression->parts().size()) std::abort();
  return 0;
}
