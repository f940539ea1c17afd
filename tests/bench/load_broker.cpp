#include "tests/bench/load_broker.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/net.h"

namespace penstock::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kOutBytes = 256 << 10;  // built ahead of the socket
constexpr size_t kHoldsKept = 250'000;
enum : uint8_t { kConnect = 1, kPuback = 4, kSubscribe = 8, kPing = 12 };

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

void append_publish(std::string& out, uint64_t n, bool dup, const std::string& topic,
                    const std::string& payload) {
  const auto id = static_cast<uint16_t>(n % 65535 + 1);
  size_t length = 2 + topic.size() + 2 + payload.size();
  out += static_cast<char>(0x32 | (dup ? 0x08 : 0));
  do {
    out += static_cast<char>((length & 0x7F) | (length > 0x7F ? 0x80 : 0));
    length >>= 7;
  } while (length > 0);
  out += static_cast<char>(topic.size() >> 8);
  out += static_cast<char>(topic.size() & 0xFF);
  out += topic;
  out += static_cast<char>(id >> 8);
  out += static_cast<char>(id & 0xFF);
  out += payload;
}

}  // namespace

struct LoadBroker::Run {
  const BrokerLoad& load;
  BrokerRun result;
  uint64_t sent = 0;  // in this connection or before, less what is to be sent again
  uint64_t sent_ever = 0;
  uint64_t acked = 0;
  bool ready = false;  // subscribed
  Clock::time_point begin{};
  std::vector<Clock::time_point> sent_at = std::vector<Clock::time_point>(65536);
};

LoadBroker::LoadBroker() {
  const auto listener = test::listen_loopback();
  listener_ = listener.fd;
  port_ = listener.port;
}

std::string LoadBroker::input_options() const {
  return "plugin: mqtt, server: \"mqtt://127.0.0.1:" + std::to_string(port_) +
         "\", protocol: \"3.1.1\", subscribe: [{filter: \"#\", qos: 1}]";
}

LoadBroker::~LoadBroker() {
  hang_up();
  ::close(listener_);
}

void LoadBroker::hang_up() {
  if (peer_ >= 0) ::close(peer_);
  peer_ = -1;
  in_.clear();
  out_.clear();
  out_done_ = 0;
}

void LoadBroker::accept_one(Run& run) {
  peer_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  const int one = 1;
  ::setsockopt(peer_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  run.ready = false;
  run.sent = run.acked;
}

BrokerRun LoadBroker::run(const BrokerLoad& load, double limit_s) {
  Run run{load, {}};
  const auto start = Clock::now();
  while (run.acked < load.messages) {
    if (seconds_between(start, Clock::now()) > limit_s)
      throw std::runtime_error("after " + std::to_string(limit_s) + " s only " +
                               std::to_string(run.acked) + " messages were acknowledged");
    if (run.ready) fill(run);
    pollfd events[2] = {{listener_, static_cast<short>(peer_ < 0 ? POLLIN : 0), 0},
                        {peer_, POLLIN, 0}};
    if (out_done_ < out_.size()) events[1].events |= POLLOUT;
    ::poll(events, 2, load.per_second > 0 ? 1 : 100);
    if (events[0].revents & POLLIN) accept_one(run);
    if (peer_ < 0) continue;
    if (!flush() || ((events[1].revents & (POLLIN | POLLHUP | POLLERR)) && !read_frames(run)))
      hang_up();
  }
  run.result.seconds = seconds_between(run.begin, Clock::now());
  return std::move(run.result);
}

void LoadBroker::fill(Run& run) {
  const auto now = Clock::now();
  uint64_t due = run.load.messages;
  if (run.load.per_second > 0 && run.sent_ever > 0)
    due = std::min<uint64_t>(
        due, 1 + static_cast<uint64_t>(seconds_between(run.begin, now) * run.load.per_second));
  while (run.sent < due && run.sent - run.acked < run.load.window &&
         out_.size() - out_done_ < kOutBytes) {
    if (run.sent_ever == 0) run.begin = now;
    append_publish(out_, run.sent, run.sent < run.sent_ever, run.load.topic(run.sent),
                   run.load.payload(run.sent));
    run.sent_at[run.sent % 65536] = now;
    ++run.sent;
    run.sent_ever = std::max(run.sent_ever, run.sent);
  }
  if (!flush()) hang_up();
}

bool LoadBroker::flush() {
  while (out_done_ < out_.size()) {
    const ssize_t put =
        ::send(peer_, out_.data() + out_done_, out_.size() - out_done_, MSG_NOSIGNAL);
    if (put <= 0) return put < 0 && (errno == EAGAIN || errno == EINTR);
    out_done_ += static_cast<size_t>(put);
  }
  out_.clear();
  out_done_ = 0;
  return true;
}

bool LoadBroker::read_frames(Run& run) {
  char bytes[65536];
  const ssize_t got = ::read(peer_, bytes, sizeof bytes);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  in_.append(bytes, static_cast<size_t>(got));
  size_t at = 0;
  while (in_.size() - at >= 2) {
    size_t length = 0;
    size_t head = 1;
    uint8_t byte = 0x80;
    for (int shift = 0; (byte & 0x80) && head < in_.size() - at; ++head, shift += 7) {
      byte = static_cast<uint8_t>(in_[at + head]);
      length |= static_cast<size_t>(byte & 0x7F) << shift;
    }
    if ((byte & 0x80) || in_.size() - at < head + length) break;
    const auto* body = reinterpret_cast<const uint8_t*>(in_.data()) + at + head;
    if (!take_frame(run, static_cast<uint8_t>(in_[at]) >> 4, body, length)) return false;
    at += head + length;
  }
  in_.erase(0, at);
  return true;
}

bool LoadBroker::take_frame(Run& run, uint8_t type, const uint8_t* body, size_t size) {
  switch (type) {
    case kConnect:
      ++run.result.connections;
      out_.append("\x20\x02\x01\x00", 4);
      return flush();
    case kSubscribe:
      out_.append("\x90\x03", 2);
      out_.append(reinterpret_cast<const char*>(body), 2);
      out_.append("\x01", 1);
      run.ready = true;
      return flush();
    case kPing:
      out_.append("\xD0\x00", 2);
      return flush();
    case kPuback: {
      if (size < 2 || (body[0] << 8 | body[1]) != static_cast<int>(run.acked % 65535 + 1))
        return false;  // out of order: begin again, the caller sees it by the connections
      if (run.result.hold_ms.size() < kHoldsKept)
        run.result.hold_ms.push_back(static_cast<float>(
            1000 * seconds_between(run.sent_at[run.acked % 65536], Clock::now())));
      ++run.acked;
      return true;
    }
    default:
      return type == 14;  // DISCONNECT: it hangs up by itself
  }
}

}  // namespace penstock::bench
