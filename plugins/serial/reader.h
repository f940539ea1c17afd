// Reads one serial port for as long as the input lives: opens it, opens it again, frames, emits.
//
// Owns one thread with an io_context; all state from `framing_` on belongs to that thread. The
// public functions are called by the host's dispatcher, one at a time; quiesce() and stop() return
// when what they promise is done, which takes no longer than one emit.
//
// Back-pressure: frames the host refuses are kept, and the port is not read until on_room; the
// kernel buffers, then flow control (if set) or the driver's overrun counter takes over. Nothing is
// asked of the devices meanwhile.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/serial_port.hpp>
#include <boost/asio/steady_timer.hpp>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/serial/counters.h"
#include "plugins/serial/framing.h"
#include "plugins/serial/line_error_meter.h"
#include "plugins/serial/outbox.h"
#include "plugins/serial/poller.h"
#include "plugins/serial/port.h"
#include "plugins/serial/retry_pace.h"
#include "plugins/serial/settings.h"

namespace penstock::serial {

class Reader {
 public:
  // Throws std::invalid_argument on settings make_framing refuses. Opens nothing yet.
  Reader(sdk::Host host, SerialSettings settings);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader();

  void start();
  void on_room();
  void quiesce();  // on return nothing more is read, and what is framed was offered to the host
  void stop();     // on return the port is closed and the thread has ended
  std::vector<sdk::Stat> stats() const { return counters_.stats(); }

 private:
  void open();
  void opened(OpenedPort port);
  void failed(const OpenedPort& port);
  void retry_later(int error);
  void lost(const std::string& reason);
  void close();

  void read();
  void on_read(const boost::system::error_code& error, size_t size);
  void wait_for_silence();
  void on_silence();
  void match_replies(size_t first);
  void poll();
  void deliver();
  void end_reading(std::function<void()> ended);
  void tell_if_ended();

  sdk::Host host_;
  const SerialSettings settings_;
  Counters counters_;
  std::unique_ptr<Framing> framing_;
  Outbox outbox_;
  Poller poller_;
  LineErrorMeter line_errors_;
  RetryPace pace_;

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  boost::asio::serial_port port_{io_};
  boost::asio::steady_timer retry_timer_{io_};
  boost::asio::steady_timer silence_timer_{io_};
  boost::asio::steady_timer poll_timer_{io_};
  std::array<char, 4096> buffer_{};
  std::function<void()> ended_;  // to be told when no read is under way any more
  bool ending_ = false;          // quiesced, or the host answered CLOSED: do not read, do not open
  bool reading_ = false;         // an async read is under way
  bool writing_ = false;         // a request is on its way to the device
  bool stalled_ = false;         // the host answered FULL; wait for on_room
  bool noted_ = false;           // the notes of open_port were logged
  bool was_open_ = false;
  int down_error_ = 0;  // what was reported as DOWN; 0: nothing

  std::thread thread_;
};

}  // namespace penstock::serial
