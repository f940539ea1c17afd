#include "agent/zerobus/header_value.h"

#include <spdlog/fmt/fmt.h>

namespace penstock::zerobus {

Result<void> check_header_value(std::string_view what, std::string_view value) {
  for (size_t i = 0; i < value.size(); ++i) {
    const auto byte = static_cast<unsigned char>(value[i]);
    if (byte >= 0x20 && byte <= 0x7E) continue;
    return Error{
        ErrorKind::kDenied,
        fmt::format("the {} has the byte 0x{:02X} at {}, which no header can carry; remove "
                    "it (a line break at the end of a file?)",
                    what, byte, i),
        {}};
  }
  if (!value.empty()) return {};
  return Error{ErrorKind::kDenied, fmt::format("the {} is empty", what), {}};
}

}  // namespace penstock::zerobus
