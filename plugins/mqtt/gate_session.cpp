#include "plugins/mqtt/gate_session.h"

#include <stdexcept>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace penstock::mqtt {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr size_t kMaxClientFrame = 1U << 20;  // Paho sends us CONNECT, SUBSCRIBE, acknowledgements
constexpr size_t kMaxPending = 256U
                               << 10;  // unwritten bytes for the broker before Paho has to wait
constexpr std::chrono::seconds kPartingLimit{1};
constexpr std::array<uint8_t, 2> kDisconnect = {0xE0, 0x00};  // valid in MQTT 3.1.1 and 5
constexpr std::array<uint8_t, 2> kPingreq = {0xC0, 0x00};
constexpr std::array<uint8_t, 2> kPingresp = {0xD0, 0x00};

// MQTT 3.1.1 section 3.1.2: after the length of the packet the name "MQTT" with its length, then
// the level.
bool connects_with_v5(std::span<const uint8_t> connect) {
  size_t at = 1;
  while (at < connect.size() && (connect[at] & 0x80) != 0) ++at;
  at += 1 + 2 + 4;
  return at < connect.size() && connect[at] == 5;
}

}  // namespace

GateSession::GateSession(SessionOwner& owner, tcp::socket paho,
                         std::unique_ptr<BrokerStream> broker,
                         std::shared_ptr<const SessionLedger> ledger)
    : owner_(owner),
      paho_(std::move(paho)),
      broker_(std::move(broker)),
      ledger_(std::move(ledger)),
      silence_timer_(owner.io()),
      parting_timer_(owner.io()),
      ping_timer_(owner.io()),
      stall_(owner.config().receive_maximum) {}

void GateSession::start() {
  Code ignored;
  paho_.set_option(tcp::no_delay(true), ignored);
  note_ping(true);  // the last session's is looked at after its end
  dial_ = std::make_shared<BrokerDial>(
      owner_.io(), *broker_, owner_.config().server,
      [self = shared_from_this()](const std::optional<DialError>& error) {
        self->on_dialed(error);
      });
  dial_->start(owner_.config().dial_limit);
}

void GateSession::on_dialed(const std::optional<DialError>& error) {
  dial_.reset();
  if (phase_ != Phase::kDialing) return;
  if (error) {
    close(error->tls ? EndKind::kTls : EndKind::kUnreachable, error->text);
    return;
  }
  phase_ = Phase::kOpen;
  read_paho();
  read_broker();
}

// --- Paho -> broker

void GateSession::read_paho() {
  // Paho sets no TCP_NODELAY: without an immediate TCP acknowledgement its second small write waits
  // 40 ms. The option does not stick, hence here.
  const int one = 1;
  ::setsockopt(paho_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
  paho_.async_read_some(asio::buffer(paho_buffer_),
                        [self = shared_from_this()](Code code, size_t count) {
                          if (self->phase_ != Phase::kOpen) return;
                          if (code) {
                            self->on_paho_closed();
                          } else {
                            self->on_paho_bytes(count);
                          }
                        });
}

void GateSession::on_paho_bytes(size_t count) {
  if (!collect(std::span<const uint8_t>(paho_buffer_).first(count))) {
    close(EndKind::kBadFrame, "the client library sent bytes that are not MQTT");
    return;
  }
  release();
  watch_silence();
  if (phase_ != Phase::kOpen) return;
  if (pending_.size() < kMaxPending) {
    read_paho();
  } else {
    paho_waits_ = true;
  }
}

// Frames are collected whole, so that nothing is ever put between the parts of one. False: not
// MQTT.
bool GateSession::collect(std::span<const uint8_t> bytes) {
  FramePiece piece;
  while (true) {
    const auto status = paho_scan_.next(bytes, piece);
    if (status == FrameScan::Status::kNeedMore) return true;
    if (status == FrameScan::Status::kMalformed || piece.frame_bytes > kMaxClientFrame) {
      return false;
    }
    frame_.insert(frame_.end(), piece.bytes.begin(), piece.bytes.end());
    if (!piece.ends) continue;
    take_frame(frame_);
    frame_.clear();
  }
}

// Runs after the bytes were read from the socket, never before: that is what makes the stamps cover
// the message.
void GateSession::take_frame(std::span<const uint8_t> frame) {
  switch (static_cast<FrameType>(frame[0] >> 4)) {
    case FrameType::kPuback:
      hold_puback(frame);
      break;
    case FrameType::kPubrec:
      ++answered_;
      [[fallthrough]];
    case FrameType::kPubcomp: {
      const uint64_t stamp = ledger_->stamp_of_other();
      refusing_ = refusing_ || stamp == kNever;
      held_.push(stamp, frame);
      break;
    }
    case FrameType::kDisconnect:
      goodbye_ = true;
      held_.push(0, frame);  // waits only for what is in front of it
      break;
    case FrameType::kConnect:
      v5_ = connects_with_v5(frame);
      pending_.insert(pending_.end(), frame.begin(), frame.end());
      break;
    case FrameType::kPingreq:
      note_ping(false);
      pong_due_ = oversize_.under_way();
      [[fallthrough]];
    default:
      pending_.insert(pending_.end(), frame.begin(), frame.end());
  }
}

void GateSession::hold_puback(std::span<const uint8_t> frame) {
  ++pubacks_;
  ++answered_;
  const uint64_t stamp = ledger_->stamp_of_puback(pubacks_);
  if (stamp == kNever) {
    refusing_ = true;
    if (ledger_->unseen(pubacks_)) ++owner_.counters().unseen_acks;
  }
  held_.push(stamp, frame);
  stall_.on_ack(Clock::now());
  ++owner_.counters().acks_read;
}

void GateSession::on_paho_closed() {
  const std::string text = "the client library closed the connection";
  if (!greeted_) {
    close(EndKind::kClientGaveUp, text);
  } else if (held_.empty()) {
    part(EndKind::kClientClosed, text);  // its DISCONNECT may still be on the way
  } else {
    close(EndKind::kClientClosed, text);
  }
}

void GateSession::note_ping(bool answered) {
  auto& since_us = owner_.counters().unanswered_ping_us;
  if (answered) {
    since_us = 0;
  } else if (since_us == 0) {
    since_us =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch())
            .count();
  }
}

void GateSession::release() {
  if (phase_ != Phase::kOpen) return;
  const size_t released = held_.release(owner_.durable(), pending_);
  if (released > 0) {
    owner_.counters().acks_released += released;
    stall_.on_released(Clock::now());
  }
  owner_.counters().acks_held = held_.size();
  if (held_.blocked_for_good()) {
    part_refused();
    return;
  }
  flush();
  report_progress();
}

void GateSession::flush() {
  if (!writing_.empty()) return;
  if (pending_.empty()) {
    if (phase_ != Phase::kParting || said_all_) return;
    said_all_ = true;
    Code ignored;
    broker_->socket().shutdown(tcp::socket::shutdown_send, ignored);
    return;
  }
  writing_.swap(pending_);
  owner_.counters().bytes_to_broker += writing_.size();
  broker_->write(asio::buffer(writing_),
                 [self = shared_from_this()](Code code) { self->on_written(code); });
}

void GateSession::on_written(Code code) {
  if (phase_ == Phase::kEnded) return;
  if (code) {
    if (phase_ == Phase::kParting) {
      close(end_.kind, end_.text);
    } else {
      close(EndKind::kBrokerClosed, "cannot write to the broker: " + code.message());
    }
    return;
  }
  writing_.clear();
  flush();
  if (phase_ != Phase::kOpen) return;
  report_progress();
  if (paho_waits_) {
    paho_waits_ = false;
    read_paho();
  }
}

// Beside Paho's pings, which come at the interval the client was made with. The answers go to Paho:
// one that it did not ask for tells it only that the broker is there.
void GateSession::ping_within(std::chrono::milliseconds silence) {
  const auto before = silence * 3 / 4;
  ping_timer_.expires_after(before);
  ping_timer_.async_wait([self = shared_from_this(), silence](Code code) {
    if (code || self->phase_ != Phase::kOpen || self->goodbye_) return;
    self->pending_.insert(self->pending_.end(), kPingreq.begin(), kPingreq.end());
    self->flush();
    self->ping_within(silence);
  });
}

// --- broker -> Paho

void GateSession::read_broker() {
  if (reading_broker_ || forwarding_ || phase_ == Phase::kEnded) return;
  if (phase_ == Phase::kOpen && (refusing_ || owner_.paused() || !owner_.room())) return;
  reading_broker_ = true;
  broker_->read_some(asio::buffer(broker_buffer_),
                     [self = shared_from_this()](Code code, size_t count) {
                       self->reading_broker_ = false;
                       self->on_broker_read(code, count);
                     });
}

void GateSession::read_on() {
  if (phase_ == Phase::kOpen) read_broker();
}

void GateSession::on_broker_read(Code code, size_t count) {
  if (phase_ == Phase::kEnded) return;
  if (phase_ == Phase::kParting) {
    if (code) {
      close(end_.kind, end_.text);
    } else {
      read_broker();  // and forget it: the broker sends it again
    }
    return;
  }
  if (code && goodbye_) {
    close(EndKind::kClientClosed, "the client library ended the session");
    return;
  }
  if (code) {
    const bool reset = code == asio::error::connection_reset;
    const std::string how =
        reset ? "the broker reset the connection" : "the broker closed the connection";
    close(EndKind::kBrokerClosed, greeted_ ? how : how + " without an answer to CONNECT");
    return;
  }
  if (owner_.paused()) return;  // read just before the pause: Paho never sees it
  owner_.counters().bytes_from_broker += count;
  stall_.on_broker_bytes(Clock::now());
  to_paho_.clear();
  if (std::exchange(pong_due_, false)) {
    to_paho_.assign(kPingresp.begin(), kPingresp.end());
    note_ping(true);
  }
  if (scan_broker_bytes(std::span<const uint8_t>(broker_buffer_).first(count))) forward();
}

// Fills to_paho_. False: the session is over.
bool GateSession::scan_broker_bytes(std::span<const uint8_t> bytes) {
  FramePiece piece;
  const uint32_t limit = owner_.config().max_packet_bytes;
  while (true) {
    const auto status = broker_scan_.next(bytes, piece);
    if (status == FrameScan::Status::kNeedMore) return true;
    const bool foreign =
        !greeted_ && piece.type() != FrameType::kConnack && piece.type() != FrameType::kAuth;
    if (status == FrameScan::Status::kMalformed || foreign)
      return refuse_broker("the server does not speak MQTT");
    if (piece.starts) {
      if (auto wrong = violation(piece); !wrong.empty()) return refuse_broker(std::move(wrong));
    }
    greeted_ = true;
    if (piece.type() == FrameType::kDisconnect) note_dismissal(piece);
    if (piece.frame_bytes > limit) {
      if (!take_oversize(piece)) return false;
    } else {
      to_paho_.insert(to_paho_.end(), piece.bytes.begin(), piece.bytes.end());
    }
    if (piece.ends && piece.type() == FrameType::kPublish && piece.qos() > 0) ++published_;
  }
}

// The broker may hang up right behind it, before Paho has read it. MQTT 5 section 3.14.2: the
// reason is the first byte, and may be left out.
void GateSession::note_dismissal(const FramePiece& piece) {
  if (piece.starts) {
    dismissal_.reset();
    if (piece.ends) dismissal_ = 0;
  } else if (!dismissal_) {
    dismissal_ = piece.bytes.front();
  }
}

// What Paho would pass over, answer to nobody or hang up for without a word. Empty: nothing.
std::string GateSession::violation(const FramePiece& header) {
  switch (header.type()) {
    case FrameType::kConnack:
      return std::exchange(admitted_, true) ? "the broker sent a second CONNACK" : "";
    case FrameType::kPublish: {
      if (header.qos() == 3) return "the broker sent a PUBLISH with QoS 3, which does not exist";
      // A topic's length, an identifier with QoS 1 and 2, the length of the properties.
      const size_t least = 2U + (header.qos() > 0 ? 2U : 0U) + (v5_ ? 1U : 0U);
      if (header.frame_bytes < header.bytes.size() + least)
        return "the broker sent a PUBLISH that is too short to be one";
      return "";
    }
    case FrameType::kPingresp:
      note_ping(true);
      return "";
    default:
      return "";
  }
}

// What came before it in the same read is not passed on either: the broker sends it again.
bool GateSession::refuse_broker(std::string text) {
  ++owner_.counters().protocol_errors;
  close(EndKind::kBadFrame, std::move(text));
  return false;
}

bool GateSession::take_oversize(const FramePiece& piece) {
  const GateConfig& config = owner_.config();
  if (piece.type() != FrameType::kPublish || !config.set_aside) {
    close(EndKind::kBadFrame, "the broker sent a packet of " + std::to_string(piece.frame_bytes) +
                                  " bytes, more than max_packet_size (" +
                                  std::to_string(config.max_packet_bytes) +
                                  "): raise it, or remove the message from the broker");
    return false;
  }
  oversize_.take(piece);
  if (!piece.ends || oversize_.append_substitute(ledger_->mark(), v5_, to_paho_)) return true;
  return refuse_broker("the broker sent a PUBLISH of " + std::to_string(piece.frame_bytes) +
                       " bytes whose topic cannot be read");
}

void GateSession::forward() {
  if (to_paho_.empty()) {  // all of it belongs to an oversize packet
    read_broker();
    return;
  }
  forwarding_ = true;
  asio::async_write(paho_, asio::buffer(to_paho_), [self = shared_from_this()](Code code, size_t) {
    self->forwarding_ = false;
    if (self->phase_ == Phase::kParting) self->read_broker();
    if (self->phase_ != Phase::kOpen) return;
    if (code) {
      self->on_paho_closed();
      return;
    }
    self->report_progress();
    self->watch_silence();
    self->read_broker();
  });
}

// --- the end

// Everything in front of the refused acknowledgement is said, then goodbye; the broker keeps the
// rest.
void GateSession::part_refused() {
  const bool unseen = ledger_->unseen(pubacks_);
  pending_.insert(pending_.end(), kDisconnect.begin(), kDisconnect.end());
  part(EndKind::kRefused, unseen ? "the client library acknowledged a message it had not delivered"
                                 : "a message was refused; the broker keeps it");
}

void GateSession::part(EndKind kind, std::string text) {
  phase_ = Phase::kParting;
  end_ = {kind, std::move(text), dismissal_};
  silence_timer_.cancel();
  ping_timer_.cancel();
  Code ignored;
  paho_.close(ignored);
  parting_timer_.expires_after(kPartingLimit);
  parting_timer_.async_wait([self = shared_from_this()](Code code) {
    if (!code) self->close(self->end_.kind, self->end_.text);
  });
  flush();
  read_broker();
}

void GateSession::close(EndKind kind, std::string text) {
  if (phase_ == Phase::kEnded) return;
  const auto self = shared_from_this();
  phase_ = Phase::kEnded;
  end_ = {kind, std::move(text), dismissal_};
  if (dial_) dial_->cancel();
  silence_timer_.cancel();
  parting_timer_.cancel();
  ping_timer_.cancel();
  Code ignored;
  paho_.close(ignored);
  broker_->socket().close(ignored);
  owner_.counters().acks_held = 0;
  owner_.ended(*this, end_);
}

void GateSession::report_progress() {
  const bool settled = published_ == answered_ && !forwarding_;
  const bool drained = held_.empty() && pending_.empty() && writing_.empty();
  owner_.progress(settled, drained);
}

void GateSession::watch_silence() {
  if (watching_silence_ || phase_ != Phase::kOpen || !stall_.wants_look(held_.size())) return;
  watching_silence_ = true;
  silence_timer_.expires_after(StallDetector::kQuiet);
  silence_timer_.async_wait([self = shared_from_this()](Code) {
    self->watching_silence_ = false;
    if (self->phase_ != Phase::kOpen) return;
    if (self->stall_.look(Clock::now(), self->held_.size())) {
      ++self->owner_.counters().stalls;
      self->owner_.stalled();
    }
    self->watch_silence();
  });
}

}  // namespace penstock::mqtt
