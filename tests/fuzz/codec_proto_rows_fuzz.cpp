// JSON payloads to protobuf rows: no payload crashes the encoder, what it appends is one
// well-framed row, and the row is a sequence of the table's fields and nothing else.
#include <cstdint>
#include <cstdlib>

#include "agent/base/varint.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/type_text.h"

namespace {

using namespace penstock::codec;

RowEncoder make() {
  TableSchema table;
  for (const char* type :
       {"bigint", "float", "double", "boolean", "string", "varchar(3)", "binary", "date",
        "timestamp", "timestamp_ntz", "decimal(18,6)", "variant", "array<decimal(5,2)>",
        "map<int,struct<a:array<string>,b:map<boolean,double>>>", "struct<a:tinyint,b:binary>"}) {
    const auto position = static_cast<uint32_t>(table.columns.size());
    table.columns.push_back({std::string(1, static_cast<char>('a' + position)),
                             *parse_type_text(type), true, position});
  }
  EncoderSpec spec;
  spec.unknown_fields = UnknownFields::kIgnore;
  return *RowEncoder::make(std::move(spec), table, RowForm::kProto);
}

// Every field has a number of the table and the bytes it says.
void walk(std::string_view row) {
  while (!row.empty()) {
    const auto tag = penstock::take_varint(row);
    if (!tag || *tag >> 3 == 0 || *tag >> 3 > 15) std::abort();
    const uint64_t wire = *tag & 7;
    const size_t fixed = wire == 1 ? 8 : wire == 5 ? 4 : 0;
    if (wire == 0 && !penstock::take_varint(row)) std::abort();
    if (wire == 2 && !penstock::take_bytes(row)) std::abort();
    if (wire > 2 && wire != 5) std::abort();
    if (fixed > row.size()) std::abort();
    row.remove_prefix(fixed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static RowEncoder rows = make();
  penstock::RecordView record;
  record.payload = std::string_view(reinterpret_cast<const char*>(data), size);
  std::string out;
  if (!rows.encode(record, {"o", "e", 1, 1}, out)) {
    if (!out.empty()) std::abort();
    return 0;
  }
  std::string_view rest(out);
  if (rest[0] != '\x0a') std::abort();
  rest.remove_prefix(1);
  const auto row = penstock::take_bytes(rest);
  if (!row || !rest.empty()) std::abort();
  walk(*row);
  return 0;
}
