#include "agent/spool/offline_page.h"

#include <algorithm>

#include "agent/spool/segment_format.h"
#include "agent/spool/sizing.h"

namespace penstock::spool {
namespace {

constexpr uint64_t kUsable = kPageBytes;
constexpr uint64_t kMaxLocal = kUsable - 35;
constexpr uint64_t kMinLocal = (kUsable - 12) * 32 / 255 - 23;
constexpr size_t kFileHeaderBytes = 100;
// No row of ours is larger: a segment, its columns, a reason.
constexpr uint64_t kMaxRecordBytes = kMaxRunBytes + (1 << 20);
constexpr uint64_t kMaxFields = 64;

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

uint32_t be16(std::string_view bytes, size_t at) {
  return static_cast<uint32_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

uint32_t be32(std::string_view bytes, size_t at) {
  return be16(bytes, at) << 16 | be16(bytes, at + 2);
}

// SQLite's integers of 1 to 9 bytes, most significant first; takes it off the front of `in`.
std::optional<uint64_t> take_big_varint(std::string_view& in) {
  uint64_t value = 0;
  for (size_t i = 0; i < 9 && i < in.size(); ++i) {
    const uint8_t byte = byte_at(in, i);
    if (i == 8) {
      in.remove_prefix(9);
      return value << 8 | byte;
    }
    value = value << 7 | (byte & 0x7FU);
    if (byte < 0x80) {
      in.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

uint64_t local_bytes(uint64_t size) {
  if (size <= kMaxLocal) return size;
  const uint64_t fitting = kMinLocal + (size - kMinLocal) % (kUsable - 4);
  return fitting <= kMaxLocal ? fitting : kMinLocal;
}

size_t header_at(bool is_first) { return is_first ? kFileHeaderBytes : 0; }

bool is_interior(PageKind kind) {
  return kind == PageKind::kTableInterior || kind == PageKind::kIndexInterior;
}

// How many bytes a serial type takes and what it is; false for the reserved ones.
bool describe(uint64_t serial, FieldValue& value) {
  constexpr uint8_t kWidths[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  if (serial >= 12) {
    value.kind = serial % 2 == 0 ? FieldValue::Kind::kBlob : FieldValue::Kind::kText;
    value.size_bytes = (serial - 12) / 2;
    return true;
  }
  if (serial > 9) return false;
  value.kind = serial == 0   ? FieldValue::Kind::kNull
               : serial == 7 ? FieldValue::Kind::kReal
                             : FieldValue::Kind::kInteger;
  value.size_bytes = kWidths[serial];
  value.integer = serial == 9 ? 1 : 0;
  return true;
}

int64_t load_integer(std::string_view bytes) {
  uint64_t value = !bytes.empty() && byte_at(bytes, 0) >= 0x80 ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < bytes.size(); ++i) value = value << 8 | byte_at(bytes, i);
  return static_cast<int64_t>(value);
}

}  // namespace

PageKind page_kind(std::string_view page, bool is_first) {
  const size_t at = header_at(is_first);
  if (page.size() < at + 12) return PageKind::kOther;
  switch (byte_at(page, at)) {
    case 0x02:
      return PageKind::kIndexInterior;
    case 0x05:
      return PageKind::kTableInterior;
    case 0x0A:
      return PageKind::kIndexLeaf;
    case 0x0D:
      return PageKind::kTableLeaf;
    default:
      return PageKind::kOther;
  }
}

uint32_t cell_count(std::string_view page, bool is_first) {
  const PageKind kind = page_kind(page, is_first);
  if (kind == PageKind::kOther) return 0;
  const size_t at = header_at(is_first);
  const uint32_t count = be16(page, at + 3);
  const size_t pointers = at + (is_interior(kind) ? 12 : 8);
  return pointers + size_t{count} * 2 <= page.size() ? count : 0;
}

std::optional<LeafCell> leaf_cell(std::string_view page, bool is_first, uint32_t index) {
  if (page_kind(page, is_first) != PageKind::kTableLeaf || index >= cell_count(page, is_first))
    return std::nullopt;
  const uint32_t at = be16(page, header_at(is_first) + 8 + size_t{index} * 2);
  if (at < header_at(is_first) + 8 || at >= page.size()) return std::nullopt;
  std::string_view rest = page.substr(at);
  const auto size = take_big_varint(rest);
  const auto rowid = take_big_varint(rest);
  if (!size || !rowid || *size < 2 || *size > kMaxRecordBytes) return std::nullopt;
  const uint64_t local = local_bytes(*size);
  const bool overflows = local < *size;
  if (rest.size() < local + (overflows ? 4 : 0)) return std::nullopt;
  return LeafCell{static_cast<int64_t>(*rowid), *size, rest.substr(0, local),
                  overflows ? be32(rest, local) : 0};
}

std::vector<uint32_t> children(std::string_view page, bool is_first) {
  std::vector<uint32_t> below;
  if (!is_interior(page_kind(page, is_first))) return below;
  const size_t at = header_at(is_first);
  const uint32_t count = cell_count(page, is_first);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t cell = be16(page, at + 12 + size_t{i} * 2);
    below.push_back(cell + 4 <= page.size() ? be32(page, cell) : 0);
  }
  below.push_back(be32(page, at + 8));
  return below;
}

std::optional<std::vector<FieldValue>> record_values(std::string_view local, uint64_t size_bytes) {
  std::string_view header = local;
  const auto header_bytes = take_big_varint(header);
  if (!header_bytes || *header_bytes > local.size()) return std::nullopt;
  const size_t used = local.size() - header.size();
  if (*header_bytes < used) return std::nullopt;
  header = local.substr(used, *header_bytes - used);
  std::vector<FieldValue> values;
  uint64_t at = *header_bytes;
  while (!header.empty()) {
    const auto serial = take_big_varint(header);
    FieldValue value;
    if (!serial || values.size() == kMaxFields || !describe(*serial, value)) return std::nullopt;
    if (value.size_bytes > size_bytes - at) return std::nullopt;
    if (at < local.size())
      value.bytes = local.substr(at, std::min<uint64_t>(value.size_bytes, local.size() - at));
    if (value.kind == FieldValue::Kind::kInteger && value.size_bytes > 0) {
      if (value.bytes.size() != value.size_bytes) return std::nullopt;
      value.integer = load_integer(value.bytes);
    }
    at += value.size_bytes;
    values.push_back(value);
  }
  if (at != size_bytes) return std::nullopt;
  return values;
}

Result<std::string> whole_record(const PageImage& image, PageFrom from, const LeafCell& cell) {
  std::string record(cell.local);
  std::string page;
  uint32_t next = cell.overflow;
  while (record.size() < cell.size_bytes) {
    if (!image.read({from, next}, page)) {
      return Error{ErrorKind::kCorrupt,
                   "it goes on at page " + std::to_string(next) + ", which cannot be read",
                   {}};
    }
    const uint64_t left = cell.size_bytes - record.size();
    record.append(page, 4, static_cast<size_t>(std::min<uint64_t>(left, kUsable - 4)));
    next = be32(page, 0);
  }
  return record;
}

}  // namespace penstock::spool
