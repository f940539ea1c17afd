#include "agent/spool/index_row.h"

#include <array>

#include "agent/base/varint.h"
#include "agent/spool/crc32c.h"

namespace penstock::spool {
namespace {

constexpr size_t kCrcBytes = 4;

uint32_t checksum(const IndexRow& row) {
  std::string columns;
  for (const uint64_t value : {uint64_t{row.lane}, row.range.first, row.range.last, row.segments,
                               row.bytes, row.segments_before, row.bytes_before}) {
    append_varint(value, columns);
  }
  return crc32c(columns);
}

// Over the columns as well as the entries: a row found under another key is not believed.
uint32_t checksum(const IndexRow& row, std::string_view entries) {
  return crc32c(entries, checksum(row));
}

void append_crc(uint32_t crc, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(crc >> shift));
}

uint32_t crc_at(std::string_view bytes) {
  uint32_t crc = 0;
  for (size_t i = 0; i < kCrcBytes; ++i) crc |= uint32_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return crc;
}

Error unfitting(const IndexRow& row) {
  return {ErrorKind::kCorrupt,
          "the index row of lane " + std::to_string(row.lane) + " at record " +
              std::to_string(row.range.first) + " is damaged",
          {}};
}

std::optional<IndexEntry> take_entry(std::string_view& in, const IndexEntry& before) {
  std::array<uint64_t, 4> fields{};  // id and first record as steps, count, bytes
  for (auto& field : fields) {
    const auto value = take_varint(in);
    if (!value) return std::nullopt;
    field = *value;
  }
  IndexEntry entry = before;
  entry.id += static_cast<int64_t>(fields[0]);
  entry.first = before.first + before.count + fields[1];
  entry.count = static_cast<uint32_t>(fields[2]);
  entry.bytes = static_cast<uint32_t>(fields[3]);
  return entry;
}

}  // namespace

uint32_t covered_check(int64_t covered_id) {
  std::string bytes;
  append_varint(static_cast<uint64_t>(covered_id), bytes);
  return crc32c(bytes);
}

bool is_sound(const IndexRow& row) { return row.check == checksum(row); }

IndexRow make_index_row(LaneId lane, const std::vector<IndexEntry>& entries,
                        uint64_t segments_before, uint64_t bytes_before) {
  IndexRow row{lane,
               {entries.front().first, entries.back().last()},
               entries.size(),
               0,
               segments_before,
               bytes_before,
               0,
               {}};
  std::string coded;
  IndexEntry before{0, row.range.first, 0, 0, 0};
  for (const auto& entry : entries) {
    append_varint(static_cast<uint64_t>(entry.id - before.id), coded);
    append_varint(entry.first - before.first - before.count, coded);
    append_varint(entry.count, coded);
    append_varint(entry.bytes, coded);
    row.bytes += entry.bytes;
    before = entry;
  }
  row.check = checksum(row);
  append_crc(checksum(row, coded), row.entries);
  row.entries += coded;
  return row;
}

Result<std::vector<IndexEntry>> entries_of(const IndexRow& row, uint32_t generation) {
  if (row.entries.size() < kCrcBytes) return unfitting(row);
  std::string_view coded = std::string_view(row.entries).substr(kCrcBytes);
  if (crc_at(row.entries) != checksum(row, coded)) return unfitting(row);
  std::vector<IndexEntry> entries;
  IndexEntry before{0, row.range.first, 0, 0, generation};
  while (!coded.empty()) {
    const auto entry = take_entry(coded, before);
    if (!entry) return unfitting(row);
    entries.push_back(*entry);
    before = *entry;
  }
  if (entries.empty() || entries.size() != row.segments || entries.back().last() != row.range.last)
    return unfitting(row);
  return entries;
}

}  // namespace penstock::spool
