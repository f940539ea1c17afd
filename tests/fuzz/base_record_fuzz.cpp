// Stored record bytes: any input decodes or is refused; what decodes encodes to stable bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  std::vector<AttributeView> attributes;
  const auto record = decode_record({reinterpret_cast<const char*>(data), size}, attributes);
  if (!record) return 0;
  std::string once;
  encode_record(*record, once);
  if (once.size() > encoded_record_bound(*record)) std::abort();
  std::vector<AttributeView> again_attributes;
  const auto again = decode_record(once, again_attributes);
  std::string twice;
  if (!again) std::abort();
  encode_record(*again, twice);
  if (once != twice) std::abort();
  return 0;
}
