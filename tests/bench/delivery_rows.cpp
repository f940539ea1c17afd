#include "tests/bench/delivery_rows.h"

#include <set>
#include <stdexcept>

#include "agent/base/record.h"
#include "agent/base/varint.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

using codec::TypeKind;

constexpr std::string_view kOrigin = "gw-0042/0123456789abcdef/3";
constexpr std::string_view kEpoch = "0123456789abcdef";

codec::TableColumn column(std::string name, TypeKind kind, uint32_t position) {
  codec::TableColumn out;
  out.name = std::move(name);
  out.type.kind = kind;
  out.position = position;
  return out;
}

codec::TableSchema telemetry_table() {
  const std::pair<const char*, TypeKind> columns[] = {
      {"ts", TypeKind::kBigint}, {"dev", TypeKind::kString},     {"tag", TypeKind::kString},
      {"v", TypeKind::kDouble},  {"q", TypeKind::kInt},          {"unit", TypeKind::kString},
      {"sn", TypeKind::kString}, {"seq", TypeKind::kBigint},     {"fw", TypeKind::kString},
      {"st", TypeKind::kString}, {"_origin", TypeKind::kString}, {"_seq", TypeKind::kBigint}};
  codec::TableSchema table;
  for (const auto& [name, kind] : columns)
    table.columns.push_back(column(name, kind, static_cast<uint32_t>(table.columns.size())));
  return table;
}

// Names of the top-level fields, by looking for "name": in a flat document.
std::set<std::string> fields_of(const std::vector<std::string>& documents) {
  std::set<std::string> names;
  for (const auto& text : documents) {
    for (size_t at = 0; (at = text.find("\":", at)) != text.npos; at += 2) {
      const size_t quote = text.rfind('"', at - 1);
      names.insert(text.substr(quote + 1, at - quote - 1));
    }
  }
  return names;
}

codec::RowEncoder made(Result<codec::RowEncoder> encoder) {
  if (!encoder) throw std::runtime_error(encoder.error().what);
  return *std::move(encoder);
}

size_t encode(codec::RowEncoder& encoder, const std::string& body, uint64_t seq, std::string& out,
              std::vector<AttributeView>& attributes) {
  const auto record = decode_record(body, attributes);
  if (!record) throw std::runtime_error(record.error().what);
  const auto rows = encoder.encode(*record, {kOrigin, kEpoch, seq, 3}, out);
  if (!rows) throw std::runtime_error(rows.error().what);
  return *rows;
}

}  // namespace

// A dot behind a letter stands in names only, here.
std::vector<std::string> table_bodies(size_t payload_bytes, size_t count) {
  auto bodies = make_bodies(payload_bytes, count);
  for (auto& body : bodies) {
    for (size_t at = 1; (at = body.find('.', at)) != body.npos; ++at) {
      if (body[at - 1] >= 'a' && body[at - 1] <= 'z') body[at] = '_';
    }
  }
  return bodies;
}

std::vector<std::string> payloads(size_t bytes, size_t count) {
  std::vector<std::string> out;
  std::vector<AttributeView> attributes;
  for (const auto& body : table_bodies(bytes, count)) {
    const auto record = decode_record(body, attributes);
    if (record) out.emplace_back(record->payload);
  }
  return out;
}

codec::RowEncoder telemetry_encoder(codec::RowForm form) {
  return made(codec::RowEncoder::make({}, telemetry_table(), form));
}

codec::RowEncoder document_encoder() {
  codec::TableSchema table;
  for (const auto& name : fields_of(payloads(1024, 500))) {
    const bool text = name == "dev" || name == "site";
    const bool whole = name == "ts" || name == "seq";
    table.columns.push_back(column(name,
                                   text    ? TypeKind::kString
                                   : whole ? TypeKind::kBigint
                                           : TypeKind::kDouble,
                                   static_cast<uint32_t>(table.columns.size())));
  }
  return made(codec::RowEncoder::make({}, table, codec::RowForm::kProto));
}

codec::RowEncoder encoder_for(size_t payload_bytes, codec::RowForm form) {
  if (form == codec::RowForm::kProto) {
    return payload_bytes < 512 ? telemetry_encoder(form) : document_encoder();
  }
  return made(codec::RowEncoder::make({}));
}

std::vector<std::string> encoded_rows(codec::RowEncoder& encoder, size_t payload_bytes,
                                      size_t count) {
  std::vector<std::string> rows;
  std::vector<AttributeView> attributes;
  uint64_t seq = 0;
  for (const auto& body : table_bodies(payload_bytes, count)) {
    std::string run;
    encode(encoder, body, ++seq, run, attributes);
    std::string_view rest(run);
    rest.remove_prefix(1);
    rows.emplace_back(take_bytes(rest).value_or(""));
  }
  return rows;
}

uint64_t encode_all(codec::RowEncoder& encoder, const std::vector<std::string>& bodies) {
  std::string out;
  std::vector<AttributeView> attributes;
  uint64_t rows = 0;
  for (const auto& body : bodies) {
    rows += encode(encoder, body, rows + 1, out, attributes);
    if (out.size() >= 256 << 10) out.clear();
  }
  return rows;
}

}  // namespace penstock::bench
