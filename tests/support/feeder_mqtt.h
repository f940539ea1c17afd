// Publishes numbered QoS 1 messages to a broker at steady rates.
//
// A number counts as sent when the broker has acknowledged it: from then on nobody but broker and
// agent can be to blame for its loss. When the broker goes away the feeder reconnects by itself;
// what could not be published is not sent. One thread constructs, starts and stops; Paho's threads
// call back. Throws std::runtime_error from start().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/feed.h"
#include "tests/support/wait.h"

namespace penstock::test {

class MqttFeeder {
 public:
  MqttFeeder(uint16_t broker_port, const std::string& client_id, std::vector<Feed> feeds);
  ~MqttFeeder();

  // Connects and begins to publish.
  void start();
  // Publishes no more and waits for outstanding acknowledgements; false when some are still missing
  // at the deadline.
  bool stop(Millis within = std::chrono::seconds(10));

  // Publishes one message beside the numbered ones and waits for its acknowledgement.
  bool publish_and_wait(const std::string& topic, const std::string& payload, Millis within);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::test
