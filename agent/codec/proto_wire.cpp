#include "agent/codec/proto_wire.h"

#include <bit>
#include <charconv>

#include "agent/base/varint.h"

namespace penstock::codec {
namespace {

template <class Bits>
void append_little_endian(Bits bits, std::string& out) {
  for (size_t i = 0; i < sizeof bits; ++i) out.push_back(static_cast<char>(bits >> (8 * i)));
}

// The nearest value. Casts let through what fits; out of range here means too small to be told from
// 0.
template <class Float>
Float nearest(std::string_view number) {
  Float value = 0;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), value);
  if (parsed.ec == std::errc()) return value;
  return number.starts_with('-') ? -Float{0} : Float{0};
}

}  // namespace

Wire wire_of(TypeKind kind) {
  switch (kind) {
    case TypeKind::kTinyint:
    case TypeKind::kSmallint:
    case TypeKind::kInt:
    case TypeKind::kBigint:
    case TypeKind::kBoolean:
    case TypeKind::kDate:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampNtz:
      return Wire::kVarint;
    case TypeKind::kFloat:
      return Wire::kFixed32;
    case TypeKind::kDouble:
      return Wire::kFixed64;
    default:
      return Wire::kLength;
  }
}

void append_tag(uint32_t number, Wire wire, std::string& out) {
  append_varint(uint64_t{number} << 3 | static_cast<uint8_t>(wire), out);
}

void append_scalar(const Cell& cell, TypeKind kind, std::string& out) {
  switch (wire_of(kind)) {
    case Wire::kVarint:  // negative numbers take ten bytes, in 32-bit fields too
      append_varint(static_cast<uint64_t>(cell.integer), out);
      return;
    case Wire::kFixed32:
      append_little_endian(std::bit_cast<uint32_t>(nearest<float>(cell.text)), out);
      return;
    case Wire::kFixed64:
      append_little_endian(std::bit_cast<uint64_t>(nearest<double>(cell.text)), out);
      return;
    case Wire::kLength:
      append_bytes(cell.text, out);
  }
}

void insert_length(size_t begin, std::string& out) {
  std::string length;
  append_varint(out.size() - begin, length);
  out.insert(begin, length);
}

}  // namespace penstock::codec
