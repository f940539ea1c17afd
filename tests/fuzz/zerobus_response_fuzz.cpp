// Any bytes a server might send: parse_response must answer with a value or an Error, and what it
// takes for a message must keep the promises its readers rely on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/zerobus/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::zerobus;
  const auto response = parse_response(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!response) {
    if (response.error().what.empty()) std::abort();
    return 0;
  }
  if (const auto* close = std::get_if<CloseSignal>(&*response)) {
    if (close->grace < penstock::Millis(0)) std::abort();
  }
  return 0;
}
