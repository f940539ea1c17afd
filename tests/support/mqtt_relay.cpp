#include "tests/support/mqtt_relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/net.h"

namespace penstock::test {
namespace {

constexpr uint8_t kConnect = 1;
constexpr uint8_t kPublish = 3;
constexpr uint8_t kPuback = 4;
constexpr uint8_t kSuback = 9;

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

uint8_t byte(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes.at(at)); }
uint16_t number(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(byte(bytes, at) << 8 | byte(bytes, at + 1));
}

// A length of up to four bytes; false: it goes on behind the end.
bool take_length(std::string_view& bytes, size_t& length) {
  length = 0;
  for (size_t i = 0; i < 4 && i < bytes.size(); ++i) {
    length |= size_t{byte(bytes, i)} % 128 << 7 * i;
    if (byte(bytes, i) >= 128) continue;
    bytes.remove_prefix(i + 1);
    return true;
  }
  return false;
}

// Hands on the whole frames at the front of `bytes` and takes them away.
template <class Take>
void take_frames(std::string& bytes, Take take) {
  std::string_view rest = bytes;
  while (rest.size() >= 2) {
    std::string_view body = rest.substr(1);
    size_t length = 0;
    if (!take_length(body, length) || body.size() < length) break;
    take(byte(rest, 0), body.substr(0, length));
    rest = body.substr(length);
  }
  bytes.erase(0, bytes.size() - rest.size());
}

void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

MqttRelay::MqttRelay(uint16_t broker_port, Hook before_acks)
    : broker_port_(broker_port), before_acks_(std::move(before_acks)) {
  const auto listening = listen_loopback();
  listener_ = listening.fd;
  port_ = listening.port;
  thread_ = std::thread([this] { run(); });
}

MqttRelay::~MqttRelay() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const int fd : {listener_, client_, broker_}) {
      if (fd >= 0) ::shutdown(fd, SHUT_RDWR);
    }
  }
  thread_.join();
  ::close(listener_);
}

void MqttRelay::run() {
  for (;;) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    {
      const std::lock_guard lock(mutex_);
      if (stop_ || client < 0) {
        if (client >= 0) ::close(client);
        return;
      }
    }
    serve(client);
  }
}

void MqttRelay::serve(int client) {
  const int broker = connect_loopback(broker_port_);
  if (broker >= 0) {
    no_delay(client);
    no_delay(broker);
    {
      const std::lock_guard lock(mutex_);
      if (stop_) ::shutdown(client, SHUT_RDWR);
      client_ = client;
      broker_ = broker;
      outstanding_.clear();
    }
    ++connections_;
    std::thread up([&] { pump_up(client, broker); });
    pump_down(broker, client);
    up.join();
    const std::lock_guard lock(mutex_);
    client_ = broker_ = -1;
    ::close(broker);
  }
  ::close(client);
}

// Each pump ends the other.
void MqttRelay::pump_up(int client, int broker) {
  std::string frames;
  char bytes[16384];
  for (;;) {
    const auto got = ::recv(client, bytes, sizeof bytes, 0);
    if (got <= 0) break;
    const std::string_view piece(bytes, static_cast<size_t>(got));
    frames += piece;
    std::vector<std::string> acked;
    take_frames(frames, [&](uint8_t first, std::string_view body) { on_up(first, body, acked); });
    if (!acked.empty()) before_acks_(acked);
    if (!send_all(broker, piece)) break;
  }
  ::shutdown(broker, SHUT_RDWR);
  ::shutdown(client, SHUT_RDWR);
}

void MqttRelay::pump_down(int broker, int client) {
  std::string frames;
  char bytes[16384];
  for (;;) {
    const auto got = ::recv(broker, bytes, sizeof bytes, 0);
    if (got <= 0) break;
    const std::string_view piece(bytes, static_cast<size_t>(got));
    frames += piece;
    take_frames(frames, [&](uint8_t first, std::string_view body) { on_down(first, body); });
    if (!send_all(client, piece)) break;
  }
  ::shutdown(broker, SHUT_RDWR);
  ::shutdown(client, SHUT_RDWR);
}

void MqttRelay::on_up(uint8_t first, std::string_view body, std::vector<std::string>& acked) {
  const std::lock_guard lock(mutex_);
  if (first >> 4 == kConnect) level_ = byte(body, 6);
  if (first >> 4 != kPuback) return;
  const auto found = outstanding_.find(number(body, 0));
  if (found == outstanding_.end()) {
    ++strays_;
    return;
  }
  acked.push_back(std::move(found->second));
  outstanding_.erase(found);
}

void MqttRelay::on_down(uint8_t first, std::string_view body) {
  if (first >> 4 == kSuback) ++subscribed_;
  if (first >> 4 != kPublish || (first >> 1 & 3) == 0) return;
  body.remove_prefix(2U + number(body, 0));
  const uint16_t id = number(body, 0);
  body.remove_prefix(2);
  const std::lock_guard lock(mutex_);
  size_t properties = 0;
  if (level_ == 5 && take_length(body, properties)) body.remove_prefix(properties);
  outstanding_[id] = std::string(body);
}

}  // namespace penstock::test
