// Modbus RTU as it is overheard: requests and replies with and without a pause between them, noise,
// wrong CRCs and functions whose length only silence tells.
#include <iostream>
#include <random>

#include <gtest/gtest.h>

#include "plugins/serial/framing.h"
#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

using namespace std::string_literals;

std::string with_crc(std::string bytes) {
  const uint16_t crc = modbus_crc(bytes);
  bytes.push_back(static_cast<char>(crc & 0xFF));
  bytes.push_back(static_cast<char>(crc >> 8));
  return bytes;
}

const std::string kRequest = with_crc("\x01\x03\x00\x10\x00\x02"s);
const std::string kReply = with_crc("\x01\x03\x04\x00\x11\x22\x33"s);
const std::string kRefusal = with_crc("\x01\x83\x02"s);
const std::string kWriteMany = with_crc("\x11\x10\x00\x01\x00\x02\x04\x00\x0A\x01\x02"s);
const std::string kWritten = with_crc("\x11\x10\x00\x01\x00\x02"s);
const std::string kOwnFunction = with_crc("\x05\x41\x01\x02\x03"s);

// Feeds in pieces, each followed by silence if `pauses`.
struct Line {
  std::unique_ptr<Framing> framing = make_modbus_framing(256, 20'000);
  std::vector<Frame> frames;
  Instant now{1'000'000, 5};

  Line& feed(std::string_view bytes, size_t piece = 256) {
    for (size_t at = 0; at < bytes.size(); at += piece)
      framing->feed(bytes.substr(at, piece), now, frames);
    return *this;
  }
  Line& pause() {
    now.mono_us += 20'000;
    framing->on_time(now, frames);
    return *this;
  }
  std::vector<std::string> taken() const {
    std::vector<std::string> all;
    for (const auto& frame : frames) all.push_back(frame.bytes);
    return all;
  }
};
using Frames = std::vector<std::string>;

TEST(SerialModbus, TheCrcIsThatOfTheStandard) {
  // MODBUS over Serial Line V1.02, 6.2.2: address 2, function 7 gives 0x1241, sent low byte first.
  EXPECT_EQ(modbus_crc("\x02\x07"), 0x1241);
}

TEST(SerialModbus, FramesWithoutAPauseBetweenThemAreToldApart) {
  for (size_t piece : {1u, 2u, 3u, 7u, 256u}) {
    Line line;
    line.feed(kRequest + kReply + kRequest + kRefusal + kWriteMany + kWritten, piece);
    EXPECT_EQ(line.taken(), (Frames{kRequest, kReply, kRequest, kRefusal, kWriteMany, kWritten}))
        << "in pieces of " << piece;
    EXPECT_EQ(line.framing->counts().resyncs + line.framing->counts().checksum_errors, 0u);
  }
}

TEST(SerialModbus, AFunctionThatDoesNotSayItsLengthEndsWithSilence) {
  Line line;
  line.feed(kOwnFunction);
  EXPECT_TRUE(line.taken().empty());
  ASSERT_TRUE(line.framing->deadline_us());
  line.pause().feed(kRequest);
  EXPECT_EQ(line.taken(), (Frames{kOwnFunction, kRequest}));
}

TEST(SerialModbus, AWrongCrcIsCountedOnceAndTheNextFrameIsFound) {
  auto broken = kReply;
  broken[4] = static_cast<char>(broken[4] ^ 1);
  Line line;
  line.feed(broken + kRequest).pause().feed(kReply);
  EXPECT_EQ(line.taken(), (Frames{kRequest, kReply}));
  EXPECT_EQ(line.framing->counts().checksum_errors, 1u);
  EXPECT_EQ(line.framing->counts().resyncs, 0u);
}

TEST(SerialModbus, NoiseIsOneResyncAndAFrameCutShortByAPauseToo) {
  Line line;
  line.feed("\xFF\xFE\xFF"s + kRequest);
  EXPECT_EQ(line.taken(), Frames{kRequest});
  EXPECT_EQ(line.framing->counts().resyncs, 1u);
  line.feed(kReply.substr(0, 3)).pause().feed(kReply);
  EXPECT_EQ(line.taken(), (Frames{kRequest, kReply}));
  EXPECT_EQ(line.framing->counts().resyncs, 2u);
}

TEST(SerialModbus, AnUnplugDiscardsTheUnfinishedFrame) {
  Line line;
  line.feed(kReply.substr(0, 5));
  line.framing->cut();
  line.feed(kRequest);
  EXPECT_EQ(line.taken(), Frames{kRequest});
  EXPECT_EQ(line.framing->counts().partial_discarded, 1u);
}

TEST(SerialModbus, EveryFrameOfALineFullOfNoiseIsFound) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  Line line;
  constexpr size_t kRounds = 300;
  for (size_t round = 0; round < kRounds; ++round) {
    std::string noise(random() % 300, '\0');
    for (auto& byte : noise) byte = static_cast<char>(random());
    line.feed(noise, 1 + random() % 16).pause();
    line.feed(kWriteMany, 1 + random() % 16).pause();
  }
  const auto taken = line.taken();
  EXPECT_EQ(std::count(taken.begin(), taken.end(), kWriteMany), kRounds);
  // Noise has a right CRC by chance once in 65,536 times it is looked at.
  EXPECT_LT(taken.size(), kRounds + 60);
}

}  // namespace
}  // namespace penstock::serial
