#include "plugins/udp/udp_input.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

#include <poll.h>
#include <pthread.h>

#include "plugins/sdk/emit_batches.hpp"

namespace penstock::udp {
namespace {

constexpr int kBindRetryMs = 2000;
constexpr int kForever = -1;
constexpr std::chrono::seconds kJoinRetry{2};
constexpr std::chrono::milliseconds kLinkLook{200};  // where no wait tells of the links
constexpr std::chrono::microseconds kThick{500};     // between datagrams

// For how long datagrams may gather in the kernel's buffer: two fifths of the time in which 200,000
// small ones a second, which take 768 bytes of it each, would fill it.
int gather_ms(uint64_t receive_buffer_bytes) {
  if (receive_buffer_bytes >= 4 << 20) return 10;
  if (receive_buffer_bytes >= 2 << 20) return 5;
  return receive_buffer_bytes >= 192 << 10 ? 1 : 0;
}

// The milliseconds of a poll (-1: for ever) that shall end at `at`, too.
int sooner(int timeout_ms, std::chrono::steady_clock::time_point at) {
  if (at == std::chrono::steady_clock::time_point::max()) return timeout_ms;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      std::max(at - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero()));
  const auto left_ms = static_cast<int>(std::min<int64_t>(left.count(), INT_MAX));
  return timeout_ms < 0 ? left_ms : std::min(timeout_ms, left_ms);
}

}  // namespace

UdpInput::UdpInput(sdk::Host host, const sdk::Options& options)
    : UdpInput(host, read_configured(options)) {}

UdpInput::UdpInput(sdk::Host host, UdpSettings settings)
    : host_(host),
      settings_(std::move(settings)),
      membership_(settings_.multicast),
      batch_(settings_.max_datagram_bytes),
      builder_(settings_, counters_) {
  if (!membership_.wanted()) return;
  links_.emplace();
  if (links_->fd() >= 0) return;
  blind_ = true;
  const auto every = std::chrono::ceil<std::chrono::seconds>(settings_.blind_rejoin).count();
  host_.log(
      PENSTOCK_LOG_WARNING,
      "the kernel's news of links cannot be had (" + links_->missing() +
          "): after an unplugged adapter or cable the groups are joined again by the clock only, "
          "every " +
          std::to_string(every) + " s; in a service allow AF_NETLINK (RestrictAddressFamilies=)");
}

UdpInput::~UdpInput() { end_thread(); }

void UdpInput::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "udp");
}

void UdpInput::on_durable(uint64_t up_to) {
  if (settings_.ack_bytes == 0) return;
  durable_ = up_to;
  wakeup_.signal();
}

void UdpInput::on_room() {
  room_ = true;
  wakeup_.signal();
}

void UdpInput::quiesce() {
  if (!thread_.joinable() || quiescing_) return;
  quiescing_ = true;
  wakeup_.signal();
  quiesced_.get_future().wait();
}

void UdpInput::stop() {
  end_thread();
  host_.set_state(PENSTOCK_STATE_STOPPED, "closed");
}

void UdpInput::end_thread() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wakeup_.signal();
  thread_.join();
}

std::vector<sdk::Stat> UdpInput::stats() const {
  uint64_t kernel_drops = 0;
  {
    const std::lock_guard lock(socket_mutex_);
    if (socket_) {
      if (const auto drops = socket_->drops()) drops_.observe(*drops);
    }
    kernel_drops = drops_.total();
  }
  return counters_.stats(kernel_drops);
}

void UdpInput::run() {
  while (!stopping_) {
    if (quiescing_ && !ended_) {
      finish_reading();
      quiesced_.set_value();
    }
    step();
  }
  answer();
  counters_.lost_at_stop += builder_.records().size() - delivered_;
  close_socket();
}

void UdpInput::step() {
  if (room_.exchange(false)) stalled_ = false;
  answer();
  if (membership_.wanted() && socket_ && !ended_) tend_groups();
  if (acks_.full() && !pending()) host_.flush_hint();
  if (closed_ || (acks_.full() && !pending()) || (pending() && stalled_) ||
      (ended_ && !pending())) {
    wait(kForever, false);
  } else if (pending()) {
    deliver();
  } else if (!socket_) {
    bind();
  } else {
    receive();
  }
}

void UdpInput::bind() {
  std::string error;
  auto socket = Socket::open(settings_.listen, settings_.receive_buffer_bytes, error);
  if (!socket) {
    if (error != down_)
      host_.set_state(PENSTOCK_STATE_DOWN, error + "; trying again every few seconds");
    down_ = error;
    return wait(kBindRetryMs, false);
  }
  down_.clear();
  {
    const std::lock_guard lock(socket_mutex_);
    socket_ = std::move(socket);
    drops_.new_socket();
  }
  gather_ms_ = gather_ms(socket_->receive_buffer_bytes());
  join_groups();
}

// Before each step, because a steady flow of datagrams leaves no wait that could tell of a link.
void UdpInput::tend_groups() {
  const auto now = std::chrono::steady_clock::now();
  const bool news = !blind_ && now >= next_look_ && membership_.wants_join(links_->take());
  if (now >= next_look_) next_look_ = now + kLinkLook;
  if (news || now >= next_join_) join_groups();
}

void UdpInput::join_groups() {
  if (membership_.wanted()) {
    membership_.join(socket_->fd());
    ++counters_.joins;
    const auto now = std::chrono::steady_clock::now();
    next_join_ = std::chrono::steady_clock::time_point::max();
    if (blind_) next_join_ = now + settings_.blind_rejoin;
    if (!membership_.complete()) next_join_ = now + kJoinRetry;
  }
  report_up();
}

void UdpInput::report_up() {
  auto text = "listening on " + socket_->bound_to();
  if (membership_.wanted()) text += ", " + membership_.text();
  auto trouble =
      receive_buffer_advice(settings_.receive_buffer_bytes, socket_->receive_buffer_bytes());
  if (!membership_.complete()) trouble = membership_.missing() + "; trying again";
  if (trouble.empty()) {
    host_.set_state(PENSTOCK_STATE_UP, text);
  } else {
    host_.set_state(PENSTOCK_STATE_DEGRADED, text + "; " + trouble);
  }
}

// Sends what is safe now. An answer that is lost on the way is the sender's to ask for again.
void UdpInput::answer() {
  const uint64_t safe = durable_;
  while (const auto ack = acks_.pop(safe)) {
    const bool sent = socket_ && socket_->send(ack->to, ack->from, ack->bytes);
    ++(sent ? counters_.acks : counters_.acks_not_sent);
  }
}

// Reads one batch and offers it to the host. How many datagrams; 0: none waited; negative: -errno.
int UdpInput::receive_batch() {
  const int count = batch_.receive(socket_->fd());
  if (count <= 0) return count;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) builder_.add(batch_.datagram(i));
  if (const auto drops = batch_.datagram(static_cast<size_t>(count) - 1).kernel_drops) {
    const std::lock_guard lock(socket_mutex_);
    drops_.observe(*drops);
  }
  deliver();
  return count;
}

void UdpInput::receive() {
  const int count = receive_batch();
  if (count == 0) {
    if (!acks_.empty()) host_.flush_hint();  // they may be waiting for their answers
    return wait(kForever, true);
  }
  if (count > 0) return gather(static_cast<size_t>(count));
  down_ = "cannot read from " + socket_->bound_to() + ": " + std::strerror(-count);
  host_.set_state(PENSTOCK_STATE_DOWN, down_ + "; binding again");
  close_socket();
  wait(kBindRetryMs, false);
}

// Being woken for each datagram costs more than the datagram. Where they come thick the thread
// takes all there are and looks again some milliseconds later; what waits meanwhile is in the
// kernel's buffer, with its time.
void UdpInput::gather(size_t count) {
  const auto now = std::chrono::steady_clock::now();
  const auto gap = now - std::exchange(received_at_, now);
  gathering_ = gap < kThick || (gathering_ && count > 1);
  if (gather_ms_ > 0 && gathering_ && count < batch_.capacity() && !pending())
    wait(gather_ms_, false);
}

void UdpInput::deliver() {
  const size_t before = delivered_;
  room_ = false;  // from here on an on_room counts, also one that comes before emit has returned
  const auto taken = [this](size_t end, uint64_t last_seq) {
    const auto answers = builder_.answers();
    for (; answered_ < answers.size() && answers[answered_].end <= end; ++answered_)
      acks_.push(
          {last_seq, answers[answered_].to, answers[answered_].from, answers[answered_].bytes});
  };
  const auto status = sdk::emit_batches(host_, builder_.records(), delivered_, taken);
  counters_.records += delivered_ - before;
  if (status == PENSTOCK_EMIT_FULL) {
    stalled_ = true;
    ++counters_.stalls_on_full;
  } else if (status == PENSTOCK_EMIT_CLOSED) {
    closed_ = true;
    if (acks_.empty()) close_socket();
  } else {
    builder_.clear();
    delivered_ = answered_ = 0;
  }
}

// What the kernel took before the call is still ours to hand over; a sender that goes on must not
// keep us here, so at most about one full receive buffer is read.
void UdpInput::finish_reading() {
  ended_ = true;
  stalled_ = false;
  if (pending() && !closed_) deliver();
  const uint64_t end_bytes = counters_.bytes + settings_.receive_buffer_bytes;
  while (socket_ && !pending() && counters_.bytes < end_bytes && receive_batch() > 0) {
  }
  if (acks_.empty()) close_socket();  // the last answers need it
}

void UdpInput::close_socket() {
  const std::lock_guard lock(socket_mutex_);
  if (!socket_) return;
  if (const auto drops = socket_->drops()) drops_.observe(*drops);
  counters_.lost_at_stop += socket_->discard_waiting();
  socket_.reset();
}

void UdpInput::wait(int timeout_ms, bool for_datagrams) {
  pollfd events[3] = {{wakeup_.fd(), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
  if (for_datagrams) events[1].fd = socket_->fd();
  if (membership_.wanted() && socket_ && !ended_) {
    events[2].fd = links_->fd();
    timeout_ms = sooner(timeout_ms, next_join_);
  }
  ::poll(events, 3, timeout_ms);
  if (events[0].revents != 0) wakeup_.drain();
  if (events[2].revents != 0) next_look_ = {};
  if (events[1].revents & POLLERR)
    socket_->take_error();  // or the poll would return at once for ever
}

}  // namespace penstock::udp
