// The stored form of a segment: a 48-byte header that describes it completely, then the run of
// records, compressed when that helps. FORMAT.md has the byte layout. One CRC-32C covers the header
// and the stored bytes.
//
// Pure but for the compression contexts it keeps: one owner, no lock. parse() takes any bytes: what
// build() cannot have written is kCorrupt, never a crash and never more than kMaxRunBytes of
// memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/spool/types.h"

namespace penstock::spool {

inline constexpr size_t kSegmentHeaderBytes = 48;
inline constexpr size_t kMaxRunBytes = size_t{64} << 20;
inline constexpr size_t kCompressFromBytes =
    512;  // below it zstd gains too little to be worth the time

struct SegmentHeader {
  LaneId lane = 0;
  uint32_t count = 0;
  Seq first = 0;
  int64_t newest_us = 0;  // the latest received_at of its records
  uint32_t epoch = 0;     // number of the row in table `epoch`
  bool operator==(const SegmentHeader&) const = default;
};

struct DecodedSegment {
  SegmentHeader header;
  std::string run;  // header.count times (varint length, bytes)
};

// What compression is for: fewer bytes on the medium, or less time while records come faster than
// they can be packed.
enum class Packing { kSmall, kFast };

class SegmentCodec {
 public:
  SegmentCodec();
  ~SegmentCodec();
  SegmentCodec(SegmentCodec&&) noexcept;
  SegmentCodec& operator=(SegmentCodec&&) noexcept;

  // `run` holds header.count >= 1 records and at most kMaxRunBytes.
  std::string build(const SegmentHeader& header, std::string_view run,
                    Packing packing = Packing::kSmall);
  Result<DecodedSegment> parse(std::string_view stored);

 private:
  std::string_view pack(std::string_view run, Packing packing);

  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

// The body of record `seq`; nullopt when the segment does not hold it.
std::optional<std::string_view> record_at(const Segment& segment, Seq seq);

}  // namespace penstock::spool
