// An MQTT 3.1.1 broker that does one thing: sends one subscriber numbered QoS 1 messages, never
// more than a window of them unacknowledged, at a pace or as fast as they go, and notes when each
// was acknowledged. So little of it that the client is what is measured.
//
// All on the thread that calls run(), which serves one connection at a time and sends what is not
// acknowledged again, with DUP, to the next. Acknowledgements are taken to come in order.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace penstock::bench {

struct BrokerLoad {
  uint64_t messages = 0;
  size_t window = 65535;
  double per_second = 0;                         // 0: as fast as they go
  std::function<std::string(uint64_t n)> topic;  // n from 0
  std::function<std::string(uint64_t n)> payload;
};

struct BrokerRun {
  double seconds = 0;          // from the first PUBLISH to the last PUBACK
  uint64_t connections = 0;    // more than one: messages were sent again
  std::vector<float> hold_ms;  // PUBLISH written to PUBACK read, of the first quarter of a million
};

class LoadBroker {
 public:
  LoadBroker();
  ~LoadBroker();
  LoadBroker(const LoadBroker&) = delete;

  // An MQTT input that takes its messages, in YAML's flow form.
  std::string input_options() const;
  // Returns when every message is acknowledged; throws std::runtime_error after `limit_s`.
  BrokerRun run(const BrokerLoad& load, double limit_s);

 private:
  struct Run;
  void accept_one(Run& run);
  bool read_frames(Run& run);
  bool take_frame(Run& run, uint8_t type, const uint8_t* body, size_t size);
  void fill(Run& run);
  bool flush();
  void hang_up();

  int listener_ = -1;
  int peer_ = -1;
  uint16_t port_ = 0;
  std::string in_;
  std::string out_;
  size_t out_done_ = 0;
};

}  // namespace penstock::bench
