// Byte form, version 1:
//   0x01 | time_quality (1 byte) | received_at_us (8 bytes, little-endian two's complement)
//   | bytes source | bytes topic | varint n | n x (bytes key, bytes value) | bytes payload
// where `bytes x` is varint length followed by the bytes. Nothing may follow.
#include "agent/base/record.h"

#include "agent/base/varint.h"

namespace penstock {
namespace {

constexpr char kVersion = 1;
constexpr size_t kFixedBytes = 10;

Error malformed(std::string_view where) {
  return {ErrorKind::kCorrupt, "stored record: malformed " + std::string(where), {}};
}

int64_t load_le64(std::string_view bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | static_cast<uint8_t>(bytes[static_cast<size_t>(i)]);
  return static_cast<int64_t>(value);
}

}  // namespace

size_t encoded_record_bound(const RecordView& record) {
  const auto bytes = [](std::string_view text) { return varint_size(text.size()) + text.size(); };
  size_t size = kFixedBytes + bytes(record.source) + bytes(record.topic) +
                varint_size(record.attributes.size()) + bytes(record.payload);
  for (const auto& attribute : record.attributes)
    size += bytes(attribute.key) + bytes(attribute.value);
  return size;
}

void encode_record(const RecordView& record, std::string& out) {
  out.push_back(kVersion);
  out.push_back(static_cast<char>(record.time_quality));
  auto time = static_cast<uint64_t>(record.received_at_us);
  for (int i = 0; i < 8; ++i, time >>= 8) out.push_back(static_cast<char>(time & 0xFF));
  append_bytes(record.source, out);
  append_bytes(record.topic, out);
  append_varint(record.attributes.size(), out);
  for (const auto& attribute : record.attributes) {
    append_bytes(attribute.key, out);
    append_bytes(attribute.value, out);
  }
  append_bytes(record.payload, out);
}

Result<RecordView> decode_record(std::string_view bytes, std::vector<AttributeView>& attributes) {
  attributes.clear();
  if (bytes.size() < kFixedBytes || bytes[0] != kVersion) return malformed("header");
  const auto quality = static_cast<uint8_t>(bytes[1]);
  if (quality > static_cast<uint8_t>(TimeQuality::kUnset)) return malformed("time quality");
  RecordView record;
  record.time_quality = static_cast<TimeQuality>(quality);
  record.received_at_us = load_le64(bytes.substr(2, 8));
  bytes.remove_prefix(kFixedBytes);
  const auto source = take_bytes(bytes);
  const auto topic = take_bytes(bytes);
  const auto count = take_varint(bytes);
  if (!source || !topic || !count || *count > bytes.size() / 2)
    return malformed("source, topic or attribute count");
  for (uint64_t i = 0; i < *count; ++i) {
    const auto key = take_bytes(bytes);
    const auto value = take_bytes(bytes);
    if (!key || !value) return malformed("attribute");
    attributes.push_back({*key, *value});
  }
  const auto payload = take_bytes(bytes);
  if (!payload || !bytes.empty()) return malformed("payload");
  record.source = *source;
  record.topic = *topic;
  record.attributes = attributes;
  record.payload = *payload;
  return record;
}

}  // namespace penstock
