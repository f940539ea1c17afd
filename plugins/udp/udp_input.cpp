#include "plugins/udp/udp_input.h"

#include <cstring>

#include <poll.h>
#include <pthread.h>

#include "plugins/sdk/emit_batches.hpp"

namespace penstock::udp {
namespace {

constexpr int kBindRetryMs = 2000;
constexpr int kForever = -1;

}  // namespace

UdpInput::UdpInput(sdk::Host host, const sdk::Options& options)
    : host_(host),
      settings_(read_settings(options)),
      batch_(settings_.max_datagram_bytes),
      builder_(settings_, counters_) {}

UdpInput::~UdpInput() { end_thread(); }

void UdpInput::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "udp");
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
  counters_.lost_at_stop += builder_.records().size() - delivered_;
  close_socket();
}

void UdpInput::step() {
  if (room_.exchange(false)) stalled_ = false;
  if (closed_ || (pending() && stalled_) || (ended_ && !pending())) {
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
  const auto text = "listening on " + socket->bound_to();
  const auto advice =
      receive_buffer_advice(settings_.receive_buffer_bytes, socket->receive_buffer_bytes());
  {
    const std::lock_guard lock(socket_mutex_);
    socket_ = std::move(socket);
    drops_.new_socket();
  }
  if (advice.empty()) {
    host_.set_state(PENSTOCK_STATE_UP, text);
  } else {
    host_.set_state(PENSTOCK_STATE_DEGRADED, text + "; " + advice);
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
  if (count == 0) return wait(kForever, true);
  if (count > 0) return;
  down_ = "cannot read from " + socket_->bound_to() + ": " + std::strerror(-count);
  host_.set_state(PENSTOCK_STATE_DOWN, down_ + "; binding again");
  close_socket();
  wait(kBindRetryMs, false);
}

void UdpInput::deliver() {
  const size_t before = delivered_;
  room_ = false;  // from here on an on_room counts, also one that comes before emit has returned
  const auto status = sdk::emit_batches(host_, builder_.records(), delivered_);
  counters_.records += delivered_ - before;
  if (status == PENSTOCK_EMIT_FULL) {
    stalled_ = true;
    ++counters_.stalls_on_full;
  } else if (status == PENSTOCK_EMIT_CLOSED) {
    closed_ = true;
    close_socket();
  } else {
    builder_.clear();
    delivered_ = 0;
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
  close_socket();
}

void UdpInput::close_socket() {
  const std::lock_guard lock(socket_mutex_);
  if (!socket_) return;
  if (const auto drops = socket_->drops()) drops_.observe(*drops);
  counters_.lost_at_stop += socket_->discard_waiting();
  socket_.reset();
}

void UdpInput::wait(int timeout_ms, bool for_datagrams) {
  pollfd events[2] = {{wakeup_.fd(), POLLIN, 0}, {-1, POLLIN, 0}};
  if (for_datagrams) events[1].fd = socket_->fd();
  ::poll(events, for_datagrams ? 2 : 1, timeout_ms);
  if (events[0].revents != 0) wakeup_.drain();
  if (events[1].revents & POLLERR)
    socket_->take_error();  // or the poll would return at once for ever
}

}  // namespace penstock::udp
