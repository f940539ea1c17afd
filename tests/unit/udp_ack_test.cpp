// UDP with answers: a datagram is answered once its record is safe and not before, so a sender that
// repeats what is not answered loses nothing.
#include <optional>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/udp/udp_input.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/wait.h"

namespace penstock::udp {
namespace {

using test::stat;
using test::wait_until;
using namespace std::chrono_literals;

constexpr auto kDeadline = 30s;

class Device {
 public:
  explicit Device(const std::string& to) : to_(*Endpoint::parse(to)) {
    fd_ = ::socket(to_.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to_.address), to_.size), 0);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { ::close(fd_); }
  void send(std::string_view payload) const { ::send(fd_, payload.data(), payload.size(), 0); }
  // What is answered within `limit`; "nothing" otherwise.
  std::string answer(std::chrono::milliseconds limit) const {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) != 1) return "nothing";
    char bytes[2048];
    const auto size = ::recv(fd_, bytes, sizeof bytes, 0);
    return size < 0 ? "error" : std::string(bytes, static_cast<size_t>(size));
  }

 private:
  Endpoint to_;
  int fd_;
};

struct UdpAck : testing::Test {
  std::string start() {
    values.text("listen", listen).number("ack_bytes", 4);
    input.emplace(host.face(), read_settings(values.options()));
    input->start();
    EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_UP, "listening on "));
    const auto text = host.last_state_text();
    return text.substr(text.rfind(' ') + 1);
  }

  std::string listen = "127.0.0.1:0";
  test::FakePluginHost host;
  test::OptionValues values;
  std::optional<UdpInput> input;
};

TEST_F(UdpAck, TheLeadingBytesComeBackAfterTheCommitAndNotBefore) {
  const Device device(start());
  device.send("0001reading");
  ASSERT_TRUE(host.wait_records(1));
  device.send("2");
  ASSERT_TRUE(host.wait_records(2));
  EXPECT_EQ(device.answer(200ms), "nothing") << "an answer before the record is safe loses it";
  input->on_durable(1);
  EXPECT_EQ(device.answer(kDeadline), "0001");
  EXPECT_EQ(device.answer(100ms), "nothing");
  input->on_durable(2);
  EXPECT_EQ(device.answer(kDeadline), "2") << "a shorter datagram comes back whole";
  EXPECT_TRUE(wait_until([&] { return stat(*input, "acks") == 2; }, kDeadline));
}

TEST_F(UdpAck, EachDeviceGetsItsOwn) {
  listen = "[::]:0";
  const auto port = start();
  const Device four("127.0.0.1" + port.substr(port.rfind(':')));
  const Device six("[::1]" + port.substr(port.rfind(':')));
  four.send("four");
  ASSERT_TRUE(host.wait_records(1));
  six.send("six!");
  ASSERT_TRUE(host.wait_records(2));
  input->on_durable(2);
  EXPECT_EQ(four.answer(kDeadline), "four");
  EXPECT_EQ(six.answer(kDeadline), "six!");
}

// A gateway with several addresses: a device takes answers from the one it has sent to, only.
class UdpAckAddress : public UdpAck, public testing::WithParamInterface<const char*> {};

TEST_P(UdpAckAddress, TheAnswerComesFromTheOneThatWasSentTo) {
  listen = GetParam();
  const auto bound = start();
  const Device device("127.0.0.5" + bound.substr(bound.rfind(':')));
  device.send("here");
  ASSERT_TRUE(host.wait_records(1));
  input->on_durable(1);
  EXPECT_EQ(device.answer(kDeadline), "here");
}
INSTANTIATE_TEST_SUITE_P(Any, UdpAckAddress, testing::Values("0.0.0.0:0", "[::]:0"));

TEST_F(UdpAck, WhatIsRefusedIsNotAnswered) {
  const Device device(start());
  host.answer(PENSTOCK_EMIT_FULL);
  device.send("full");
  ASSERT_TRUE(host.wait_refusals(1));
  input->on_durable(100);
  EXPECT_EQ(device.answer(200ms), "nothing");
  host.answer(PENSTOCK_EMIT_OK);
  input->on_room();
  EXPECT_EQ(device.answer(kDeadline), "full") << "the watermark was there before emit returned";
}

TEST_F(UdpAck, ADatagramOfManyRecordsIsAnsweredOnceWithTheLast) {
  values.text("split", "line");
  const Device device(start());
  device.send("aaaa\nbbbb\ncccc");
  ASSERT_TRUE(host.wait_records(3));
  input->on_durable(2);
  EXPECT_EQ(device.answer(200ms), "nothing");
  input->on_durable(3);
  EXPECT_EQ(device.answer(kDeadline), "aaaa");
  EXPECT_EQ(device.answer(100ms), "nothing");
}

TEST_F(UdpAck, WhatBecomesNoRecordIsNotAnswered) {
  values.text("allow[0]", "10.0.0.0/8");
  const Device device(start());
  device.send("stranger");
  ASSERT_TRUE(wait_until([&] { return stat(*input, "refused_source") == 1; }, kDeadline));
  input->on_durable(1);
  EXPECT_EQ(device.answer(200ms), "nothing");
}

TEST_F(UdpAck, TheLastAnswersGoOutBetweenQuiesceAndStop) {
  const Device device(start());
  device.send("last");
  ASSERT_TRUE(host.wait_records(1));
  input->quiesce();
  input->on_durable(1);
  input->stop();
  EXPECT_EQ(device.answer(kDeadline), "last");
}

TEST_F(UdpAck, ItAsksForACommitWhenDevicesWait) {
  const Device device(start());
  device.send("wait");
  EXPECT_TRUE(wait_until([&] { return host.flush_hints() > 0; }, kDeadline));
}

TEST(AckQueue, GivesInOrderWhatIsSafe) {
  AckQueue queue;
  for (uint64_t seq = 1; seq <= 3; ++seq) queue.push({seq * 10, {}, {}, std::to_string(seq)});
  EXPECT_FALSE(queue.pop(9));
  EXPECT_EQ(queue.pop(20)->bytes, "1");
  EXPECT_EQ(queue.pop(20)->bytes, "2");
  EXPECT_FALSE(queue.pop(20));
  EXPECT_FALSE(queue.empty());
  for (size_t i = 1; i < AckQueue::kMost; ++i) queue.push({30, {}, {}, ""});
  EXPECT_TRUE(queue.full()) << "what waits is bounded";
}

}  // namespace
}  // namespace penstock::udp
