// Which MQTT version to speak next, for `protocol: auto`: 5 first, 3.1.1 when the broker will not
// have it. Pure.
//
// Brokers without MQTT 5 refuse it in three ways: a CONNACK with "unsupported protocol version", an
// old-style CONNACK that a client of version 5 cannot read, or by hanging up. Hanging up may also
// be a broker that is just restarting, so a version that has worked in this run is given up only
// after several such failures.
#pragma once

namespace penstock::mqtt {

enum class Version { kV311 = 4, kV5 = 5 };

class ProtocolChoice {
 public:
  explicit ProtocolChoice(Version only) : current_(only), fixed_(true) {}
  ProtocolChoice() = default;  // auto

  Version current() const { return current_; }
  void worked() {
    proven_ = true;
    hang_ups_ = 0;
  }
  // The broker named the version as the reason.
  void refused() { turn(); }
  // The broker ended the connection without an answer that could be read.
  void hung_up() {
    if (++hang_ups_ >= (proven_ ? kPatience : 1)) turn();
  }

 private:
  static constexpr int kPatience = 5;
  void turn() {
    hang_ups_ = 0;
    proven_ = false;
    if (!fixed_) current_ = current_ == Version::kV5 ? Version::kV311 : Version::kV5;
  }

  Version current_ = Version::kV5;
  bool fixed_ = false;
  bool proven_ = false;
  int hang_ups_ = 0;
};

}  // namespace penstock::mqtt
