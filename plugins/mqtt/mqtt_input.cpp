#include "plugins/mqtt/mqtt_input.h"

#include <algorithm>
#include <utility>

namespace penstock::mqtt {
namespace {

constexpr std::chrono::milliseconds kSettleLimit{500};

// Of the agent's queue, which other inputs use as well and where small records weigh about double:
// a refused message costs a reconnect, one that is not read yet costs nothing.
uint64_t byte_cap(const sdk::Host& host, const Settings& settings) {
  return std::min(settings.max_unacked_bytes, host.max_emit_bytes() / 2);
}

void say_if_capped(const sdk::Host& host, const Settings& settings) {
  const auto cap = byte_cap(host, settings);
  if (cap == settings.max_unacked_bytes || settings.max_unacked_bytes == kDefaultMaxUnackedBytes)
    return;
  host.log(PENSTOCK_LOG_WARNING, "max_unacked_bytes is " + std::to_string(cap) + " instead of " +
                                     std::to_string(settings.max_unacked_bytes) +
                                     ": half of the agent's queue; a larger memory_limit "
                                     "allows more");
}

GateConfig gate_config(const sdk::Host& host, const Settings& settings) {
  GateConfig config;
  config.server = settings.server;
  config.tls = settings.tls;
  config.receive_maximum = settings.receive_maximum;
  config.max_packet_bytes = settings.max_packet_bytes;
  config.set_aside = host.has_minor_1();
  config.max_unacked_bytes = byte_cap(host, settings);
  return config;
}

sdk::Stat counter(const char* name, const char* help, uint64_t value) {
  return {name, help, PENSTOCK_STAT_COUNTER, value};
}

sdk::Stat loss(const char* name, const char* help, uint64_t value) {
  return {name, help, PENSTOCK_STAT_COUNTER, value, true};
}

sdk::Stat gauge(const char* name, const char* help, uint64_t value) {
  return {name, help, PENSTOCK_STAT_GAUGE, value};
}

void add_tap_stats(const TapCounters& tap, std::vector<sdk::Stat>& stats) {
  stats.insert(
      stats.end(),
      {counter("received_messages", "Messages taken from the broker.", tap.messages),
       counter("received_bytes", "Their payload bytes.", tap.bytes),
       counter("duplicate_messages", "Messages the broker marked as sent before.", tap.duplicates),
       counter("retained_skipped", "Retained messages left out (retained: skip).",
               tap.retained_skipped),
       counter("refused_full", "Messages refused for want of room.", tap.refused_full),
       counter("refused_closed", "Messages refused because the agent was stopping.",
               tap.refused_closed),
       counter("left_to_broker",
               "Messages behind a refused one, left for the broker to send again.",
               tap.left_to_broker),
       counter("too_big", "Messages too big to store; their heads are in quarantine.", tap.too_big),
       counter("oversize", "Messages above max_packet_size; their heads are in quarantine.",
               tap.oversize),
       counter("undecodable", "Messages with a topic that is none; they are in quarantine.",
               tap.undecodable),
       loss("lost_qos0", "Refused messages with QoS 0, which no broker sends again.",
            tap.lost_qos0),
       counter("unexpected_qos2", "Messages with QoS 2, from an older subscription of the session.",
               tap.qos2)});
}

void add_gate_stats(const AckGate& gate, std::vector<sdk::Stat>& stats) {
  const GateCounters& counts = gate.counters();
  stats.insert(
      stats.end(),
      {counter("acks_released", "Acknowledgements sent after the record was durable.",
               counts.acks_released),
       gauge("acks_held", "Acknowledgements waiting for a commit.", counts.acks_held),
       gauge("unacked_bytes", "Bytes handed over and not durable yet.", gate.unacked_bytes()),
       counter("stalls", "Times the broker waited for acknowledgements.", counts.stalls),
       counter("unseen_acks", "Acknowledgements withheld because the message never arrived here.",
               counts.unseen_acks),
       counter("foreign_peers", "Connections of other processes to the gate, refused.",
               counts.foreign_peers)});
}

}  // namespace

MqttInput::MqttInput(sdk::Host host, const sdk::Options& options)
    : MqttInput(host, parse_settings(host, options)) {}

MqttInput::MqttInput(sdk::Host host, Settings settings)
    : host_(host),
      settings_(std::move(settings)),
      tap_(host_, {settings_.skip_retained, settings_.max_packet_bytes}, totals_) {}

MqttInput::~MqttInput() {
  if (driver_) driver_->shutdown();  // no callback of Paho or the gate runs after this
}

void MqttInput::start() {
  say_if_capped(host_, settings_);
  AckGate::Hooks hooks;
  hooks.ended = [this](const SessionLedger& ledger, const SessionEnd& end) {
    driver_->session_ended(ledger, end);
  };
  hooks.stalled = [this] { host_.flush_hint(); };
  gate_ = std::make_unique<AckGate>(gate_config(host_, settings_), totals_, std::move(hooks));
  driver_ = std::make_unique<Driver>(host_, Driver::Parts{settings_, totals_, *gate_, tap_});
  gate_->start();
  driver_->start();
}

void MqttInput::on_durable(uint64_t up_to) {
  if (gate_) gate_->on_durable(up_to);
}

void MqttInput::on_room() {
  tap_.on_room();
  if (driver_) driver_->look();
}

void MqttInput::quiesce() {
  if (!driver_) return;
  driver_->quiesce();
  gate_->pause();
  gate_->wait_idle(false, kSettleLimit);
}

void MqttInput::stop() {
  if (driver_) {
    driver_->stop();
  } else {
    host_.set_state(PENSTOCK_STATE_STOPPED, "stopped");
  }
}

std::vector<sdk::Stat> MqttInput::stats() const {
  std::vector<sdk::Stat> stats;
  add_tap_stats(tap_.counters(), stats);
  if (!driver_) return stats;
  add_gate_stats(*gate_, stats);
  stats.push_back(
      counter("connections", "Sessions begun with the broker.", driver_->connections()));
  stats.push_back(counter("sessions_lost", "Times the broker had forgotten the session.",
                          driver_->sessions_lost()));
  stats.push_back(counter("protocol_errors", "Sessions ended because of what the broker sent.",
                          gate_->counters().protocol_errors + driver_->unreadable()));
  stats.push_back(counter("filters_removed",
                          "Subscriptions of the session that left the configuration, ended.",
                          driver_->filters_removed()));
  stats.push_back(gauge("connected", "1 while connected and subscribed.", driver_->connected()));
  return stats;
}

uint16_t MqttInput::gate_port() const { return gate_->port(); }

}  // namespace penstock::mqtt
