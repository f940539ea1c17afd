// One session of the ack gate: our Paho client on one side, the broker on the other.
//
// From the broker packets pass as they come, but that a PUBLISH above the limit is taken in here
// and goes on by its head, once all of it has come; meanwhile Paho's pings are answered here, as
// long as bytes keep coming, for the broker's answers stand behind that packet. From Paho every
// frame is collected whole; PUBACK, PUBREC, PUBCOMP and DISCONNECT go into the queue of held
// acknowledgements and leave it when the durable watermark has reached their stamp; all else
// (CONNECT, SUBSCRIBE, PINGREQ) passes at once. One write to the broker is under way at a time, so
// that everything released meanwhile shares the next one.
//
// Lives on the gate's thread, kept alive by its pending operations. Ends once, for one reason, told
// to the owner; held acknowledgements die with it, so none can reach a later connection: the broker
// sends those messages again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "plugins/mqtt/ack_gate.h"
#include "plugins/mqtt/ack_queue.h"
#include "plugins/mqtt/broker_dial.h"
#include "plugins/mqtt/broker_stream.h"
#include "plugins/mqtt/frame_scan.h"
#include "plugins/mqtt/publish_head.h"
#include "plugins/mqtt/session_ledger.h"
#include "plugins/mqtt/stall_detector.h"

namespace penstock::mqtt {

class GateSession;

// What a session needs of its gate. All on the gate's thread.
class SessionOwner {
 public:
  virtual boost::asio::io_context& io() = 0;
  virtual const GateConfig& config() const = 0;
  virtual GateCounters& counters() = 0;
  virtual uint64_t durable() const = 0;
  virtual bool room() = 0;  // false: too many bytes not durable yet
  virtual bool paused() const = 0;
  virtual void stalled() = 0;
  // settled: Paho has answered all it was sent. drained: nothing is held or being written.
  virtual void progress(bool settled, bool drained) = 0;
  virtual void ended(GateSession& session, SessionEnd end) = 0;

 protected:
  ~SessionOwner() = default;
};

class GateSession : public std::enable_shared_from_this<GateSession> {
 public:
  GateSession(SessionOwner& owner, boost::asio::ip::tcp::socket paho,
              std::unique_ptr<BrokerStream> broker, std::shared_ptr<const SessionLedger> ledger);

  void start();
  void release();  // the durable watermark moved
  void read_on();  // there may be room again
  void ping_within(std::chrono::milliseconds silence);
  void report_progress();
  void close(EndKind kind, std::string text);  // at once
  const SessionLedger& ledger() const { return *ledger_; }

 private:
  using Code = boost::system::error_code;
  enum class Phase { kDialing, kOpen, kParting, kEnded };

  void on_dialed(const std::optional<DialError>& error);
  // Paho -> broker
  void read_paho();
  void on_paho_bytes(size_t count);
  void on_paho_closed();
  bool collect(std::span<const uint8_t> bytes);
  void take_frame(std::span<const uint8_t> frame);
  void hold_puback(std::span<const uint8_t> frame);
  void flush();
  // broker -> Paho
  void read_broker();
  void on_broker_read(Code code, size_t count);
  bool scan_broker_bytes(std::span<const uint8_t> bytes);
  void note_ping(bool answered);
  void note_dismissal(const FramePiece& piece);
  std::string violation(const FramePiece& header);
  bool refuse_broker(std::string text);
  bool take_oversize(const FramePiece& piece);
  void forward();
  void on_written(Code code);
  // the end
  void part(EndKind kind, std::string text);
  void part_refused();
  void watch_silence();

  SessionOwner& owner_;
  boost::asio::ip::tcp::socket paho_;
  std::unique_ptr<BrokerStream> broker_;
  std::shared_ptr<const SessionLedger> ledger_;
  std::shared_ptr<BrokerDial> dial_;
  boost::asio::steady_timer silence_timer_;
  boost::asio::steady_timer parting_timer_;
  boost::asio::steady_timer ping_timer_;
  Phase phase_ = Phase::kDialing;
  SessionEnd end_;
  std::optional<int> dismissal_;

  std::array<uint8_t, size_t{16} * 1024> paho_buffer_{};
  std::array<uint8_t, size_t{64} * 1024> broker_buffer_{};
  FrameScan paho_scan_;
  FrameScan broker_scan_;
  std::vector<uint8_t> frame_;    // from Paho, as far as it has come
  std::vector<uint8_t> to_paho_;  // being written, while forwarding_
  PublishHead oversize_;
  bool v5_ = false;        // what Paho's CONNECT says
  bool pong_due_ = false;  // Paho's ping came during an oversize packet
  AckQueue held_;
  std::vector<uint8_t> pending_;  // released or passing, for the next write
  std::vector<uint8_t> writing_;  // being written to the broker; empty: none
  StallDetector stall_;
  uint64_t pubacks_ = 0;    // read from Paho
  uint64_t answered_ = 0;   // PUBACK and PUBREC read from Paho
  uint64_t published_ = 0;  // whole PUBLISH frames with QoS > 0 given to Paho
  bool greeted_ = false;    // the broker's first frame was a CONNACK
  bool admitted_ = false;   // there has been a CONNACK
  bool goodbye_ = false;    // Paho sent a DISCONNECT: that the broker hangs up is the answer
  bool reading_broker_ = false;
  bool forwarding_ = false;
  bool watching_silence_ = false;
  bool paho_waits_ = false;  // not read, because the broker does not take what is pending
  bool refusing_ = false;    // an acknowledgement that must never go out has been read
  bool said_all_ = false;    // the sending side to the broker is shut
};

}  // namespace penstock::mqtt
