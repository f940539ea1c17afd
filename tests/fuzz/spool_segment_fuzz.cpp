// Any bytes into the parser of stored segments: it answers with an error or with a segment that
// holds what it says.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/spool/segment_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using penstock::spool::Segment;
  static penstock::spool::SegmentCodec codec;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto decoded = codec.parse(bytes);
  if (!decoded) return 0;
  const auto header = decoded->header;
  if (header.count == 0 || decoded->run.size() > penstock::spool::kMaxRunBytes) std::abort();
  const auto again = codec.parse(codec.build(header, decoded->run));
  if (!again || again->header != header || again->run != decoded->run) std::abort();
  const Segment segment(header.lane, 1, header.count, std::move(decoded->run));
  if (!record_at(segment, 1) || !record_at(segment, header.count) ||
      record_at(segment, header.count + uint64_t{1})) {
    std::abort();
  }
  return 0;
}
