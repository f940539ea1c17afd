// What a feeder logs as sent must be what a listener can receive: numbers neither invented nor
// forgotten.
#include <set>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/feeder_serial.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/mosquitto.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

Feed numbers(double per_second, SentLog& sent, std::string topic = "") {
  return {std::move(topic), per_second, [](uint64_t n) { return std::to_string(n); }, &sent};
}

std::set<uint64_t> keys(const SentLog& log) {
  std::set<uint64_t> result;
  for (const auto& [n, at] : log.snapshot()) result.insert(n);
  return result;
}

// Reads lines from a terminal until `count` have come.
std::set<uint64_t> read_numbers(const std::filesystem::path& device, size_t count) {
  std::set<uint64_t> got;
  const int fd = ::open(device.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  std::string text;
  wait_until(
      [&] {
        char chunk[256];
        const ssize_t size = ::read(fd, chunk, sizeof(chunk));
        if (size > 0) text.append(chunk, static_cast<size_t>(size));
        for (size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
          got.insert(std::stoull(text.substr(0, end)));
        return got.size() >= count;
      },
      Millis(20000), Millis(1));
  ::close(fd);
  return got;
}

TEST(SerialFeeder, LinesComeThroughAndAgainAfterReplug) {
  const TempDir dir;
  SentLog sent;
  PtyLine line(dir.path() / "scale");
  SerialFeeder feeder(line, "\n", numbers(500, sent));
  feeder.plug();
  feeder.start();
  const auto first = read_numbers(line.link(), 20);
  EXPECT_GE(first.size(), 20u);
  feeder.unplug();
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(line.link())));
  feeder.plug();
  const auto second = read_numbers(line.link(), 20);
  feeder.stop();
  EXPECT_GE(second.size(), 20u);
  const auto logged = keys(sent);
  for (const uint64_t n : first) EXPECT_TRUE(logged.contains(n)) << n;
  for (const uint64_t n : second) EXPECT_TRUE(logged.contains(n)) << n;
}

TEST(UdpFeeder, EveryDatagramCountedIsADatagramSent) {
  SentLog sent;
  const uint16_t port = free_udp_port();
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  UdpFeeder feeder(port, numbers(500, sent));
  feeder.start();
  std::set<uint64_t> got;
  char chunk[64];
  const auto drain = [&] {
    for (ssize_t size = 0; (size = ::recv(fd, chunk, sizeof(chunk), 0)) > 0;)
      got.insert(std::stoull(std::string(chunk, static_cast<size_t>(size))));
  };
  EXPECT_TRUE(wait_until(
      [&] {
        drain();
        return got.size() >= 50;
      },
      Millis(20000)));
  feeder.stop();
  drain();
  ::close(fd);
  EXPECT_EQ(got, keys(sent));
}

TEST(MqttFeeder, CountsOnlyWhatTheBrokerAcknowledged) {
  const TempDir dir;
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  SentLog sent;
  MqttFeeder feeder(broker.port(), "feeder", {numbers(200, sent, "t/1")});
  feeder.start();
  EXPECT_TRUE(wait_until([&] { return sent.size() >= 40; }, Millis(20000)));
  EXPECT_TRUE(feeder.stop());
  const size_t before = sent.size();
  broker.kill_now();
  EXPECT_FALSE(feeder.publish_and_wait("t/1", "0", Millis(300)));
  EXPECT_EQ(sent.size(), before);
}

TEST(MqttFeeder, GoesOnAfterABrokerRestart) {
  const TempDir dir;
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  SentLog sent;
  MqttFeeder feeder(broker.port(), "feeder", {numbers(100, sent, "t/1")});
  feeder.start();
  ASSERT_TRUE(wait_until([&] { return sent.size() >= 10; }, Millis(20000)));
  broker.stop();
  const size_t before = sent.size();
  broker.start();
  EXPECT_TRUE(wait_until([&] { return sent.size() >= before + 10; }, Millis(30000)));
}

TEST(MqttFeeder, WithoutABrokerItSaysSo) {
  SentLog sent;
  MqttFeeder feeder(free_tcp_port(), "feeder", {numbers(10, sent, "t")});
  EXPECT_THROW(feeder.start(), std::runtime_error);
}

}  // namespace
}  // namespace penstock::test
