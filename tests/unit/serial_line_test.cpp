// The serial input where lines go wrong in earnest: full speed, noise, a frame without an end, an
// adapter that comes back under its stable path, a host without room.
#include <chrono>
#include <random>

#include "tests/unit/serial_fixture.h"

namespace penstock::serial {
namespace {

using test::stat;
using test::wait_until;
using namespace std::chrono_literals;

struct SerialLine : SerialFixture {
  // As fast as the line takes it, in pieces that have nothing to do with the frames.
  void pour(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, 1 + random() % 3000);
      ASSERT_TRUE(wait_until([&] { return line.write(piece); }, kDeadline, 0ms));
      bytes.remove_prefix(piece.size());
    }
  }

  std::mt19937 random{7};
};

TEST_F(SerialLine, AtFullSpeedNothingIsLostAndTheOrderIsKept) {
  start_up();
  constexpr size_t kLines = 20'000;
  std::string all;
  for (size_t i = 0; i < kLines; ++i)
    all += std::to_string(i) + std::string(random() % 100, 'x') + "\n";
  pour(all);
  flush('\n');
  ASSERT_TRUE(host.wait_records(kLines));
  const auto payloads = host.payloads();
  ASSERT_EQ(payloads.size(), kLines);
  for (size_t i = 0; i < kLines; ++i)
    ASSERT_EQ(payloads[i].substr(0, payloads[i].find('x')), std::to_string(i));
  EXPECT_EQ(stat(*input, "oversize_frames") + stat(*input, "resyncs"), 0u);
}

TEST_F(SerialLine, AnAdapterThatComesBackUnderItsPathIsReadWithinFiveSeconds) {
  start_up();
  for (int i = 1; i <= 2; ++i) {
    line.unplug();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "gone"));
    // Long enough away for the pauses between attempts to have grown as long as they get.
    ASSERT_FALSE(wait_until([] { return false; }, 1800ms));
    line.plug();  // another pty, the same link
    const auto plugged = std::chrono::steady_clock::now();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
    EXPECT_LT(std::chrono::steady_clock::now() - plugged, 5s);
    flush('0');
    flush('\n');
    ASSERT_TRUE(host.wait_records(static_cast<size_t>(i)));
  }
  EXPECT_EQ(stat(*input, "reopens"), 2u);
}

TEST_F(SerialLine, NoiseBetweenSentencesIsCountedAndEverySentenceFound) {
  values.text("framing.type", "nmea0183");
  start_up();
  constexpr size_t kSentences = 500;
  std::string all;
  for (size_t i = 0; i < kSentences; ++i) {
    for (size_t n = random() % 40; n > 0; --n) {
      const auto byte = static_cast<char>(random());
      if (byte != '$' && byte != '!') all += byte;  // noise that opens a sentence eats the next
    }
    all += "$GPGLL,4916.45,N,12311.12,W,225444,A*31\r\n";
  }
  pour(all);
  flush('\n');
  ASSERT_TRUE(host.wait_records(kSentences));
  EXPECT_EQ(host.payloads().size(), kSentences);
  EXPECT_GT(stat(*input, "resyncs"), 0u);
  EXPECT_EQ(stat(*input, "checksum_errors"), 0u);
}

TEST_F(SerialLine, AFrameThatNeverEndsIsCountedOnceAndTheNextIsFound) {
  values.number("framing.max_frame", 1024, PENSTOCK_OPTION_SIZE);
  start_up();
  const std::string endless(2 << 20, 'e');
  pour(endless);
  EXPECT_TRUE(wait_until([&] { return stat(*input, "oversize_frames") == 1; }, kDeadline));
  EXPECT_TRUE(host.payloads().empty()) << "no part of it may pass for a frame";
  pour("\nnext\n");
  flush('\n');
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads(), (std::vector<std::string>{"next"}));
  EXPECT_EQ(stat(*input, "oversize_frames"), 1u);
}

// What RTS/CTS stands on: the input does not read while the host has no room, so the line fills and
// the driver holds the device. A pty shows it by taking no more.
TEST_F(SerialLine, WithoutRoomTheLineFillsAndIsHeldAndGoesOnWithRoom) {
  values.text("line.flow", "rtscts");
  host.answer(PENSTOCK_EMIT_FULL);
  start_up();
  const std::string text(500, 'r');
  size_t sent = 0;
  const auto held = [&] {
    if (!line.write(std::to_string(sent) + text + "\n")) return true;
    ++sent;
    return false;
  };
  // Refused for a second on end.
  ASSERT_TRUE(wait_until([&] { return held() && !wait_until([&] { return !held(); }, 1000ms); },
                         kDeadline, 0ms));
  const auto read = stat(*input, "received_bytes");
  EXPECT_LT(sent, 2000u) << "a megabyte went somewhere";
  EXPECT_FALSE(wait_until([&] { return stat(*input, "received_bytes") > read; }, 500ms));
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  flush('\n');
  ASSERT_TRUE(host.wait_records(sent));
  const auto payloads = host.payloads();
  ASSERT_EQ(payloads.size(), sent);
  for (size_t i = 0; i < sent; ++i) ASSERT_EQ(payloads[i], std::to_string(i) + text);
}

}  // namespace
}  // namespace penstock::serial
