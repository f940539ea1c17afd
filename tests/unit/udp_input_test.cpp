// The UDP input on loopback: records and attributes, refusals, no room, a busy port, and the
// kernel's drops in the ledger to the last datagram.
#include "plugins/udp/udp_input.h"

#include <chrono>
#include <optional>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/fake_plugin_host.h"
#include "tests/support/wait.h"

namespace penstock::udp {
namespace {

using test::stat;
using test::wait_until;
using namespace std::chrono_literals;

constexpr auto kDeadline = 30s;
using Texts = std::vector<std::string>;

// A socket that sends to one endpoint, from a port of its own.
class Sender {
 public:
  explicit Sender(const std::string& to) : to_(*Endpoint::parse(to)) {
    fd_ = ::socket(to_.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd_, address(), to_.size), 0);
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  ~Sender() { ::close(fd_); }
  bool send(std::string_view payload) {
    return ::send(fd_, payload.data(), payload.size(), 0) == static_cast<ssize_t>(payload.size());
  }
  std::string port() const {
    sockaddr_storage mine{};
    socklen_t size = sizeof(mine);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&mine), &size);
    return std::to_string(port_of(mine));
  }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&to_.address); }
  Endpoint to_;
  int fd_;
};

struct UdpInputTest : testing::Test {
  void start(const std::string& listen = "127.0.0.1:0") {
    values.text("listen", listen);
    input.emplace(host.face(), read_settings(values.options()));
    input->start();
  }
  // Address and port from the report, the way a person would find them.
  std::string listening() {
    const std::string words = "listening on ";
    EXPECT_TRUE(host.wait_state(state, words)) << host.last_state_text();
    const auto text = host.last_state_text();
    const auto from = text.find(words) + words.size();
    return text.substr(from, text.find(';', from) - from);
  }
  uint64_t ledger() {
    return stat(*input, "records") + stat(*input, "refused_source") + stat(*input, "oversize") +
           stat(*input, "empty") + stat(*input, "kernel_drops");
  }

  test::FakePluginHost host;
  test::OptionValues values;
  penstock_state state = PENSTOCK_STATE_UP;
  std::optional<UdpInput> input;
};

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

TEST_F(UdpInputTest, RecordCarriesPayloadSourceAndKernelTime) {
  start();
  Sender sender(listening());
  const int64_t before_us = now_us();
  ASSERT_TRUE(sender.send(std::string("a\0b", 3)));
  ASSERT_TRUE(host.wait_records(1));
  const auto record = host.records()[0];
  EXPECT_EQ(record.payload, std::string("a\0b", 3));
  EXPECT_EQ(record.topic, "");
  EXPECT_EQ(record.attributes, (std::map<std::string, std::string>{
                                   {"source_ip", "127.0.0.1"}, {"source_port", sender.port()}}));
  EXPECT_GE(record.received_at_us, before_us);
  EXPECT_LE(record.received_at_us, now_us());
}

// The kernel switches stamping on in the background when the machine's first socket asks for it,
// and until then stamps at the reading: hence the tries.
TEST_F(UdpInputTest, KernelTimeIsOfTheArrivalNotOfTheReading) {
  start();
  Sender sender(listening());
  const auto read_late_but_stamped_early = [&, tries = 0]() mutable {
    ++tries;
    host.answer(PENSTOCK_EMIT_FULL);
    sender.send("refused");
    EXPECT_TRUE(host.wait_refusals(tries));
    sender.send("waits in the kernel");
    const int64_t sent_us = now_us();
    EXPECT_TRUE(wait_until([&] { return now_us() > sent_us + 200'000; }, kDeadline));
    host.answer(PENSTOCK_EMIT_OK);
    input->on_room();
    EXPECT_TRUE(host.wait_records(2 * tries));
    const int64_t received_at_us = host.records().back().received_at_us;
    return received_at_us > 0 && received_at_us <= sent_us;
  };
  EXPECT_TRUE(wait_until(read_late_but_stamped_early, 3s));
}

TEST_F(UdpInputTest, IPv6) {
  start("[::1]:0");
  Sender sender(listening());
  ASSERT_TRUE(sender.send("six"));
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.records()[0].attributes.at("source_ip"), "::1");
}

TEST_F(UdpInputTest, AnyAddressTakesBothFamiliesAndNamesIPv4Plainly) {
  values.text("allow[0]", "127.0.0.0/8").text("allow[1]", "::1");
  start("[::]:0");
  const auto bound = listening();
  const auto port = bound.substr(bound.rfind(':'));
  Sender four("127.0.0.1" + port);
  Sender six("[::1]" + port);
  ASSERT_TRUE(four.send("4"));
  ASSERT_TRUE(host.wait_records(1));
  ASSERT_TRUE(six.send("6"));
  ASSERT_TRUE(host.wait_records(2));
  EXPECT_EQ(host.records()[0].attributes.at("source_ip"), "127.0.0.1");
  EXPECT_EQ(host.records()[1].attributes.at("source_ip"), "::1");
}

TEST_F(UdpInputTest, SourcesOutsideTheListAreCountedAndKeptOut) {
  values.text("allow[0]", "10.0.5.0/24");
  start();
  Sender sender(listening());
  for (int i = 0; i < 3; ++i) sender.send("stranger");
  ASSERT_TRUE(wait_until([&] { return stat(*input, "refused_source") == 3; }, kDeadline));
  EXPECT_TRUE(host.calls().empty());
}

TEST_F(UdpInputTest, SplitLinesShareSourceAndTime) {
  values.text("split", "line");
  start();
  Sender sender(listening());
  sender.send("a\r\nb\n\nc");
  ASSERT_TRUE(host.wait_records(3));
  EXPECT_EQ(host.payloads(), (Texts{"a", "b", "c"}));
  const auto records = host.records();
  EXPECT_EQ(records[2].attributes.at("source_port"), sender.port());
  EXPECT_EQ(records[0].received_at_us, records[2].received_at_us);
  EXPECT_EQ(host.calls().size(), 1u) << "what came together goes together";
}

TEST_F(UdpInputTest, TooLongAndEmptyDatagramsAreCountedNotCut) {
  values.number("max_datagram", 16, PENSTOCK_OPTION_SIZE);
  start();
  Sender sender(listening());
  sender.send(std::string(16, 'x'));
  sender.send(std::string(17, 'y'));
  sender.send("");
  sender.send("after");
  ASSERT_TRUE(host.wait_records(2));
  EXPECT_EQ(host.payloads(), (Texts{std::string(16, 'x'), "after"}));
  ASSERT_TRUE(wait_until([&] { return ledger() == 4; }, kDeadline));
  EXPECT_EQ(stat(*input, "oversize"), 1u);
  EXPECT_EQ(stat(*input, "empty"), 1u);
  EXPECT_EQ(stat(*input, "datagrams"), 4u);
}

TEST_F(UdpInputTest, TheLongestDatagramThereIsPasses) {
  values.number("max_datagram", 65536, PENSTOCK_OPTION_SIZE);
  start();
  Sender sender(listening());
  const std::string longest(65507, 'z');
  ASSERT_TRUE(sender.send(longest));
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads()[0], longest);
}

TEST_F(UdpInputTest, FullKeepsTheBatchAndOnRoomSendsItFirst) {
  start();
  Sender sender(listening());
  host.answer(PENSTOCK_EMIT_FULL);
  sender.send("0");
  ASSERT_TRUE(host.wait_refusals(1));
  for (int i = 1; i < 300; ++i) ASSERT_TRUE(sender.send(std::to_string(i)));
  EXPECT_FALSE(wait_until([&] { return host.calls().size() > 1; }, 300ms))
      << "emit without on_room";
  input->on_room();  // a false alarm: still full
  ASSERT_TRUE(host.wait_refusals(2));
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  ASSERT_TRUE(host.wait_records(300));
  const auto payloads = host.payloads();
  for (int i = 0; i < 300; ++i) ASSERT_EQ(payloads[static_cast<size_t>(i)], std::to_string(i));
  ASSERT_TRUE(wait_until([&] { return ledger() == 300; }, kDeadline));
  EXPECT_EQ(stat(*input, "kernel_drops"), 0u);
}

TEST_F(UdpInputTest, FullInTheMiddleOfABatchRetriesFromThereOnly) {
  test::FakePluginHost small(60);  // two records with their attributes a call
  values.text("split", "line").text("listen", "127.0.0.1:0");
  input.emplace(small.face(), read_settings(values.options()));
  small.answer_next({PENSTOCK_EMIT_OK, PENSTOCK_EMIT_FULL});
  input->start();
  ASSERT_TRUE(small.wait_state(PENSTOCK_STATE_UP));
  const auto text = small.last_state_text();
  Sender sender(text.substr(text.rfind(' ') + 1));
  sender.send("a\nb\nc\nd\ne\nf\n");
  ASSERT_TRUE(small.wait_refusals(1));
  input->on_room();
  ASSERT_TRUE(small.wait_records(6));
  EXPECT_EQ(small.payloads(), (Texts{"a", "b", "c", "d", "e", "f"}));
  input.reset();
}

TEST_F(UdpInputTest, WhatTheKernelDropsWhileThereIsNoRoomIsCountedExactly) {
  values.number("receive_buffer", 16384, PENSTOCK_OPTION_SIZE);
  start();
  Sender sender(listening());
  host.answer(PENSTOCK_EMIT_FULL);
  constexpr uint64_t kSent = 3000;
  const std::string payload(200, 'v');
  for (uint64_t i = 0; i < kSent; ++i) ASSERT_TRUE(sender.send(payload));
  ASSERT_TRUE(host.wait_refusals(1));
  EXPECT_GT(stat(*input, "kernel_drops"), 0u) << "visible at once, without a further datagram";
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  ASSERT_TRUE(wait_until(
      [&] { return stat(*input, "records") + stat(*input, "kernel_drops") >= kSent; }, kDeadline));
  EXPECT_EQ(host.records().size() + stat(*input, "kernel_drops"), kSent);
  EXPECT_GT(host.records().size(), 0u);
  input->quiesce();
  EXPECT_EQ(host.records().size() + stat(*input, "kernel_drops"), kSent)
      << "the count outlives the socket";
}

TEST_F(UdpInputTest, ManyStallsUnderLoadLoseNothing) {
  start();
  Sender sender(listening());
  for (int i = 0; i < 1000; ++i) host.answer_next({PENSTOCK_EMIT_OK, PENSTOCK_EMIT_FULL});
  std::atomic<bool> stop{false};
  std::thread offers([&] {
    while (!stop) {
      input->on_room();
      std::this_thread::yield();
    }
  });
  constexpr size_t kSent = 5000;
  for (size_t i = 0; i < kSent; ++i) sender.send(std::to_string(i));
  EXPECT_TRUE(wait_until(
      [&] { return stat(*input, "records") + stat(*input, "kernel_drops") >= kSent; }, kDeadline));
  stop = true;
  offers.join();
  const auto payloads = host.payloads();
  EXPECT_EQ(payloads.size() + stat(*input, "kernel_drops"), kSent);
  for (size_t i = 1; i < payloads.size(); ++i)
    ASSERT_LT(std::stoul(payloads[i - 1]), std::stoul(payloads[i]));
  EXPECT_GT(stat(*input, "stalls_on_full"), 0u);
}

TEST_F(UdpInputTest, BusyPortIsDownWithTheReasonAndTakenWhenFreed) {
  test::FakePluginHost first_host;
  test::OptionValues first_values;
  first_values.text("listen", "127.0.0.1:0");
  std::optional<UdpInput> first;
  first.emplace(first_host.face(), read_settings(first_values.options()));
  first->start();
  ASSERT_TRUE(first_host.wait_state(PENSTOCK_STATE_UP));
  const auto text = first_host.last_state_text();
  const auto address = text.substr(text.rfind(' ') + 1);
  start(address);
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "another program or input listens there"))
      << host.last_state_text();
  first.reset();
  EXPECT_EQ(listening(), address);
  EXPECT_EQ(host.states().size(), 2u) << "said once, not per attempt";
  Sender sender(address);
  sender.send("mine");
  EXPECT_TRUE(host.wait_records(1));
}

TEST_F(UdpInputTest, SmallerReceiveBufferThanAskedIsDegradedWithAdvice) {
  values.number("receive_buffer", int64_t{3} << 30,
                PENSTOCK_OPTION_SIZE);  // more than any kernel grants
  state = PENSTOCK_STATE_DEGRADED;
  start();
  Sender sender(listening());
  EXPECT_NE(host.last_state_text().find("net.core.rmem_max"), std::string::npos)
      << host.last_state_text();
  sender.send("collects all the same");
  EXPECT_TRUE(host.wait_records(1));
}

TEST_F(UdpInputTest, ClosedEndsReadingForGood) {
  start();
  Sender sender(listening());
  host.answer(PENSTOCK_EMIT_FULL);
  sender.send("one");
  ASSERT_TRUE(host.wait_refusals(1));
  sender.send("two");
  host.answer(PENSTOCK_EMIT_CLOSED);
  input->on_room();
  ASSERT_TRUE(host.wait_refusals(2));
  input->on_room();
  EXPECT_FALSE(wait_until([&] { return host.calls().size() > 2; }, 300ms));
  input->quiesce();
  input->stop();
  EXPECT_EQ(stat(*input, "lost_at_stop"), 2u) << "the refused one and the one the kernel held";
}

TEST_F(UdpInputTest, QuiesceHandsOverWhatTheKernelHoldsAndThenNothingMore) {
  start();
  Sender sender(listening());
  host.answer(PENSTOCK_EMIT_FULL);
  sender.send("0");
  ASSERT_TRUE(host.wait_refusals(1));
  for (int i = 1; i < 200; ++i) sender.send(std::to_string(i));
  host.answer(PENSTOCK_EMIT_OK);
  input->quiesce();
  EXPECT_EQ(host.records().size(), 200u);
  sender.send("late");
  input->stop();
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_STOPPED));
  EXPECT_EQ(stat(*input, "lost_at_stop"), 0u);
  const size_t states = host.states().size();
  input.reset();
  EXPECT_EQ(host.states().size(), states);
  EXPECT_EQ(host.records().size(), 200u);
}

TEST_F(UdpInputTest, WhatHasNoRoomAtTheEndIsCountedAsLost) {
  start();
  Sender sender(listening());
  host.answer(PENSTOCK_EMIT_FULL);
  sender.send("0");
  ASSERT_TRUE(host.wait_refusals(1));
  for (int i = 1; i < 100; ++i) sender.send(std::to_string(i));
  input->quiesce();
  input->stop();
  EXPECT_EQ(stat(*input, "lost_at_stop"), 100u);
}

TEST_F(UdpInputTest, EndsInEveryOrder) {
  values.text("listen", "127.0.0.1:0");
  { UdpInput never_started(host.face(), read_settings(values.options())); }
  {
    UdpInput stopped_without_start(host.face(), read_settings(values.options()));
    stopped_without_start.quiesce();
    stopped_without_start.stop();
  }
  {
    UdpInput destroyed_while_reading(host.face(), read_settings(values.options()));
    destroyed_while_reading.start();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP));
  }
  {
    UdpInput stopped_without_quiesce(host.face(), read_settings(values.options()));
    stopped_without_quiesce.start();
    stopped_without_quiesce.stop();
  }
}

}  // namespace
}  // namespace penstock::udp
