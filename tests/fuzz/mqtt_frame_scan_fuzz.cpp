// Fuzz target: the MQTT frame scanner, fed whole and cut into pieces, must see the same frames,
// hand back every byte once, and refuse the same streams. With a limit, what goes on in place of
// the packets above it is the same however they were cut, and is itself a stream of whole packets.
//
// First byte: length of the pieces. The rest: the stream.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "plugins/mqtt/frame_scan.h"
#include "plugins/mqtt/publish_head.h"

namespace {

using penstock::mqtt::FramePiece;
using penstock::mqtt::FrameScan;
using penstock::mqtt::FrameType;
using penstock::mqtt::PublishHead;
using penstock::mqtt::SetAsideMark;

constexpr uint32_t kLimit = 16;  // small: most inputs have a packet above it

struct Outcome {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> frames;  // sizes, of complete frames
  std::vector<uint8_t> passed;   // with heads for the packets above the limit
  uint64_t heads = 0;
  bool malformed = false;

  bool operator==(const Outcome&) const = default;
};

// As the gate does.
void pass(const FramePiece& piece, PublishHead& head, Outcome& outcome) {
  static const SetAsideMark mark;
  if (piece.frame_bytes <= kLimit) {
    outcome.passed.insert(outcome.passed.end(), piece.bytes.begin(), piece.bytes.end());
  } else if (piece.type() == FrameType::kPublish) {
    head.take(piece);
    if (head.under_way() == piece.ends) std::abort();
    const bool v5 = piece.frame_bytes % 2 == 1;  // both ways
    if (piece.ends && head.append_substitute(mark, v5, outcome.passed)) ++outcome.heads;
  }
}

// Whole packets, but for what the last one still lacks.
bool is_stream(std::span<const uint8_t> stream) {
  FrameScan scan;
  FramePiece piece;
  auto status = FrameScan::Status::kPiece;
  while ((status = scan.next(stream, piece)) == FrameScan::Status::kPiece) {
  }
  return status == FrameScan::Status::kNeedMore;
}

Outcome run(std::span<const uint8_t> stream, size_t piece_size) {
  FrameScan scan;
  PublishHead head;
  Outcome outcome;
  while (!stream.empty() && !outcome.malformed) {
    auto in = stream.first(std::min(piece_size, stream.size()));
    stream = stream.subspan(in.size());
    FramePiece piece;
    auto status = FrameScan::Status::kPiece;
    while ((status = scan.next(in, piece)) == FrameScan::Status::kPiece) {
      if (piece.bytes.empty()) std::abort();  // no progress
      outcome.bytes.insert(outcome.bytes.end(), piece.bytes.begin(), piece.bytes.end());
      pass(piece, head, outcome);
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
  if (!is_stream(whole.passed)) std::abort();
  if (whole.bytes.size() > stream.size()) std::abort();
  if (!std::equal(whole.bytes.begin(), whole.bytes.end(), stream.begin())) std::abort();
  return 0;
}
