#include "plugins/serial/reader.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <future>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <pthread.h>
#include <unistd.h>

namespace penstock::serial {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

Instant now() {
  return {duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(),
          duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

}  // namespace

Reader::Reader(sdk::Host host, SerialSettings settings)
    : host_(host),
      settings_(std::move(settings)),
      framing_(make_framing(settings_.framing)),
      outbox_(host),
      poller_(settings_.poll) {}

Reader::~Reader() { stop(); }

void Reader::start() {
  boost::asio::post(io_, [this] { open(); });
  thread_ = std::thread([this] { io_.run(); });
  pthread_setname_np(thread_.native_handle(), "serial");
}

void Reader::on_room() {
  boost::asio::post(io_, [this] {
    if (!stalled_) return;
    stalled_ = false;
    deliver();
    read();
    poll();
  });
}

void Reader::quiesce() {
  if (!thread_.joinable()) return;
  std::promise<void> done;
  boost::asio::post(io_, [this, &done] {
    end_reading([this, &done] {
      stalled_ = false;  // room or not, this is the last chance for what was refused
      deliver();
      done.set_value();
    });
  });
  done.get_future().wait();
}

void Reader::stop() {
  if (!thread_.joinable()) return;
  boost::asio::post(io_, [this] {
    end_reading([this] {
      close();
      work_.reset();
    });
  });
  thread_.join();
  counters_.lost_at_stop += outbox_.waiting();
}

void Reader::open() {
  if (ending_) return;
  auto port = open_port(settings_.device, settings_.line);
  if (port.fd < 0) {
    failed(port);
  } else {
    opened(std::move(port));
  }
}

void Reader::opened(OpenedPort port) {
  boost::system::error_code error;
  port_.assign(port.fd, error);
  if (error) {
    release_port(port.fd);
    ::close(port.fd);
    port.error = error.value();
    port.what = "cannot watch " + settings_.device + ": " + error.message();
    return failed(port);
  }
  if (!noted_) {
    for (const auto& note : port.notes)
      host_.log(PENSTOCK_LOG_INFO, settings_.device + ": " + note);
    noted_ = true;
  }
  if (was_open_) ++counters_.reopens;
  was_open_ = true;
  down_error_ = 0;
  pace_.opened();
  line_errors_.opened(port.fd);
  const auto text = "reading " + settings_.device + " at " + describe(settings_.line);
  if (port.trouble.empty()) {
    host_.set_state(PENSTOCK_STATE_UP, text);
  } else {
    host_.set_state(PENSTOCK_STATE_DEGRADED, text + "; " + port.trouble);
  }
  read();
  poller_.begin(now().mono_us);
  poll();
}

void Reader::failed(const OpenedPort& port) {
  // One report per reason, not per attempt; after an unplug the absence is no news.
  if (const int reason = RetryPace::is_absent(port.error) ? ENOENT : port.error;
      reason != down_error_) {
    down_error_ = reason;
    host_.set_state(PENSTOCK_STATE_DOWN, port.what + "; trying again");
  }
  retry_later(port.error);
}

void Reader::retry_later(int error) {
  retry_timer_.expires_after(pace_.next(error));
  retry_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) open();
  });
}

void Reader::lost(const std::string& reason) {
  close();
  down_error_ = ENOENT;
  host_.set_state(PENSTOCK_STATE_DOWN, settings_.device + " is gone (" + reason +
                                           "); waiting for it to be plugged in again");
  retry_later(ENOENT);
}

// A read under way ends with operation_aborted.
void Reader::close() {
  silence_timer_.cancel();
  retry_timer_.cancel();
  poll_timer_.cancel();
  framing_->cut();
  counters_.take(framing_->counts());
  if (!port_.is_open()) return;
  release_port(port_.native_handle());
  boost::system::error_code ignored;
  port_.close(ignored);
}

// Starts to read unless there is a reason not to. Every way back to reading ends here.
void Reader::read() {
  if (reading_ || stalled_ || ending_ || !port_.is_open()) return;
  reading_ = true;
  wait_for_silence();
  port_.async_read_some(
      boost::asio::buffer(buffer_),
      [this](const boost::system::error_code& error, size_t size) { on_read(error, size); });
}

void Reader::on_read(const boost::system::error_code& error, size_t size) {
  reading_ = false;
  if (size > 0) {
    const auto at = now();
    counters_.received_bytes += size;
    const size_t before = outbox_.frames().size();
    framing_->feed({buffer_.data(), size}, at, outbox_.frames());
    match_replies(before);
    counters_.take(framing_->counts());
    if (port_.is_open()) line_errors_.sample(port_.native_handle(), at.mono_us, counters_);
  }
  deliver();
  if (error && error != boost::asio::error::operation_aborted && !ending_) lost(error.message());
  read();
  tell_if_ended();
}

void Reader::wait_for_silence() {
  const auto deadline_us = framing_->deadline_us();
  if (!deadline_us) return;
  silence_timer_.expires_at(std::chrono::steady_clock::time_point(microseconds(*deadline_us)));
  silence_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) on_silence();
  });
}

void Reader::on_silence() {
  // Only while reading: when we are the ones who do not listen, quiet proves nothing. The same for
  // bytes that are there but not read yet; the read that takes them asks for a new deadline.
  if (!reading_ || !port_.is_open() || waiting_bytes(port_.native_handle()) > 0) return;
  const size_t before = outbox_.frames().size();
  framing_->on_time(now(), outbox_.frames());
  match_replies(before);
  counters_.take(framing_->counts());
  deliver();
  if (!stalled_) wait_for_silence();
}

// Frames from `first` on are new.
void Reader::match_replies(size_t first) {
  if (!poller_.wanted()) return;
  auto& frames = outbox_.frames();
  for (size_t i = first; i < frames.size(); ++i) {
    const auto* request = poller_.answered(frames[i].bytes, now().mono_us);
    if (!request) continue;
    ++counters_.replies;
    frames[i].poll = request->name;
  }
  if (first < frames.size()) poll();
}

// Sends what is due and asks to be called when the next is. A write that cannot finish is the
// unplug that the read will tell of.
void Reader::poll() {
  if (!poller_.wanted() || stalled_ || ending_ || !port_.is_open()) return;
  if (poller_.expire(now().mono_us)) ++counters_.request_timeouts;
  const auto* request = writing_ ? nullptr : poller_.next(now().mono_us);
  if (request) {
    ++counters_.requests;
    writing_ = true;  // flow control may hold it for long
    boost::asio::async_write(port_, boost::asio::buffer(request->bytes),
                             [this](const boost::system::error_code&, size_t) {
                               writing_ = false;
                               poll();
                             });
  }
  if (writing_ && !request) return;
  const auto wake_us = poller_.wake_us();
  poll_timer_.expires_at(std::chrono::steady_clock::time_point(microseconds(*wake_us)));
  poll_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) poll();
  });
}

// Offers the host what is framed. The host may refuse in the middle of a read: that read is called
// off, and what it has fetched already joins the queue behind.
void Reader::deliver() {
  if (stalled_ || outbox_.waiting() == 0) return;
  uint64_t taken = 0;
  const auto status = outbox_.flush(taken);
  counters_.frames += taken;
  if (status == PENSTOCK_EMIT_FULL) {
    stalled_ = true;
    ++counters_.stalls_on_full;
  } else if (status == PENSTOCK_EMIT_CLOSED) {
    ending_ = true;
    return close();
  }
  if (stalled_ && reading_) {
    boost::system::error_code ignored;
    port_.cancel(ignored);
  }
}

void Reader::end_reading(std::function<void()> ended) {
  ending_ = true;
  ended_ = std::move(ended);
  silence_timer_.cancel();
  retry_timer_.cancel();
  poll_timer_.cancel();
  if (reading_ && port_.is_open()) {
    boost::system::error_code ignored;
    port_.cancel(ignored);
  }
  tell_if_ended();
}

void Reader::tell_if_ended() {
  if (ended_ && !reading_) std::exchange(ended_, nullptr)();
}

}  // namespace penstock::serial
