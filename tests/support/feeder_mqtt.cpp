#include "tests/support/feeder_mqtt.h"

#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <mqtt/async_client.h>

#include "tests/support/paced_thread.h"
#include "tests/support/wall_clock.h"

namespace penstock::test {

class MqttFeeder::Impl : public mqtt::iaction_listener {
 public:
  Impl(uint16_t port, const std::string& client_id, std::vector<Feed> feeds)
      : client_("tcp://127.0.0.1:" + std::to_string(port), client_id),
        feeds_(std::move(feeds)),
        pace_(rates(feeds_), [this](size_t feed, uint64_t n) { publish(feed, n); }) {}

  ~Impl() override {
    pace_.stop();
    try {
      if (client_.is_connected()) client_.disconnect(1000)->wait_for(std::chrono::seconds(3));
    } catch (const mqtt::exception&) {  // the broker is gone: nothing to say goodbye to
    }
  }

  void start() {
    if (!client_.is_connected()) connect();
    pace_.start();
  }

  bool stop(Millis within) {
    pace_.stop();
    return wait_until([this] { return outstanding() == 0; }, within);
  }

  bool publish_and_wait(const std::string& topic, const std::string& payload, Millis within) {
    try {
      if (!client_.is_connected()) connect();
      return client_.publish(topic, payload.data(), payload.size(), 1, false)->wait_for(within);
    } catch (const std::exception&) {  // no broker: not acknowledged
      return false;
    }
  }

 private:
  struct Pending {
    size_t feed;
    uint64_t n;
  };

  static std::vector<double> rates(const std::vector<Feed>& feeds) {
    std::vector<double> result;
    for (const Feed& feed : feeds) result.push_back(feed.per_second);
    return result;
  }

  void connect() {
    mqtt::connect_options options;
    options.set_clean_session(true);
    options.set_max_inflight(65000);
    options.set_automatic_reconnect(1, 2);
    try {
      if (client_.connect(options)->wait_for(std::chrono::seconds(15))) return;
    } catch (const mqtt::exception& error) {
      throw std::runtime_error("the MQTT feeder cannot connect: " + error.to_string());
    }
    throw std::runtime_error("the MQTT feeder cannot connect: no answer in 15 s");
  }

  void publish(size_t feed, uint64_t n) {
    const uintptr_t key = remember({feed, n});
    const std::string payload = feeds_[feed].payload(n);
    try {
      client_.publish(feeds_[feed].topic, payload.data(), payload.size(), 1, false,
                      reinterpret_cast<void*>(key), *this);
    } catch (const mqtt::exception&) {  // not connected: this number is never sent
      take(key);
    }
  }

  uintptr_t remember(Pending pending) {
    const std::lock_guard lock(mutex_);
    pending_.emplace(++last_key_, pending);
    return last_key_;
  }

  std::optional<Pending> take(uintptr_t key) {
    const std::lock_guard lock(mutex_);
    const auto found = pending_.find(key);
    if (found == pending_.end()) return std::nullopt;
    const Pending pending = found->second;
    pending_.erase(found);
    return pending;
  }

  size_t outstanding() {
    const std::lock_guard lock(mutex_);
    return pending_.size();
  }

  // Paho's thread: the broker's PUBACK has come.
  void on_success(const mqtt::token& token) override {
    const auto pending = take(reinterpret_cast<uintptr_t>(token.get_user_context()));
    if (pending) feeds_[pending->feed].sent->add(pending->n, wall_us());
  }
  void on_failure(const mqtt::token& token) override {
    take(reinterpret_cast<uintptr_t>(token.get_user_context()));
  }

  mqtt::async_client client_;
  std::vector<Feed> feeds_;
  std::mutex mutex_;
  uintptr_t last_key_ = 0;                // guarded by mutex_
  std::map<uintptr_t, Pending> pending_;  // guarded by mutex_; published, not yet acknowledged
  PacedThread pace_;
};

MqttFeeder::MqttFeeder(uint16_t broker_port, const std::string& client_id, std::vector<Feed> feeds)
    : impl_(std::make_unique<Impl>(broker_port, client_id, std::move(feeds))) {}
MqttFeeder::~MqttFeeder() = default;
void MqttFeeder::start() { impl_->start(); }
bool MqttFeeder::stop(Millis within) { return impl_->stop(within); }
bool MqttFeeder::publish_and_wait(const std::string& topic, const std::string& payload,
                                  Millis within) {
  return impl_->publish_and_wait(topic, payload, within);
}

}  // namespace penstock::test
