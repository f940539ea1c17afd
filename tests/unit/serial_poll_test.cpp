// Request and response: what goes out when, which frame answers it, and that a silent device does
// not hold up the others. The decisions as a table, then a device on a pty.
#include <optional>

#include <gtest/gtest.h>

#include "plugins/serial/framings.h"
#include "plugins/serial/poller.h"
#include "plugins/serial/serial_input.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/pty.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::serial {
namespace {

using namespace std::string_literals;
using test::stat;

constexpr int64_t kMs = 1000;

PollRequest request(std::string name, std::string reply = "") {
  PollRequest made;
  made.name = name;
  made.bytes = name + "?";
  made.reply = std::move(reply);
  made.every_us = 100 * kMs;
  made.timeout_us = 20 * kMs;
  return made;
}

TEST(Poller, OneRequestIsOnTheLineAtATimeAndEachKeepsItsBeat) {
  Poller poller({request("a"), request("b")});
  poller.begin(0);
  EXPECT_EQ(poller.next(0)->name, "a");
  EXPECT_EQ(poller.next(0), nullptr) << "a is under way";
  EXPECT_EQ(poller.answered("x", 5 * kMs)->name, "a");
  EXPECT_EQ(poller.next(5 * kMs)->name, "b");
  EXPECT_EQ(poller.answered("x", 9 * kMs)->name, "b");
  EXPECT_EQ(poller.next(99 * kMs), nullptr);
  EXPECT_EQ(poller.wake_us(), 100 * kMs);
  EXPECT_EQ(poller.next(100 * kMs)->name, "a") << "from when it was sent, not answered";
}

TEST(Poller, AFrameThatIsNotItsReplyCameUnasked) {
  Poller poller({request("a", "A=")});
  poller.begin(0);
  EXPECT_EQ(poller.answered("A=1", 0), nullptr) << "nothing was asked";
  poller.next(0);
  EXPECT_EQ(poller.answered("B=1", 1), nullptr);
  EXPECT_EQ(poller.answered("A=1", 2)->name, "a");
}

TEST(ModbusReply, IsWhatTheProtocolSaysOfTheRequest) {
  const auto read_3 = "\x01\x03\x02\x00\x00\x01"s;  // one register
  const auto coils = "\x01\x01\x00\x00\x00\x09"s;   // nine coils
  const auto write_1 = "\x01\x06\x00\x07\x12\x34"s;
  const auto write_2 = "\x01\x10\x00\x07\x00\x01\x02\x12\x34"s;
  const auto echo_data = "\x01\x08\x00\x0B\x00\x00"s;
  const auto own = "\x01\x41\x05"s;  // a function of the maker's
  const struct {
    std::string request, frame;
    bool answers;
    const char* what;
  } table[] = {
      {read_3, "\x01\x03\x02\x00\x01"s, true, "two bytes, as asked"},
      {read_3, "\x01\x83\x02"s, true, "a refusal"},
      {read_3, "\x02\x03\x02\x00\x01"s, false, "another device"},
      {read_3, "\x01\x04\x02\x00\x01"s, false, "another function"},
      {read_3, "\x01\x84\x02"s, false, "another function's refusal"},
      {read_3, "\x01\x03\x04\x00\x01\x00\x02"s, false, "a late reply of two registers"},
      {read_3, "\x01\x03\x02\x00"s, false, "too short for its count"},
      {read_3, read_3, false, "the request itself, whose count looks right"},
      {read_3, "\x01"s, false, "less than a frame"},
      {coils, "\x01\x01\x02\x01\x01"s, true, "nine coils in two bytes"},
      {coils, "\x01\x01\x01\x01"s, false, "eight coils"},
      {write_1, write_1, true, "its reply is its echo"},
      {write_1, "\x01\x06\x00\x08\x12\x34"s, false, "another register"},
      {write_2, "\x01\x10\x00\x07\x00\x01"s, true, "start and quantity"},
      {write_2, write_2, false, "the request itself"},
      {write_2, "\x01\x10\x00\x07\x00\x02"s, false, "another quantity"},
      {echo_data, "\x01\x08\x00\x0B\x00\x2A"s, true, "the counter that was asked for"},
      {echo_data, "\x01\x08\x00\x0C\x00\x2A"s, false, "another counter"},
      {own, "\x01\x41\x07"s, true, "who knows"},
      {own, own, false, "but not the request"},
  };
  for (const auto& row : table)
    EXPECT_EQ(modbus_answers(row.request, row.frame), row.answers) << row.what;
}

TEST(Poller, AReplyLaterThanItsTimeoutIsNotGivenToTheNextRequest) {
  Poller poller({request("a"), request("b")});
  poller.begin(0);
  EXPECT_EQ(poller.next(0)->name, "a");
  ASSERT_TRUE(poller.expire(20 * kMs));
  EXPECT_EQ(poller.next(20 * kMs), nullptr) << "a's reply may be on its way";
  EXPECT_EQ(poller.wake_us(), 30 * kMs) << "half of a's time";
  EXPECT_EQ(poller.answered("late", 28 * kMs), nullptr);
  EXPECT_EQ(poller.next(30 * kMs), nullptr) << "and there may be more of it";
  EXPECT_EQ(poller.wake_us(), 38 * kMs);
  EXPECT_EQ(poller.next(38 * kMs)->name, "b");
  EXPECT_EQ(poller.answered("b's", 39 * kMs)->name, "b");
  EXPECT_EQ(poller.next(100 * kMs)->name, "a") << "after a reply there is no such wait";
}

TEST(Poller, ALineThatIsNeverSilentIsAskedAllTheSame) {
  Poller poller({request("a"), request("b")});
  poller.begin(0);
  poller.next(0);
  ASSERT_TRUE(poller.expire(20 * kMs));
  int64_t now = 20 * kMs;
  while (!poller.next(now) && now < 1000 * kMs) poller.answered("noise", now += kMs);
  EXPECT_EQ(now, 60 * kMs);
}

TEST(Poller, ASilentDeviceIsAskedLessAndLessAndTheOthersAsBefore) {
  Poller poller({request("silent"), request("good")});
  poller.begin(0);
  int silent = 0;
  int good = 0;
  int64_t last_silent = 0;
  for (int64_t now = 0; now < 600'000 * kMs; now += 5 * kMs) {
    poller.expire(now);
    const auto* sent = poller.next(now);
    if (!sent) continue;
    if (sent->name == "good") {
      ++good;
      poller.answered("x", now);
    } else {
      ++silent;
      last_silent = now;
    }
  }
  EXPECT_GE(good, 5500) << "of 6,000 in ten minutes";
  EXPECT_LE(silent, 30);
  EXPECT_GT(last_silent, 600'000 * kMs - 2 * Poller::kLongestPauseUs) << "but never given up";
}

TEST(Poller, OneThatAnswersAgainIsAskedAsBefore) {
  Poller poller({request("a")});
  poller.begin(0);
  int64_t now = 0;
  for (int i = 0; i < 6; ++i) {
    ASSERT_NE(poller.next(now), nullptr);
    now += 20 * kMs;
    ASSERT_TRUE(poller.expire(now));
    now = *poller.wake_us();
  }
  const int64_t asked = now;
  poller.next(now);
  poller.answered("x", now + kMs);
  EXPECT_EQ(poller.wake_us(), asked + 100 * kMs);
}

struct SerialPoll : testing::Test {
  void start() {
    pty.plug();
    values.text("device", pty.link().string(), PENSTOCK_OPTION_PATH);
    input.emplace(host.face(), values.options());
    input->start();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  }
  void send(std::string_view bytes) { ASSERT_TRUE(pty.write(bytes)); }

  test::FakePluginHost host;
  test::TempDir dir;
  test::PtyLine pty{dir.path() / "port"};
  test::OptionValues values;
  std::optional<SerialInput> input;
};

TEST_F(SerialPoll, ADeviceIsAskedAndItsReplyNamed) {
  values.text("poll[0].send", "READ\r\n").text("poll[0].name", "weight").text("poll[0].reply", "W");
  values.number("poll[0].every", 50).number("poll[0].timeout", 20'000);
  start();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pty.read(6), "READ\r\n");
    if (i == 1) send("unasked\n");
    send("W" + std::to_string(i) + "\n");
    ASSERT_TRUE(host.wait_records(static_cast<size_t>(i < 1 ? 1 : i + 2)));
  }
  const auto records = host.records();
  EXPECT_EQ(host.payloads(), (std::vector<std::string>{"W0", "unasked", "W1", "W2"}));
  EXPECT_EQ(records[0].attributes.at("poll"), "weight");
  EXPECT_TRUE(records[1].attributes.empty());
  EXPECT_EQ(records[2].attributes.at("poll"), "weight");
  EXPECT_EQ(stat(*input, "replies"), 3u);
}

TEST_F(SerialPoll, ASilentDeviceTimesOutAndTheNextIsAsked) {
  values.text("poll[0].send", "A").number("poll[0].every", 60'000).number("poll[0].timeout", 20);
  values.text("poll[1].send", "B")
      .number("poll[1].every", 60'000)
      .number("poll[1].timeout", 20'000);
  start();
  EXPECT_EQ(pty.read(2), "AB");
  EXPECT_EQ(stat(*input, "request_timeouts"), 1u);
}

TEST_F(SerialPoll, ModbusRequestsGetTheirCrc) {
  values.text("framing.type", "modbus_rtu").text("poll[0].send_hex", "01 03 00 00 00 01");
  values.text("poll[0].name", "speed").number("poll[0].every", 60'000);
  values.number("poll[0].timeout", 20'000);
  start();
  EXPECT_EQ(pty.read(8), "\x01\x03\x00\x00\x00\x01\x84\x0A"s);
  std::string reply = "\x01\x03\x02\x12\x34"s;
  const uint16_t crc = modbus_crc(reply);
  reply.push_back(static_cast<char>(crc & 0xFF));
  reply.push_back(static_cast<char>(crc >> 8));
  send(reply);
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.records()[0].payload, reply);
  EXPECT_EQ(host.records()[0].attributes.at("poll"), "speed");
}

TEST_F(SerialPoll, NothingIsAskedWhileTheAgentHasNoRoom) {
  values.text("poll[0].send", "?").number("poll[0].every", 10).number("poll[0].timeout", 20'000);
  host.answer(PENSTOCK_EMIT_FULL);
  start();
  ASSERT_EQ(pty.read(1), "?");
  send("full\n");
  ASSERT_TRUE(host.wait_refusals(1));
  const auto asked = stat(*input, "requests");
  EXPECT_FALSE(
      test::wait_until([&] { return stat(*input, "requests") > asked; }, test::Millis(200)));
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  EXPECT_EQ(pty.read(1), "?");
}

}  // namespace
}  // namespace penstock::serial
