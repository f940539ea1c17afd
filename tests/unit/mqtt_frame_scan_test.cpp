// The frame scanner sees the same frames however the bytes are cut.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "plugins/mqtt/frame_scan.h"

namespace penstock::mqtt {
namespace {

using Bytes = std::vector<uint8_t>;

struct Scanned {
  std::vector<Bytes> frames;
  Bytes unfinished;
  bool malformed = false;

  bool operator==(const Scanned&) const = default;
};

void feed(FrameScan& scan, std::span<const uint8_t> in, Scanned& scanned) {
  FramePiece piece;
  while (true) {
    const auto status = scan.next(in, piece);
    if (status == FrameScan::Status::kNeedMore) return;
    if (status == FrameScan::Status::kMalformed) {
      scanned.malformed = true;
      return;
    }
    EXPECT_EQ(piece.starts, scanned.unfinished.empty());
    scanned.unfinished.insert(scanned.unfinished.end(), piece.bytes.begin(), piece.bytes.end());
    EXPECT_EQ(piece.first_byte, scanned.unfinished[0]);
    if (!piece.ends) continue;
    EXPECT_EQ(piece.frame_bytes, scanned.unfinished.size());
    scanned.frames.push_back(std::move(scanned.unfinished));
    scanned.unfinished.clear();
  }
}

Scanned scan_in(const Bytes& stream, const std::vector<size_t>& cuts) {
  FrameScan scan;
  Scanned scanned;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    feed(scan, std::span(stream).subspan(begin, cut - begin), scanned);
    begin = cut;
  }
  feed(scan, std::span(stream).subspan(begin), scanned);
  return scanned;
}

Bytes frame(uint8_t first, size_t body) {
  Bytes bytes = {first};
  size_t left = body;
  do {
    bytes.push_back(static_cast<uint8_t>((left & 0x7F) | (left > 0x7F ? 0x80 : 0)));
    left >>= 7;
  } while (left);
  for (size_t i = 0; i < body; ++i) bytes.push_back(static_cast<uint8_t>(i * 31 + body));
  return bytes;
}

// CONNACK, PUBACK of 3.1.1 and of 5 with properties, empty PINGRESP, bodies around the length
// field's steps, DISCONNECT.
std::vector<Bytes> recorded() {
  std::vector<Bytes> frames;
  for (const auto& [first, body] : std::vector<std::pair<uint8_t, size_t>>{{0x20, 2},
                                                                           {0x40, 2},
                                                                           {0x40, 9},
                                                                           {0xD0, 0},
                                                                           {0x32, 127},
                                                                           {0x3A, 128},
                                                                           {0x30, 300},
                                                                           {0xC0, 0},
                                                                           {0x32, 16384},
                                                                           {0x40, 2},
                                                                           {0xE0, 0}}) {
    frames.push_back(frame(first, body));
  }
  return frames;
}

Bytes joined(const std::vector<Bytes>& frames) {
  Bytes stream;
  for (const auto& one : frames) stream.insert(stream.end(), one.begin(), one.end());
  return stream;
}

TEST(MqttFrameScan, T8_EverySplitGivesTheSameFrames) {
  const auto frames = recorded();
  const Bytes stream = joined(frames);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    const Scanned scanned = scan_in(stream, {cut});
    ASSERT_EQ(scanned.frames, frames) << "cut at " << cut;
    ASSERT_TRUE(scanned.unfinished.empty());
    ASSERT_FALSE(scanned.malformed);
  }
}

TEST(MqttFrameScan, T8_SingleBytesGiveTheSameFrames) {
  const auto frames = recorded();
  const Bytes stream = joined(frames);
  std::vector<size_t> cuts(stream.size());
  for (size_t i = 0; i < cuts.size(); ++i) cuts[i] = i;
  EXPECT_EQ(scan_in(stream, cuts).frames, frames);
}

TEST(MqttFrameScan, T8_ALengthOfFiveBytesIsRefusedAtEverySplit) {
  Bytes stream = frame(0x32, 200);
  const size_t good = stream.size();
  for (const uint8_t byte : {0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}) stream.push_back(byte);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    const Scanned scanned = scan_in(stream, {cut});
    ASSERT_TRUE(scanned.malformed) << "cut at " << cut;
    ASSERT_EQ(scanned.frames.size(), 1U);
    ASSERT_EQ(scanned.frames[0].size(), good);
  }
}

TEST(MqttFrameScan, T8_TheReservedTypeIsRefusedForGood) {
  FrameScan scan;
  Scanned scanned;
  feed(scan, Bytes{0x05, 0x00}, scanned);
  EXPECT_TRUE(scanned.malformed);
  scanned.malformed = false;
  feed(scan, frame(0x40, 2), scanned);
  EXPECT_TRUE(scanned.malformed);
  EXPECT_TRUE(scanned.frames.empty());
}

TEST(MqttFrameScan, T8_TheLargestLengthIsTaken) {
  FrameScan scan;
  Scanned scanned;
  feed(scan, Bytes{0x32, 0xFF, 0xFF, 0xFF, 0x7F, 0x00}, scanned);
  EXPECT_FALSE(scanned.malformed);
  EXPECT_EQ(scanned.unfinished.size(), 6U);  // five of the header, one of the body so far
}

}  // namespace
}  // namespace penstock::mqtt
