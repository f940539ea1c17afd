#include "agent/spool/segment_format.h"

#include <zstd.h>

#include "agent/base/varint.h"
#include "agent/spool/crc32c.h"

namespace penstock::spool {
namespace {

constexpr std::string_view kMagic = "PkSg";
constexpr char kVersion = 1;
constexpr char kCodecNone = 0;
constexpr char kCodecZstd = 1;
constexpr size_t kCrcAt = 44;
// Measured on JSON records (DESIGN.md): -5 takes half the time of 1 or less, for a third to two
// thirds more bytes.
constexpr int kSmallLevel = 1;
constexpr int kFastLevel = -5;
constexpr size_t kKeptBytes = size_t{2} << 20;

void append_le(uint64_t value, int bytes, std::string& out) {
  for (int i = 0; i < bytes; ++i, value >>= 8) out.push_back(static_cast<char>(value & 0xFF));
}

uint64_t load_le(std::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

Error corrupt(std::string what) {
  return {ErrorKind::kCorrupt, "stored segment: " + std::move(what), {}};
}

// True when `run` is exactly `count` length-prefixed records.
bool holds_records(std::string_view run, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (!take_bytes(run)) return false;
  }
  return run.empty();
}

}  // namespace

struct SegmentCodec::Contexts {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> pack{ZSTD_createCCtx(), &ZSTD_freeCCtx};
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> unpack{ZSTD_createDCtx(), &ZSTD_freeDCtx};
  std::string packed;  // room for the largest run so far, up to kKeptBytes
};

SegmentCodec::SegmentCodec() : contexts_(std::make_unique<Contexts>()) {}
SegmentCodec::~SegmentCodec() = default;
SegmentCodec::SegmentCodec(SegmentCodec&&) noexcept = default;
SegmentCodec& SegmentCodec::operator=(SegmentCodec&&) noexcept = default;

// The compressed form of `run`, in a buffer that lasts until the next call; empty when it is no
// gain.
std::string_view SegmentCodec::pack(std::string_view run, Packing packing) {
  if (run.size() < kCompressFromBytes) return {};
  std::string& room = contexts_->packed;
  if (room.size() > kKeptBytes) room = std::string();
  if (room.size() < ZSTD_compressBound(run.size())) room.resize(ZSTD_compressBound(run.size()));
  const size_t size =
      ZSTD_compressCCtx(contexts_->pack.get(), room.data(), room.size(), run.data(), run.size(),
                        packing == Packing::kFast ? kFastLevel : kSmallLevel);
  if (ZSTD_isError(size) != 0 || size >= run.size()) return {};
  return std::string_view(room).substr(0, size);
}

std::string SegmentCodec::build(const SegmentHeader& header, std::string_view run,
                                Packing packing) {
  const std::string_view packed = pack(run, packing);
  const std::string_view body = packed.empty() ? run : packed;
  std::string out;
  out.reserve(kSegmentHeaderBytes + body.size());
  out.append(kMagic);
  out.push_back(kVersion);
  out.push_back(packed.empty() ? kCodecNone : kCodecZstd);
  append_le(0, 2, out);  // reserved
  append_le(header.lane, 4, out);
  append_le(header.count, 4, out);
  append_le(header.first, 8, out);
  append_le(static_cast<uint64_t>(header.newest_us), 8, out);
  append_le(header.epoch, 4, out);
  append_le(run.size(), 4, out);
  append_le(body.size(), 4, out);
  append_le(crc32c(body, crc32c(out)), 4, out);
  out.append(body);
  return out;
}

Result<DecodedSegment> SegmentCodec::parse(std::string_view stored) {
  if (stored.size() < kSegmentHeaderBytes || !stored.starts_with(kMagic))
    return corrupt("no header");
  if (stored[4] != kVersion) return corrupt("unknown version " + std::to_string(stored[4]));
  const std::string_view body = stored.substr(kSegmentHeaderBytes);
  if (load_le(stored, 40, 4) != body.size()) return corrupt("wrong length");
  if (load_le(stored, kCrcAt, 4) != crc32c(body, crc32c(stored.substr(0, kCrcAt)))) {
    return corrupt("checksum mismatch");
  }
  DecodedSegment out;
  out.header.lane = static_cast<LaneId>(load_le(stored, 8, 4));
  out.header.count = static_cast<uint32_t>(load_le(stored, 12, 4));
  out.header.first = load_le(stored, 16, 8);
  out.header.newest_us = static_cast<int64_t>(load_le(stored, 24, 8));
  out.header.epoch = static_cast<uint32_t>(load_le(stored, 32, 4));
  const size_t raw_bytes = load_le(stored, 36, 4);
  if (raw_bytes > kMaxRunBytes || out.header.count == 0) return corrupt("impossible size or count");
  if (stored[5] == kCodecNone) {
    out.run = body;
  } else if (stored[5] == kCodecZstd) {
    out.run.resize(raw_bytes);
    const size_t size = ZSTD_decompressDCtx(contexts_->unpack.get(), out.run.data(), raw_bytes,
                                            body.data(), body.size());
    if (ZSTD_isError(size) != 0 || size != raw_bytes) return corrupt("does not decompress");
  } else {
    return corrupt("unknown codec " + std::to_string(stored[5]));
  }
  if (out.run.size() != raw_bytes || !holds_records(out.run, out.header.count)) {
    return corrupt("records do not add up");
  }
  return out;
}

std::optional<std::string_view> record_at(const Segment& segment, Seq seq) {
  if (seq < segment.first() || seq > segment.last()) return std::nullopt;
  std::string_view run = segment.run();
  for (Seq at = segment.first(); at < seq; ++at) {
    if (!take_bytes(run)) return std::nullopt;
  }
  return take_bytes(run);
}

}  // namespace penstock::spool
