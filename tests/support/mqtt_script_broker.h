// A small MQTT broker for one client that does what it is told and writes everything down.
//
// Speaks 3.1.1 and 5 on a loopback port. Keeps the session over connections as a real one does: a
// message stays until its PUBACK has come, and what is unacknowledged is sent again with DUP=1,
// same packet id, same order, to the next connection. Never more than `window` unacknowledged
// messages. Its own frame parser, so that a mistake in the product's cannot hide here.
//
// One thread of its own; all functions: any thread. Hooks run on that thread, under no lock.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/wait.h"

namespace penstock::test {

struct ScriptMessage {
  std::string topic = "plant/t";
  std::string payload;
  int qos = 1;
  bool retain = false;
  std::string properties;  // MQTT 5, encoded, without the length
};

struct SeenConnect {
  int level = 0;  // 4: 3.1.1, 5: 5
  bool clean = false;
  uint16_t keepalive_s = 0;
  std::string client_id;
  std::string properties;
  std::string password;
};

struct SeenDelivery {
  size_t connection = 0;  // from 1
  uint64_t number = 0;    // of publish()
  uint16_t id = 0;
  bool dup = false;
};

struct SeenAck {
  size_t connection = 0;
  uint64_t number = 0;  // 0: an id that was not outstanding
  uint16_t id = 0;
};

class ScriptBroker {
 public:
  explicit ScriptBroker(size_t window = 20);
  ScriptBroker(const ScriptBroker&) = delete;
  ScriptBroker& operator=(const ScriptBroker&) = delete;
  ~ScriptBroker();

  uint16_t port() const { return port_; }
  std::string url() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }

  // What CONNECT is answered with: 0 accept, > 0 refuse with that code, -1 hang up, -2 the CONNACK
  // of a broker that does not know MQTT 5, -3 an HTTP error, -4 nothing.
  void answer_connect(std::function<int(const SeenConnect&)> answer);
  // MQTT 5, encoded, without the length: what the CONNACK that accepts carries.
  void greet_with(std::string properties);
  // The byte for SUBACK, as asked for if there is none; -1: a SUBACK without a body.
  void answer_subscribe(std::function<int(const std::string& filter, int qos)> answer);
  void answer_unsubscribe(uint8_t code);                     // MQTT 5; 0 unless told otherwise
  void answer_pings(bool answer);                            // it does unless told otherwise
  void on_puback(std::function<void(const SeenAck&)> hook);  // as soon as it is read

  uint64_t publish(ScriptMessage message);  // its number, from 1; sent when the window allows
  void hang_up();                           // the present connection; returns when it is closed
  void forget_session();
  void send_raw(const std::string& bytes);  // on the present connection

  std::vector<SeenConnect> connects() const;
  std::vector<std::string> subscriptions() const;
  std::vector<std::string> unsubscriptions() const;
  std::vector<SeenDelivery> deliveries() const;
  std::vector<SeenAck> acks() const;
  size_t pings() const;
  size_t disconnects() const;  // DISCONNECT packets
  size_t connections_ended() const;
  size_t max_unacked() const;
  bool connected() const;

  bool wait_acks(size_t count, Millis within = std::chrono::seconds(30)) const;
  bool wait_for(const std::function<bool()>& condition,
                Millis within = std::chrono::seconds(30)) const;

 private:
  struct Outgoing {
    uint64_t number = 0;
    ScriptMessage message;
    uint16_t id = 0;
  };

  void run();
  void accept_one();
  void close_peer();
  bool read_peer();
  bool take_frames();
  bool on_frame(uint8_t first, const std::string& body);
  bool on_connect(const std::string& body);
  bool on_subscribe(const std::string& body);
  void on_unsubscribe(const std::string& body);
  void on_ping();
  void on_ack(const std::string& body);
  bool fill_window();
  void send_publish(const Outgoing& outgoing, bool dup);
  void send(const std::string& bytes);
  bool flush();
  void wake();

  const size_t window_;
  int listener_ = -1;
  int wakeup_ = -1;
  uint16_t port_ = 0;

  // The broker's thread
  int peer_ = -1;
  int level_ = 4;
  bool accepted_ = false;  // CONNECT was answered with 0
  std::string in_;
  std::string out_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::function<int(const SeenConnect&)> answer_connect_;
  std::function<int(const std::string&, int)> answer_subscribe_;
  std::function<void(const SeenAck&)> on_puback_;
  std::deque<Outgoing> queue_;    // not sent yet
  std::deque<Outgoing> unacked_;  // in the order sent
  std::string raw_;
  std::string greeting_;
  uint64_t published_ = 0;
  uint16_t last_id_ = 0;
  bool have_session_ = false;
  bool hang_up_ = false;
  bool stop_ = false;
  bool connected_ = false;
  size_t connections_ = 0;
  size_t ended_ = 0;
  size_t pings_ = 0;
  size_t disconnects_ = 0;
  size_t max_unacked_ = 0;
  std::vector<SeenConnect> connects_;
  std::vector<std::string> subscriptions_;
  std::vector<std::string> unsubscriptions_;
  uint8_t unsubscribe_code_ = 0;
  bool answers_pings_ = true;
  std::vector<SeenDelivery> deliveries_;
  std::vector<SeenAck> acks_;

  std::thread thread_;
};

}  // namespace penstock::test
