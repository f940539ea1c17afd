// An MQTT input between a scripted broker and a host with a spool that can be held. Owned by one
// test, main thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/mqtt/mqtt_input.h"
#include "tests/support/mqtt_commit_host.h"
#include "tests/support/mqtt_script_broker.h"
#include "tests/support/wait.h"

namespace penstock::test {

// For a broker on 127.0.0.1; everything subscribed with QoS 1; retries after milliseconds.
inline mqtt::Settings mqtt_settings(uint16_t port, std::optional<mqtt::Version> protocol) {
  mqtt::Settings settings;
  settings.server = {false, "127.0.0.1", port};
  settings.protocol = protocol;
  settings.client_id = "gw-plc";
  settings.session_expiry = std::chrono::hours(1);
  settings.filters = {"plant/#"};
  settings.qos = {1};
  settings.receive_maximum = 65535;
  settings.max_packet_bytes = 10 << 20;
  settings.max_unacked_bytes = 16 << 20;
  settings.retry_min = std::chrono::milliseconds(20);
  settings.retry_max = std::chrono::milliseconds(200);
  return settings;
}

// One life of an input on a host of its own.
class MqttLife {
 public:
  explicit MqttLife(mqtt::Settings settings)
      : input_(std::make_unique<mqtt::MqttInput>(host.face(), std::move(settings))) {
    host.attach(*input_);
  }
  ~MqttLife() { end(); }

  void start() { input_->start(); }
  // As the agent stops: quiesce, last commit, last on_durable, stop, destroy.
  void stop() {
    input_->quiesce();
    host.commit_now();
    input_->stop();
    host.wait_state(PENSTOCK_STATE_STOPPED);
    end();
  }
  void end() {
    host.detach();
    input_.reset();
  }
  mqtt::MqttInput& input() { return *input_; }
  uint64_t stat(std::string_view name) const {
    for (const auto& entry : input_->stats()) {
      if (name == entry.name) return entry.value;
    }
    return ~uint64_t{0};
  }
  // For a gauge that follows an event the test has seen, a moment later and on another thread.
  bool wait_stat(std::string_view name, uint64_t value) const {
    return wait_until([&] { return stat(name) == value; }, Millis(10000));
  }

  CommitHost host;

 private:
  std::unique_ptr<mqtt::MqttInput> input_;
};

inline CommitHost::Commit instant_commit() {
  return [](const std::vector<StoredRecord>&) { return true; };
}

// "0", "1", ... with QoS 1.
inline void publish_numbers(ScriptBroker& broker, size_t count) {
  for (size_t i = 0; i < count; ++i)
    broker.publish({"plant/t", std::to_string(i + 1), 1, false, ""});
}

inline std::string version_label(mqtt::Version version) {
  return version == mqtt::Version::kV5 ? "v5" : "v311";
}

}  // namespace penstock::test
