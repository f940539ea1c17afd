// JSON payloads to rows: no payload crashes the encoder, and what it appends is one well-framed
// row.
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "agent/base/varint.h"
#include "agent/codec/row_encoder.h"

namespace {

using penstock::codec::ColumnSpec;
using penstock::codec::EncoderSpec;
using penstock::codec::RowEncoder;

ColumnSpec column(const char* name, const char* from, const char* as) {
  ColumnSpec spec;
  spec.name = name;
  spec.from = *penstock::Expression::parse(from);
  spec.cast = *penstock::codec::parse_cast(as);
  spec.on_error = penstock::codec::OnError::kNull;
  return spec;
}

RowEncoder mapped() {
  EncoderSpec spec;
  spec.columns = {
      column("ts", "${payload.t}", "timestamp"), column("d", "${payload.v}", "decimal(18,6)"),
      column("v", "${payload.v}", "double"),     column("a", "${payload.a[1].b}", ""),
      column("w", "${payload}", "variant"),      column("b", "${payload.b}", "binary")};
  return *RowEncoder::make(std::move(spec));
}

void check(RowEncoder& encoder, std::string_view payload) {
  penstock::RecordView record;
  record.payload = payload;
  std::string out;
  const auto rows = encoder.encode(record, {"o", "e", 1, 1}, out);
  if (!rows) {
    if (!out.empty()) std::abort();
    return;
  }
  std::string_view rest(out);
  if (*rows != 1 || rest[0] != '\x0a') std::abort();
  rest.remove_prefix(1);
  const auto row = penstock::take_bytes(rest);
  if (!row || !rest.empty() || row->front() != '{' || row->back() != '}') std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static RowEncoder by_name = *RowEncoder::make(EncoderSpec{});
  static RowEncoder by_columns = mapped();
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  check(by_name, payload);
  check(by_columns, payload);
  return 0;
}
