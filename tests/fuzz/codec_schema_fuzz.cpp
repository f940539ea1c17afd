// Table schemas from outside: no text crashes the readers or makes them recurse without end, and a
// type that is taken survives being written and read again.
#include <cstdint>
#include <cstdlib>

#include "agent/codec/row_descriptor.h"
#include "agent/codec/type_text.h"
#include "agent/codec/unity_table.h"

namespace {

using penstock::codec::DataType;

void check(const penstock::Result<DataType>& type) {
  if (!type) {
    if (type.error().what.empty()) std::abort();
    return;
  }
  const auto again = penstock::codec::parse_type_text(penstock::codec::to_string(*type));
  if (!again || !(*again == *type)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(penstock::codec::parse_type_text(text));
  check(penstock::codec::parse_type_json(text));
  if (const auto table = penstock::codec::parse_unity_table(text)) {
    const auto descriptor = penstock::codec::row_descriptor(table->schema, "Row");
    if (!descriptor && descriptor.error().what.empty()) std::abort();
  }
  return 0;
}
