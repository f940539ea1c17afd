// What the gate does with a peer that is not ours, and the life of an input that never gets to its
// broker.
#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/mqtt/peer_check.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/net.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

// The other process of T9: this binary, started with this one test. Says what became of its
// connection.
TEST(MqttChild, DISABLED_KnocksAtAPort) {
  const int fd = connect_loopback(static_cast<uint16_t>(std::atoi(std::getenv("KNOCK_PORT"))));
  ASSERT_GE(fd, 0);
  const std::string connect = std::string("\x10\x0d\0\x04MQTT\x04\0\0\x3c\0\x01x", 15);
  [[maybe_unused]] const auto sent = ::send(fd, connect.data(), connect.size(), MSG_NOSIGNAL);
  char byte = 0;
  const auto got = ::recv(fd, &byte, 1, 0);
  std::printf("KNOCK %s\n", got > 0 ? "ANSWERED" : "REFUSED");
  ::close(fd);
}

TEST(MqttGate, T9_AConnectionFromAnotherProcessIsRefusedAndTheSessionUnharmed) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), Version::kV311));
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  const TempDir dir("knock");
  for (int i = 0; i < 2; ++i) {
    Process knocker({{"/proc/self/exe", "--gtest_filter=MqttChild.DISABLED_KnocksAtAPort",
                      "--gtest_also_run_disabled_tests"},
                     {{"KNOCK_PORT", std::to_string(life.input().gate_port())}},
                     dir.path() / "out"});
    const auto line = knocker.wait_for_line("KNOCK", std::chrono::seconds(60));
    ASSERT_TRUE(line) << knocker.output();
    EXPECT_EQ(*line, "KNOCK REFUSED");
  }
  EXPECT_EQ(life.stat("foreign_peers"), 2U);
  publish_numbers(broker, 5);
  EXPECT_TRUE(broker.wait_acks(5));
  EXPECT_EQ(broker.connects().size(), 1U);
}

TEST(MqttGate, T9_OurOwnSocketsAreRecognised) {
  const auto listener = listen_loopback();
  const int ours = connect_loopback(listener.port);
  const int accepted = ::accept(listener.fd, nullptr, nullptr);
  EXPECT_TRUE(mqtt::peer_is_own_process(accepted));
  ::close(ours);
  EXPECT_FALSE(mqtt::peer_is_own_process(accepted));
  ::close(accepted);
  ::close(listener.fd);
}

TEST(MqttGate, AnInputThatIsNeverStartedCanBeDestroyed) {
  MqttLife life(mqtt_settings(1, Version::kV5));
  life.input().on_durable(0);
  life.input().on_room();
  life.input().quiesce();
  life.input().stop();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_STOPPED));
}

TEST(MqttGate, ABoundThatTheAgentsQueueDoesNotAllowIsSaid) {
  auto settings = mqtt_settings(1, Version::kV5);
  settings.max_unacked_bytes = uint64_t{1} << 40;
  MqttLife life(settings);
  life.start();
  const auto logs = life.host.logs();
  ASSERT_EQ(logs.size(), 1U);
  EXPECT_NE(logs[0].find("instead of 1099511627776: half of the agent's queue"), std::string::npos)
      << logs[0];
}

TEST(MqttGate, AnUnreachableBrokerIsReportedOnce) {
  MqttLife life(mqtt_settings(free_tcp_port(), std::nullopt));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "Connection refused"));
  EXPECT_FALSE(wait_until([&] { return life.host.states().size() > 2; }, Millis(1500)));
  EXPECT_TRUE(life.host.logs().empty());
}

TEST(MqttGate, AnInputThatWaitsForASilentServerStopsInTime) {
  const auto listener = listen_loopback();  // accepts, says nothing
  MqttLife life(mqtt_settings(listener.port, Version::kV5));
  life.start();
  ASSERT_TRUE(
      wait_until([&] { return ::accept(listener.fd, nullptr, nullptr) >= 0; }, Millis(10000)));
  life.input().stop();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_STOPPED, "", Millis(3000)));
  life.end();
  ::close(listener.fd);
}

TEST(MqttGate, ANameThatCannotBeFoundIsReportedAndDoesNotDelayTheEnd) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP()
      << "glibc looks names up in a thread that ThreadSanitizer does not know, and crashes";
#endif
  auto settings = mqtt_settings(1883, Version::kV5);
  settings.server.host = "no-such-host.invalid";
  MqttLife life(settings);
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "cannot connect to mqtt://no-such-host"));
  life.stop();
}

}  // namespace
}  // namespace penstock::test
