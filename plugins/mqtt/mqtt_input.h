// The MQTT input: receives from a broker, and acknowledges only what the host has made durable.
//
// Parts and threads: the driver (own thread) connects Paho through the gate (own thread) to the
// broker; Paho's thread hands messages to the tap, which emits them; on_durable moves the gate's
// watermark, which lets the PUBACKs go. Constructed by create: throws std::invalid_argument for
// settings that cannot work, does no I/O.
#pragma once

#include <memory>
#include <vector>

#include "plugins/mqtt/ack_gate.h"
#include "plugins/mqtt/driver.h"
#include "plugins/mqtt/message_tap.h"
#include "plugins/mqtt/session_ledger.h"
#include "plugins/mqtt/settings.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::mqtt {

class MqttInput final : public sdk::Input {
 public:
  MqttInput(sdk::Host host, const sdk::Options& options);
  MqttInput(sdk::Host host, Settings settings);
  ~MqttInput() override;

  void start() override;  // throws std::runtime_error when no loopback port can be had
  void on_durable(uint64_t up_to) override;
  void on_room() override;
  // Returns when Paho has answered everything it was sent, or after half a second: then all that
  // was received has been emitted, and the host's final commit covers it.
  void quiesce() override;
  void stop() override;
  std::vector<sdk::Stat> stats() const override;

  uint16_t gate_port() const;  // after start; for tests

 private:
  const sdk::Host host_;
  const Settings settings_;
  EmitTotals totals_;
  MessageTap tap_;
  std::unique_ptr<AckGate> gate_;
  std::unique_ptr<Driver> driver_;
};

}  // namespace penstock::mqtt
