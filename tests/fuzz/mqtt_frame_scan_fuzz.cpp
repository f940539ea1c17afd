// Fuzz target: the MQTT frame scanner, fed whole and cut into pieces, must see the same frames,
// hand back every byte once, and refuse the same streams.
//
// First byte: length of the pieces. The rest: the stream.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "plugins/mqtt/frame_scan.h"

namespace {

using penstock::mqtt::FramePiece;
using penstock::mqtt::FrameScan;

struct Outcome {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> frames;  // sizes, of complete frames
  bool malformed = false;

  bool operator==(const Outcome&) const = default;
};

Outcome run(std::span<const uint8_t> stream, size_t piece_size) {
  FrameScan scan;
  Outcome outcome;
  while (!stream.empty() && !outcome.malformed) {
    auto in = stream.first(std::min(piece_size, stream.size()));
    stream = stream.subspan(in.size());
    FramePiece piece;
    auto status = FrameScan::Status::kPiece;
    while ((status = scan.next(in, piece)) == FrameScan::Status::kPiece) {
      if (piece.bytes.empty()) std::abort();  // no progress
      outcome.bytes.insert(outcome.bytes.end(), piece.bytes.begin(), piece.bytes.end());
      if (piece.ends) outcome.frames.push_back(piece.frame_bytes);
    }
    outcome.malformed = status == FrameScan::Status::kMalformed;
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::span<const uint8_t> stream(data + 1, size - 1);
  const Outcome whole = run(stream, stream.size() + 1);
  if (!(run(stream, data[0] + size_t{1}) == whole) || !(run(stream, 1) == whole)) std::abort();
  if (whole.bytes.size() > stream.size()) std::abort();
  if (!std::equal(whole.bytes.begin(), whole.bytes.end(), stream.begin())) std::abort();
  return 0;
}
