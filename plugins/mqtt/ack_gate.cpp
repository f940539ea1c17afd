#include "plugins/mqtt/ack_gate.h"

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "plugins/mqtt/byte_cap.h"
#include "plugins/mqtt/gate_session.h"
#include "plugins/mqtt/peer_check.h"

namespace penstock::mqtt {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Code = boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptRetry{100};  // out of descriptors, most likely

}  // namespace

class AckGate::Impl final : public SessionOwner {
 public:
  Impl(GateConfig config, const EmitTotals& totals, Hooks hooks);
  ~Impl() { shutdown(); }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void start();
  void expect(std::shared_ptr<const SessionLedger> ledger);
  void ping_within(std::chrono::seconds silence);
  void on_durable(uint64_t up_to);
  void pause();
  bool wait_idle(bool drained, std::chrono::milliseconds limit);
  void shutdown();
  uint64_t unacked_bytes() const { return totals_.bytes() - safe_bytes_.load(); }
  bool look_for_room();
  // The watermark may have come before the last record's bytes were counted.
  void look_again() { post_watermark(); }

  // SessionOwner: the gate's thread
  asio::io_context& io() override { return io_; }
  const GateConfig& config() const override { return config_; }
  GateCounters& counters() override { return counters_; }
  uint64_t durable() const override { return durable_.load(std::memory_order_acquire); }
  bool room() override;
  bool paused() const override { return paused_; }
  void stalled() override { hooks_.stalled(); }
  void progress(bool settled, bool drained) override;
  void ended(GateSession& session, SessionEnd end) override;

 private:
  void accept();
  void take(tcp::socket socket);
  void open_session(tcp::socket socket, std::shared_ptr<const SessionLedger> ledger);
  void post_watermark();
  void on_watermark();

  const GateConfig config_;
  const EmitTotals& totals_;
  const Hooks hooks_;
  GateCounters counters_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_{io_};
  std::shared_ptr<GateSession> session_;
  ByteCap cap_;
  bool paused_ = false;
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> safe_bytes_{0};  // what cap_ knows to be durable
  std::atomic<bool> watermark_posted_{false};

  std::mutex mutex_;  // of what follows; never held while calling anyone
  std::condition_variable changed_;
  std::shared_ptr<const SessionLedger> expected_;
  bool idle_paused_ = false;
  bool settled_ = true;
  bool drained_ = true;

  std::thread thread_;
};

AckGate::Impl::Impl(GateConfig config, const EmitTotals& totals, Hooks hooks)
    : config_(std::move(config)),
      totals_(totals),
      hooks_(std::move(hooks)),
      acceptor_(io_),
      cap_(config_.max_unacked_bytes) {
  try {
    const tcp::endpoint loopback(asio::ip::address_v4::loopback(), 0);
    acceptor_.open(loopback.protocol());
    acceptor_.bind(loopback);
    acceptor_.listen(4);
  } catch (const std::exception& problem) {
    throw std::runtime_error(std::string("cannot open a port on 127.0.0.1: ") + problem.what());
  }
}

void AckGate::Impl::start() {
  accept();
  thread_ = std::thread([this] { io_.run(); });
}

void AckGate::Impl::expect(std::shared_ptr<const SessionLedger> ledger) {
  const std::lock_guard lock(mutex_);
  expected_ = std::move(ledger);
}

void AckGate::Impl::ping_within(std::chrono::seconds silence) {
  asio::post(io_, [this, silence] {
    if (const auto session = session_) session->ping_within(silence);
  });
}

void AckGate::Impl::on_durable(uint64_t up_to) {
  uint64_t known = durable_.load(std::memory_order_relaxed);
  while (known < up_to && !durable_.compare_exchange_weak(known, up_to)) {
  }
  post_watermark();
}

void AckGate::Impl::post_watermark() {
  if (watermark_posted_.exchange(true)) return;
  asio::post(io_, [this] { on_watermark(); });
}

bool AckGate::Impl::look_for_room() {
  if (unacked_bytes() <= config_.max_unacked_bytes) return true;
  look_again();
  return false;
}

void AckGate::Impl::on_watermark() {
  watermark_posted_ = false;
  room();
  const auto session = session_;
  if (!session) return;
  session->release();
  session->read_on();
}

bool AckGate::Impl::room() {
  const uint64_t bytes = totals_.bytes();  // before assigned()
  cap_.note(totals_.assigned(), bytes);
  cap_.durable(durable());
  safe_bytes_ = bytes - cap_.pending(bytes);
  return !cap_.over(bytes);
}

void AckGate::Impl::pause() {
  asio::post(io_, [this] {
    paused_ = true;
    if (const auto session = session_) session->report_progress();
    {
      const std::lock_guard lock(mutex_);
      idle_paused_ = true;  // only now is what progress() said up to date
    }
    changed_.notify_all();
  });
}

bool AckGate::Impl::wait_idle(bool drained, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit,
                           [&] { return idle_paused_ && settled_ && (drained_ || !drained); });
}

void AckGate::Impl::progress(bool settled, bool drained) {
  {
    const std::lock_guard lock(mutex_);
    if (settled == settled_ && drained == drained_) return;
    settled_ = settled;
    drained_ = drained;
  }
  changed_.notify_all();
}

void AckGate::Impl::ended(GateSession& session, SessionEnd end) {
  if (session_.get() == &session) session_.reset();
  progress(true, true);
  hooks_.ended(session.ledger(), end);
}

void AckGate::Impl::accept() {
  acceptor_.async_accept([this](Code code, tcp::socket socket) {
    if (code == asio::error::operation_aborted) return;
    if (code) {
      accept_timer_.expires_after(kAcceptRetry);
      accept_timer_.async_wait([this](Code cancelled) {
        if (!cancelled) accept();
      });
      return;
    }
    take(std::move(socket));
    accept();
  });
}

void AckGate::Impl::take(tcp::socket socket) {
  if (!peer_is_own_process(socket.native_handle())) {
    ++counters_.foreign_peers;
    return;
  }
  std::shared_ptr<const SessionLedger> ledger;
  {
    const std::lock_guard lock(mutex_);
    ledger = std::exchange(expected_, nullptr);
  }
  if (!ledger) return;
  if (const auto old = session_) old->close(EndKind::kReplaced, "replaced by a new connection");
  open_session(std::move(socket), std::move(ledger));
}

void AckGate::Impl::open_session(tcp::socket socket, std::shared_ptr<const SessionLedger> ledger) {
  std::unique_ptr<BrokerStream> broker;
  try {
    broker = config_.server.tls ? make_tls_stream(io_, config_.tls) : make_plain_stream(io_);
  } catch (const std::exception& problem) {
    hooks_.ended(*ledger, {EndKind::kUnreachable, problem.what()});
    return;
  }
  ++counters_.sessions;
  session_ =
      std::make_shared<GateSession>(*this, std::move(socket), std::move(broker), std::move(ledger));
  session_->start();
}

void AckGate::Impl::shutdown() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] {
    Code ignored;
    acceptor_.close(ignored);
    accept_timer_.cancel();
    if (const auto session = session_) session->close(EndKind::kReplaced, "stopped");
    work_.reset();
    io_.stop();
  });
  thread_.join();
}

AckGate::AckGate(GateConfig config, const EmitTotals& totals, Hooks hooks)
    : impl_(std::make_unique<Impl>(std::move(config), totals, std::move(hooks))) {}
AckGate::~AckGate() = default;
uint16_t AckGate::port() const { return impl_->port(); }
void AckGate::start() { impl_->start(); }
void AckGate::expect(std::shared_ptr<const SessionLedger> ledger) {
  impl_->expect(std::move(ledger));
}
void AckGate::ping_within(std::chrono::seconds silence) { impl_->ping_within(silence); }
void AckGate::on_durable(uint64_t up_to) { impl_->on_durable(up_to); }
void AckGate::pause() { impl_->pause(); }
bool AckGate::wait_idle(bool drained, std::chrono::milliseconds limit) {
  return impl_->wait_idle(drained, limit);
}
bool AckGate::room() { return impl_->look_for_room(); }
uint64_t AckGate::unacked_bytes() const {
  const uint64_t bytes = impl_->unacked_bytes();
  if (bytes != 0) impl_->look_again();
  return bytes;
}
const GateCounters& AckGate::counters() const { return impl_->counters(); }
void AckGate::shutdown() { impl_->shutdown(); }

}  // namespace penstock::mqtt
