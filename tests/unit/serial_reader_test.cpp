// The serial input on real pseudo terminals: read, unplug and replug, no room, missing device,
// orderly end.
#include <algorithm>
#include <atomic>
#include <chrono>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/unit/serial_fixture.h"

namespace penstock::serial {
namespace {

using test::stat;
using test::wait_until;
using namespace std::chrono_literals;

using Texts = std::vector<std::string>;

struct SerialReader : SerialFixture {
  // All of it, however little the line takes at once.
  void send(std::string_view bytes) {
    const auto most = bytes.substr(0, bytes.size() - 1);
    for (size_t from = 0; from < most.size(); from += 512) {
      const auto piece = most.substr(from, 512);
      ASSERT_TRUE(wait_until([&] { return line.write(piece); }, kDeadline, 1ms));
    }
    flush(bytes.back());
  }
  bool wait_stat(std::string_view name, uint64_t value) {
    return wait_until([&] { return stat(*input, name) >= value; }, kDeadline);
  }
};

std::string numbered_lines(int from, int to) {
  std::string lines;
  for (int i = from; i < to; ++i) lines += "reading " + std::to_string(i) + "\n";
  return lines;
}

void expect_numbered(const Texts& payloads, int count) {
  ASSERT_EQ(payloads.size(), static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) ASSERT_EQ(payloads[i], "reading " + std::to_string(i));
}

TEST_F(SerialReader, EmitsLinesWithTimeAndWithoutTopic) {
  const auto now_us = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  start_up();
  const int64_t before_us = now_us();
  send("12.5 kg\r\n13.0 kg\r\n");
  ASSERT_TRUE(host.wait_records(2));
  const int64_t after_us = now_us();
  EXPECT_EQ(host.payloads(), (Texts{"12.5 kg", "13.0 kg"}));
  for (const auto& record : host.records()) {
    EXPECT_EQ(record.topic, "");
    EXPECT_GE(record.received_at_us, before_us);
    EXPECT_LE(record.received_at_us, after_us);
  }
  EXPECT_TRUE(wait_stat("frames", 2));
  EXPECT_EQ(stat(*input, "received_bytes"), 18u);
}

TEST_F(SerialReader, BytesPassUnchanged) {
  values.text("framing.type", "fixed").number("framing.length", 256);
  start_up();
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  send(all);
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads()[0], all) << "the tty must not translate, echo or interpret";
}

TEST_F(SerialReader, UnplugDiscardsTheUnfinishedFrameAndReplugReadsOn) {
  start_up();
  send("one\nunfini");
  ASSERT_TRUE(wait_stat("received_bytes", 10));
  line.unplug();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "gone")) << host.last_state_text();
  EXPECT_TRUE(wait_stat("partial_discarded", 1));
  line.plug();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(stat(*input, "reopens"), 1u);
  send("shed\ntwo\n");
  ASSERT_TRUE(host.wait_records(3));
  EXPECT_EQ(host.payloads(), (Texts{"one", "shed", "two"}))
      << "nothing of two lives of the port in one frame";
}

TEST_F(SerialReader, UnplugIsReportedOnceHoweverLongItLasts) {
  start_up();
  line.unplug();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN));
  EXPECT_FALSE(wait_until([&] { return host.states().size() > 2; }, 1500ms))
      << host.last_state_text();
  line.plug();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(host.states().size(), 3u);
}

TEST_F(SerialReader, MissingDeviceIsDownOnceAndFoundWhenItAppears) {
  start();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "No such file"));
  EXPECT_FALSE(wait_until([&] { return host.states().size() > 1; }, 1500ms))
      << "said once, not per attempt";
  line.plug();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(stat(*input, "reopens"), 0u) << "the first opening is none";
  send("here\n");
  ASSERT_TRUE(host.wait_records(1));
}

TEST_F(SerialReader, FullThenRoomLosesNothingAndKeepsTheOrder) {
  start_up();
  host.answer(PENSTOCK_EMIT_FULL);
  send("reading 0\n");
  ASSERT_TRUE(host.wait_refusals(1));
  const size_t calls = host.calls().size();
  const uint64_t bytes = stat(*input, "received_bytes");
  send(numbered_lines(1, 200));
  EXPECT_FALSE(wait_until([&] { return host.calls().size() > calls; }, 300ms))
      << "emit without on_room";
  EXPECT_EQ(stat(*input, "received_bytes"), bytes) << "the port was read while there was no room";
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  ASSERT_TRUE(host.wait_records(200));
  expect_numbered(host.payloads(), 200);
  EXPECT_EQ(stat(*input, "stalls_on_full"), 1u);
  EXPECT_EQ(stat(*input, "lost_at_stop"), 0u);
}

TEST_F(SerialReader, FullInTheMiddleOfABatchRetriesFromThereOnly) {
  input.reset();
  test::FakePluginHost small(40);  // three of these lines a call
  input.emplace(small.face(), values.options());
  line.plug();
  input->start();
  ASSERT_TRUE(small.wait_state(PENSTOCK_STATE_UP));
  small.answer_next({PENSTOCK_EMIT_OK, PENSTOCK_EMIT_FULL});
  send(numbered_lines(0, 100));
  ASSERT_TRUE(small.wait_refusals(1));
  input->on_room();
  ASSERT_TRUE(small.wait_records(100));
  expect_numbered(small.payloads(), 100);
  for (const auto& call : small.calls()) EXPECT_LE(call.bytes, 40u);
  input.reset();
}

TEST_F(SerialReader, ManyStallsUnderLoadLoseNothing) {
  start_up();
  constexpr int kLines = 5000;
  // Every third answer is a refusal; room is offered all the time, as early as can be.
  for (int i = 0; i < 2000; ++i)
    host.answer_next({PENSTOCK_EMIT_OK, PENSTOCK_EMIT_OK, PENSTOCK_EMIT_FULL});
  std::atomic<bool> stop{false};
  std::thread offers([&] {
    while (!stop) {
      input->on_room();
      std::this_thread::yield();
    }
  });
  send(numbered_lines(0, kLines));
  EXPECT_TRUE(host.wait_records(kLines));
  stop = true;
  offers.join();
  expect_numbered(host.payloads(), kLines);
  EXPECT_GT(stat(*input, "stalls_on_full"), 0u);
}

TEST_F(SerialReader, FrameThatCanNeverFitDoesNotStopTheOnesBehindIt) {
  start_up();
  host.answer_next({PENSTOCK_EMIT_TOO_BIG});
  send("giant\n");
  ASSERT_TRUE(host.wait_records(1));
  send("next\n");
  ASSERT_TRUE(host.wait_records(2));
  EXPECT_EQ(host.payloads(), (Texts{"giant", "next"}));
}

TEST_F(SerialReader, ClosedEndsReadingForGood) {
  start_up();
  host.answer(PENSTOCK_EMIT_CLOSED);
  send("one\n");
  ASSERT_TRUE(host.wait_refusals(1));
  input->on_room();
  line.write("two\n");
  EXPECT_FALSE(wait_until([&] { return host.calls().size() > 1; }, 300ms));
  input->quiesce();
  input->stop();
  EXPECT_EQ(stat(*input, "lost_at_stop"), 1u);
}

TEST_F(SerialReader, QuiesceOffersWhatWasRefusedAndThenNothingMore) {
  start_up();
  host.answer(PENSTOCK_EMIT_FULL);
  send("one\ntwo\nthr");
  ASSERT_TRUE(host.wait_refusals(1));
  host.answer(PENSTOCK_EMIT_OK);
  input->quiesce();
  EXPECT_EQ(host.payloads(), (Texts{"one", "two"}));
  line.write("late\n");
  input->on_durable(2);
  EXPECT_FALSE(wait_until([&] { return host.records().size() > 2; }, 300ms))
      << "read after quiesce";
  input->stop();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_STOPPED));
  EXPECT_EQ(stat(*input, "partial_discarded"), 1u);
  EXPECT_EQ(stat(*input, "lost_at_stop"), 0u);
  const size_t states = host.states().size();
  const size_t calls = host.calls().size();
  input.reset();
  EXPECT_EQ(host.states().size(), states);
  EXPECT_EQ(host.calls().size(), calls);
}

TEST_F(SerialReader, EndsInEveryOrder) {
  { SerialInput never_started(host.face(), values.options()); }
  {
    SerialInput stopped_without_start(host.face(), values.options());
    stopped_without_start.quiesce();
    stopped_without_start.stop();
  }
  {
    SerialInput destroyed_while_waiting(host.face(), values.options());
    destroyed_while_waiting.start();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN));
  }
  start_up();
  host.answer(PENSTOCK_EMIT_FULL);
  send("one\n");
  ASSERT_TRUE(host.wait_refusals(1));
  input.reset();  // while stalled, without quiesce or stop
}

TEST_F(SerialReader, TheSamePortTwiceIsRefusedUntilTheFirstLetsGo) {
  start_up();
  test::FakePluginHost other_host;
  SerialInput other(other_host.face(), values.options());
  other.start();
  ASSERT_TRUE(other_host.wait_state(PENSTOCK_STATE_DOWN, "another program or input uses it"))
      << other_host.last_state_text();
  input.reset();
  ASSERT_TRUE(other_host.wait_state(PENSTOCK_STATE_UP));
  send("mine\n");
  ASSERT_TRUE(other_host.wait_records(1));
}

TEST_F(SerialReader, SomethingThatIsNoSerialPortIsSaidSo) {
  std::filesystem::create_symlink("/dev/null", line.link());
  start();
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "must name a serial port"))
      << host.last_state_text();
}

TEST_F(SerialReader, IdleGapFramesEndInSilence) {
  values.text("framing.type", "idle_gap").number("framing.gap", 30);
  start_up();
  send("binary\n\x01");
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads()[0].substr(0, 6), "binary");
  send("next");
  ASSERT_TRUE(wait_until([&] { return host.payloads().back() == "next"; }, kDeadline));
}

TEST_F(SerialReader, ALatencyThatCannotBeHadIsInfoAndNoMore) {
  static std::atomic<int> informed;
  informed = 0;
  penstock_host own = *host.host();
  own.log = [](void*, penstock_log_level level, penstock_str text) {
    const bool ours = sdk::view(text).find("low latency is not") != std::string_view::npos;
    if (ours && level == PENSTOCK_LOG_INFO) ++informed;
  };
  values.number("line.low_latency", 1);
  line.plug();
  input.emplace(sdk::Host(&own), values.options());
  input->start();
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(informed, 1);
  input.reset();
}

TEST_F(SerialReader, OddBaudRatesAndFlowControlReachTheDevice) {
  values.number("line.baud", 19201)
      .text("line.flow", "xonxoff")
      .number("line.stop", 2)
      .number("line.rs485", 1);
  line.plug();
  start();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DEGRADED, "RS-485 mode is not settable here"))
      << "a pty has none";
  EXPECT_NE(host.last_state_text().find("19201 8N2"), std::string::npos);
  send("still reads\n");
  ASSERT_TRUE(host.wait_records(1));
}

TEST_F(SerialReader, WrongOptionsAreRefusedInCreate) {
  const auto refused = [&](test::OptionValues& wrong, const std::string& fragment) {
    try {
      SerialInput refused_input(host.face(), wrong.options());
      ADD_FAILURE() << "accepted: " << fragment;
    } catch (const std::invalid_argument& problem) {
      EXPECT_NE(std::string(problem.what()).find(fragment), std::string::npos) << problem.what();
    }
  };
  test::OptionValues relative, rtu, parity;
  refused(relative.text("device", "ttyUSB0"), "device: 'ttyUSB0' is not an absolute path");
  refused(rtu.text("device", "/dev/x")
              .text("framing.type", "modbus_rtu")
              .text("poll[0].send_hex", "01 0"),
          "poll[0].send_hex: '01 0' is not hexadecimal");
  refused(parity.text("device", "/dev/x").text("line.parity", "mark"), "line.parity: 'mark'");
}

}  // namespace
}  // namespace penstock::serial
