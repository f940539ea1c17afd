#include "tests/support/mqtt_script_broker.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/net.h"

namespace penstock::test {
namespace {

constexpr size_t kMaxBacklog = 256 << 10;  // unsent bytes before the window is filled further

std::string number16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
}

unsigned read16(const std::string& bytes, size_t at) {
  return static_cast<unsigned>(static_cast<uint8_t>(bytes.at(at))) << 8 |
         static_cast<uint8_t>(bytes.at(at + 1));
}

std::string varint(size_t value) {
  std::string bytes;
  do {
    const auto low = static_cast<char>(value & 0x7F);
    value >>= 7;
    bytes.push_back(static_cast<char>(value ? low | 0x80 : low));
  } while (value);
  return bytes;
}

size_t read_varint(const std::string& bytes, size_t& at) {
  size_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.at(at++));
    value |= static_cast<size_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

std::string read_string(const std::string& bytes, size_t& at) {
  const size_t size = read16(bytes, at);
  at += 2 + size;
  return bytes.substr(at - size, size);
}

std::string frame(uint8_t first, const std::string& body) {
  return std::string(1, static_cast<char>(first)) + varint(body.size()) + body;
}

}  // namespace

ScriptBroker::ScriptBroker(size_t window) : window_(window) {
  // What it writes down must not look like memory that the input beside it does not free.
  connects_.reserve(256);
  subscriptions_.reserve(256);
  deliveries_.reserve(16384);
  acks_.reserve(16384);
  const auto listener = listen_loopback();
  listener_ = listener.fd;
  port_ = listener.port;
  wakeup_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  thread_ = std::thread([this] { run(); });
}

ScriptBroker::~ScriptBroker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake();
  thread_.join();
  ::close(listener_);
  ::close(wakeup_);
}

void ScriptBroker::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wakeup_, &one, sizeof one);
}

void ScriptBroker::run() {
  while (true) {
    pollfd polled[3] = {{listener_, POLLIN, 0}, {wakeup_, POLLIN, 0}, {peer_, POLLIN, 0}};
    if (!out_.empty()) polled[2].events |= POLLOUT;
    ::poll(polled, peer_ < 0 ? 2 : 3, -1);
    uint64_t ignored = 0;
    [[maybe_unused]] const auto got = ::read(wakeup_, &ignored, sizeof ignored);
    bool hang_up = false;
    {
      const std::lock_guard lock(mutex_);
      if (stop_) break;
      hang_up = std::exchange(hang_up_, false);
      out_ += std::exchange(raw_, "");
    }
    if (hang_up) close_peer();
    const bool readable = polled[2].revents != 0 && (polled[2].revents & ~POLLOUT) != 0;
    if (peer_ >= 0 && readable && !read_peer()) close_peer();
    bool more = true;
    while (peer_ >= 0 && more) {
      more = fill_window();
      if (!flush()) close_peer();
      more = more && out_.empty();
    }
    if (polled[0].revents != 0) accept_one();
  }
  close_peer();
}

void ScriptBroker::accept_one() {
  const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted < 0) return;
  close_peer();
  peer_ = accepted;
  accepted_ = false;
  const int one = 1;
  ::setsockopt(peer_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const std::lock_guard lock(mutex_);
  ++connections_;
}

void ScriptBroker::close_peer() {
  if (peer_ < 0) return;
  ::close(peer_);
  peer_ = -1;
  accepted_ = false;
  in_.clear();
  out_.clear();
  {
    const std::lock_guard lock(mutex_);
    connected_ = false;
    ++ended_;
  }
  changed_.notify_all();
}

bool ScriptBroker::read_peer() {
  char buffer[16384];
  while (true) {
    const auto got = ::read(peer_, buffer, sizeof buffer);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    in_.append(buffer, static_cast<size_t>(got));
    if (!take_frames()) return false;
  }
}

bool ScriptBroker::take_frames() {
  size_t used = 0;
  while (in_.size() - used >= 2) {
    size_t at = used + 1;
    while (at < in_.size() && (static_cast<uint8_t>(in_[at]) & 0x80)) {
      ++at;
    }
    if (at >= in_.size()) break;
    size_t cursor = used + 1;
    const size_t size = read_varint(in_, cursor);
    if (in_.size() - cursor < size) break;
    if (!on_frame(static_cast<uint8_t>(in_[used]), in_.substr(cursor, size))) return false;
    used = cursor + size;
  }
  in_.erase(0, used);
  return true;
}

bool ScriptBroker::on_frame(uint8_t first, const std::string& body) {
  switch (first >> 4) {
    case 1:
      return on_connect(body);
    case 4:
      on_ack(body);
      return true;
    case 8:
      return on_subscribe(body);
    case 10:
      on_unsubscribe(body);
      break;
    case 12:
      on_ping();
      break;
    case 14: {
      const std::lock_guard lock(mutex_);
      ++disconnects_;
      return false;
    }
    default:
      return false;
  }
  changed_.notify_all();
  return true;
}

bool ScriptBroker::on_connect(const std::string& body) {
  SeenConnect connect;
  size_t at = 0;
  read_string(body, at);
  connect.level = static_cast<uint8_t>(body.at(at++));
  const auto flags = static_cast<uint8_t>(body.at(at++));
  connect.clean = (flags & 2) != 0;
  connect.keepalive_s = static_cast<uint16_t>(read16(body, at));
  at += 2;
  if (connect.level == 5) {
    const size_t size = read_varint(body, at);
    connect.properties = body.substr(at, size);
    at += size;
  }
  connect.client_id = read_string(body, at);
  if ((flags & 0x80) != 0) read_string(body, at);  // the user name
  if ((flags & 0x40) != 0) connect.password = read_string(body, at);
  level_ = connect.level;
  std::function<int(const SeenConnect&)> answer;
  {
    const std::lock_guard lock(mutex_);
    connects_.push_back(connect);
    answer = answer_connect_;
  }
  changed_.notify_all();
  const int code = answer ? answer(connect) : 0;
  if (code == -1) return false;
  if (code == -4) return true;
  const std::string no_properties = level_ == 5 ? std::string(1, '\0') : "";
  if (code == -2 || code == -3) {
    send(code == -2 ? frame(0x20, std::string("\0\1", 2)) : "HTTP/1.1 400 Bad Request\r\n\r\n");
    return flush() && false;
  }
  if (code > 0) {
    send(frame(0x20, std::string(1, '\0') + static_cast<char>(code) + no_properties));
    return flush() && false;
  }
  const std::lock_guard lock(mutex_);
  if (connect.clean) {
    have_session_ = false;
    unacked_.clear();
  }
  const std::string properties = level_ == 5 ? varint(greeting_.size()) + greeting_ : "";
  send(frame(0x20, std::string(1, have_session_ ? '\1' : '\0') + '\0' + properties));
  have_session_ = true;
  connected_ = accepted_ = true;
  for (const auto& outgoing : unacked_) send_publish(outgoing, true);
  return true;
}

bool ScriptBroker::on_subscribe(const std::string& body) {
  size_t at = 2;
  if (level_ == 5) {
    const size_t size = read_varint(body, at);
    at += size;
  }
  std::string codes;
  bool broken = false;
  while (at < body.size()) {
    const std::string filter = read_string(body, at);
    const int qos = body.at(at++) & 3;
    std::function<int(const std::string&, int)> answer;
    {
      const std::lock_guard lock(mutex_);
      subscriptions_.push_back(filter);
      answer = answer_subscribe_;
    }
    const int code = answer ? answer(filter, qos) : qos;
    broken = broken || code < 0;
    codes.push_back(static_cast<char>(code));
  }
  send(broken ? frame(0x90, "")
              : frame(0x90, body.substr(0, 2) + (level_ == 5 ? std::string(1, '\0') : "") + codes));
  changed_.notify_all();
  return true;
}

void ScriptBroker::on_unsubscribe(const std::string& body) {
  size_t at = 2;
  if (level_ == 5) {
    const size_t size = read_varint(body, at);
    at += size;
  }
  std::string answer = body.substr(0, 2) + (level_ == 5 ? std::string(1, '\0') : "");
  const std::lock_guard lock(mutex_);
  while (at < body.size()) {
    unsubscriptions_.push_back(read_string(body, at));
    if (level_ == 5) answer.push_back(static_cast<char>(unsubscribe_code_));
  }
  send(frame(0xB0, answer));
}

void ScriptBroker::on_ping() {
  const std::lock_guard lock(mutex_);
  ++pings_;
  if (answers_pings_) send(frame(0xD0, ""));
}

void ScriptBroker::on_ack(const std::string& body) {
  SeenAck ack;
  ack.id = static_cast<uint16_t>(read16(body, 0));
  std::function<void(const SeenAck&)> hook;
  {
    const std::lock_guard lock(mutex_);
    ack.connection = connections_;
    const auto found = std::find_if(unacked_.begin(), unacked_.end(),
                                    [&](const Outgoing& sent) { return sent.id == ack.id; });
    if (found != unacked_.end()) {
      ack.number = found->number;
      unacked_.erase(found);
    }
    hook = on_puback_;
  }
  if (hook) hook(ack);
  {
    const std::lock_guard lock(mutex_);
    acks_.push_back(ack);
  }
  changed_.notify_all();
}

// True: there is more to send once what is written now has gone.
bool ScriptBroker::fill_window() {
  if (!accepted_) return false;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    while (!queue_.empty() && out_.size() < kMaxBacklog &&
           (queue_.front().message.qos == 0 || unacked_.size() < window_)) {
      Outgoing next = std::move(queue_.front());
      queue_.pop_front();
      if (next.message.qos > 0) {
        last_id_ = static_cast<uint16_t>(last_id_ == 65535 ? 1 : last_id_ + 1);
        next.id = last_id_;
      }
      send_publish(next, false);
      if (next.message.qos > 0) unacked_.push_back(std::move(next));
    }
    max_unacked_ = std::max(max_unacked_, unacked_.size());
    more = out_.size() >= kMaxBacklog;
  }
  changed_.notify_all();
  return more;
}

// With mutex_ held.
void ScriptBroker::send_publish(const Outgoing& outgoing, bool dup) {
  const ScriptMessage& message = outgoing.message;
  const auto first =
      static_cast<uint8_t>(0x30 | (dup ? 8 : 0) | message.qos << 1 | (message.retain ? 1 : 0));
  std::string body = number16(static_cast<unsigned>(message.topic.size())) + message.topic;
  if (message.qos > 0) body += number16(outgoing.id);
  if (level_ == 5) body += varint(message.properties.size()) + message.properties;
  send(frame(first, body + message.payload));
  deliveries_.push_back({connections_, outgoing.number, outgoing.id, dup});
}

void ScriptBroker::send(const std::string& bytes) { out_ += bytes; }

bool ScriptBroker::flush() {
  while (!out_.empty()) {
    const auto sent = ::send(peer_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    out_.erase(0, static_cast<size_t>(sent));
  }
  return true;
}

void ScriptBroker::answer_connect(std::function<int(const SeenConnect&)> answer) {
  const std::lock_guard lock(mutex_);
  answer_connect_ = std::move(answer);
}

void ScriptBroker::greet_with(std::string properties) {
  const std::lock_guard lock(mutex_);
  greeting_ = std::move(properties);
}

void ScriptBroker::answer_subscribe(std::function<int(const std::string&, int)> answer) {
  const std::lock_guard lock(mutex_);
  answer_subscribe_ = std::move(answer);
}

void ScriptBroker::answer_unsubscribe(uint8_t code) {
  const std::lock_guard lock(mutex_);
  unsubscribe_code_ = code;
}

void ScriptBroker::answer_pings(bool answer) {
  const std::lock_guard lock(mutex_);
  answers_pings_ = answer;
}

void ScriptBroker::on_puback(std::function<void(const SeenAck&)> hook) {
  const std::lock_guard lock(mutex_);
  on_puback_ = std::move(hook);
}

uint64_t ScriptBroker::publish(ScriptMessage message) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = ++published_;
    queue_.push_back({number, std::move(message), 0});
  }
  wake();
  return number;
}

void ScriptBroker::hang_up() {
  size_t ended = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!connected_) return;
    ended = ended_;
    hang_up_ = true;
  }
  wake();
  wait_for([&] { return connections_ended() > ended; });
}

void ScriptBroker::forget_session() {
  const std::lock_guard lock(mutex_);
  have_session_ = false;
  unacked_.clear();
}

void ScriptBroker::send_raw(const std::string& bytes) {
  {
    const std::lock_guard lock(mutex_);
    raw_ += bytes;
  }
  wake();
}

std::vector<SeenConnect> ScriptBroker::connects() const {
  const std::lock_guard lock(mutex_);
  return connects_;
}

std::vector<std::string> ScriptBroker::subscriptions() const {
  const std::lock_guard lock(mutex_);
  return subscriptions_;
}

std::vector<std::string> ScriptBroker::unsubscriptions() const {
  const std::lock_guard lock(mutex_);
  return unsubscriptions_;
}

std::vector<SeenDelivery> ScriptBroker::deliveries() const {
  const std::lock_guard lock(mutex_);
  return deliveries_;
}

std::vector<SeenAck> ScriptBroker::acks() const {
  const std::lock_guard lock(mutex_);
  return acks_;
}

size_t ScriptBroker::pings() const {
  const std::lock_guard lock(mutex_);
  return pings_;
}

size_t ScriptBroker::disconnects() const {
  const std::lock_guard lock(mutex_);
  return disconnects_;
}

size_t ScriptBroker::connections_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

size_t ScriptBroker::max_unacked() const {
  const std::lock_guard lock(mutex_);
  return max_unacked_;
}

bool ScriptBroker::connected() const {
  const std::lock_guard lock(mutex_);
  return connected_;
}

bool ScriptBroker::wait_acks(size_t count, Millis within) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, within, [&] { return acks_.size() >= count; });
}

bool ScriptBroker::wait_for(const std::function<bool()>& condition, Millis within) const {
  return wait_until(condition, within);
}

}  // namespace penstock::test
