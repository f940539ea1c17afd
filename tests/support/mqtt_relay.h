// A relay between an MQTT client and its broker that reads along: which messages the client is
// about to acknowledge.
//
// Its own frame parser, so that a mistake in the product's cannot hide here. Takes one connection
// after the other, as a client makes them. Two threads of its own (one a direction); the hook runs
// on one of them, under no lock, and holds the acknowledgements back until it returns. Other
// functions: any thread. Throws std::runtime_error when there is no port.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace penstock::test {

class MqttRelay {
 public:
  // The payloads of the PUBLISHes whose PUBACKs came together; the broker has not seen these yet.
  using Hook = std::function<void(const std::vector<std::string>& payloads)>;

  MqttRelay(uint16_t broker_port, Hook before_acks);
  MqttRelay(const MqttRelay&) = delete;
  MqttRelay& operator=(const MqttRelay&) = delete;
  ~MqttRelay();

  uint16_t port() const { return port_; }
  size_t connections() const { return connections_; }
  size_t subscribed() const { return subscribed_; }  // SUBACKs
  size_t outstanding() {
    const std::lock_guard lock(mutex_);
    return outstanding_.size();
  }
  size_t strays() const { return strays_; }  // PUBACKs of nothing that is outstanding

 private:
  void run();
  void serve(int client);
  void pump_up(int client, int broker);
  void pump_down(int broker, int client);
  void on_up(uint8_t first, std::string_view body, std::vector<std::string>& acked);
  void on_down(uint8_t first, std::string_view body);

  const uint16_t broker_port_;
  const Hook before_acks_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<size_t> connections_{0};
  std::atomic<size_t> subscribed_{0};
  std::atomic<size_t> strays_{0};

  std::mutex mutex_;
  bool stop_ = false;
  int client_ = -1;  // of the present connection
  int broker_ = -1;
  int level_ = 4;                                // of its protocol
  std::map<uint16_t, std::string> outstanding_;  // payloads by packet id

  std::thread thread_;
};

}  // namespace penstock::test
