// The whole path on one machine: a broker, a local Zerobus server, the agent with conf/demo.yaml,
// and feeders that number what they send. The demo and the end-to-end tests drive it and ask what
// was lost.
//
// Nothing runs until asked for, in any order, so that a test can start the agent with its
// surroundings missing. Owned by one scope and used from the main thread (children die with it, see
// tests/support/process.h); members are destroyed feeders first, then agent, server, broker. Throws
// std::runtime_error when a part does not come up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/feeder_serial.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/local_server.h"
#include "tests/support/mosquitto.h"
#include "tests/support/pty.h"
#include "tests/support/sent_log.h"
#include "tests/support/verdict.h"

namespace penstock::e2e {

using test::Millis;

struct ScenarioOptions {
  std::filesystem::path build_dir;   // with agent/, plugins/ and bin/ inside
  std::filesystem::path source_dir;  // with conf/ inside
  std::filesystem::path dir;         // private; must exist and lie on a real disk
  std::string agent = "penstock";    // name of the binary in agent/
  double pace = 1.0;                 // factor on all rates
};

// A numbered stream of records and the table it belongs to.
struct Stream {
  std::string table;
  std::string source;
  bool held;  // the source keeps a record until the agent has it safe: nothing of it may be lost
  test::SentLog sent;
};

struct Latency {
  std::optional<int64_t> p50_us, p99_us;
  size_t records = 0;
};

class Scenario {
 public:
  explicit Scenario(const ScenarioOptions& options);

  test::Mosquitto& broker() { return broker_; }
  test::LocalServer& server() { return server_; }
  test::AgentProcess& agent() { return agent_; }
  test::MqttFeeder& mqtt() { return *mqtt_; }
  test::SerialFeeder& serial() { return *serial_; }
  uint16_t udp_port() const { return udp_port_; }
  const std::filesystem::path& serial_device() const { return line_.link(); }
  std::filesystem::path spool_dir() const { return dir_ / "spool"; }

  // Starts the agent and waits until it says it is ready. Closes the window opened by kill_agent or
  // stop_agent.
  void start_agent();
  void kill_agent();
  // Orderly. The exit code, or nothing when it hung.
  std::optional<int> stop_agent();
  // SIGKILL the server; the feeders and the agent go on.
  void cut_server();
  void restore_server();

  // Needs broker and agent: waits until the agent has subscribed, because a broker keeps messages
  // only for sessions it knows. Plugs the serial line in unless it already is.
  void start_feeders();
  // Stops all; false when the broker did not acknowledge everything in time.
  bool stop_feeders();

  // Waits until all streams have landed a record at least as new as the newest one sent when
  // called, and ends the time in which latencies do not count. False at the deadline.
  bool settle(Millis within);
  // Waits until nothing is missing; call after stop_feeders. False at the deadline.
  bool drain(Millis within);

  std::vector<test::TableVerdict> verdicts() const;
  const std::vector<std::unique_ptr<Stream>>& streams() const { return streams_; }
  // Numbers of held sources that are not there although a newer one of their stream is. Records of
  // a topic keep their order, so after settle() such a gap means loss; drain() is the proof.
  uint64_t gaps() const;
  // From reception to the server's acknowledgement, over all tables, outside outages and restarts.
  Latency latency() const;
  uint64_t sent_in_all() const;
  uint64_t landed_in_all() const;

 private:
  std::vector<test::Feed> mqtt_feeds(double pace);
  test::Feed feed(size_t stream, std::string topic, double per_second,
                  std::function<std::string(uint64_t)> payload);
  test::AgentSetup agent_setup(const ScenarioOptions& options) const;
  void agent_went_down(int64_t reaching_back_us);
  void disturbed_from(int64_t at_us);

  std::filesystem::path dir_;
  uint16_t udp_port_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::optional<int64_t> down_since_us_;  // the agent is not known to listen
  int64_t reaching_back_us_ = 0;
  std::vector<test::Outage> down_;             // it did not listen
  std::optional<int64_t> disturbed_since_us_;  // an outage, or the catching up after it
  std::vector<test::Window> disturbed_;
  test::Mosquitto broker_;
  test::LocalServer server_;
  test::AgentProcess agent_;
  test::PtyLine line_;
  bool line_plugged_ = false;
  std::unique_ptr<test::MqttFeeder> mqtt_;
  std::unique_ptr<test::UdpFeeder> udp_;
  std::unique_ptr<test::SerialFeeder> serial_;
};

}  // namespace penstock::e2e
