// Random interleavings of a StreamSession with a model of driver, transport and server, where every
// message may be slow, a stream may die at any moment and events of dead streams keep coming.
#include <cstdlib>
#include <deque>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "agent/zerobus/session.h"

namespace penstock::zerobus {
namespace {

// A stream as the server and the network see it. It lives on after the session has given it up.
struct ModelStream {
  std::vector<BatchInfo> received;
  int64_t last_ack = -1;       // as sent by the server
  int64_t delivered_ack = -1;  // as handed to the session
  bool created = false;
  bool half_closed = false;
  bool closed = false;
  int writes = 0;  // not reported as done
  std::deque<Response> to_client;
};

class Model {
  static constexpr uint64_t kBadEvery = 61;

 public:
  explicit Model(uint64_t seed) : random_(seed), session_(config()) {
    apply(session_.start(at(), 0));
  }

  void step() {
    now_ += Millis(pick(20));
    switch (pick(12)) {
      case 0:
        more_records();
        break;
      case 1:
      case 2:
        answer_want();
        break;
      case 3:
      case 4:
        finish_write();
        break;
      case 5:
        server_acts();
        break;
      case 6:
      case 7:
      case 8:
        deliver();
        break;
      case 9:
        mishap();
        break;
      default:
        fire_timer();
    }
  }

  // A kind server and network: everything must arrive.
  void settle() {
    calm_ = true;
    apply(session_.data_available(at()));
    for (int i = 0; i < 200'000 && acked_ < last_record_; ++i) {
      now_ += Millis(20);
      answer_want();
      finish_write();
      server_acts();
      deliver();
      fire_timer();
    }
    EXPECT_EQ(acked_, last_record_) << to_string(session_.snapshot().state);
  }

  void stop() {
    apply(session_.stop(at()));
    for (int i = 0; i < 1'000 && !stopped_; ++i) {
      now_ += Millis(20);
      if (pick(2) == 0) deliver();
      fire_timer();
    }
    EXPECT_TRUE(stopped_);
  }

  uint64_t opened() const { return streams_.empty() ? 0 : streams_.rbegin()->first; }
  uint64_t acked() const { return acked_; }
  uint64_t resent() const { return resent_; }
  uint64_t poisoned() const { return poisoned_; }
  uint64_t took_back() const { return took_back_; }

 private:
  static SessionConfig config() {
    SessionConfig config;
    config.in_flight_bytes = 5'000;
    config.batch_bytes = 1'000;
    config.ack_timeout = Millis(3'000);
    config.open_timeout = Millis(1'000);
    config.idle_close = Millis(2'000);
    config.drain_timeout = Millis(400);
    config.search_opens_per_min = 100'000;
    config.retry = {Millis(50), Millis(1'000), Millis(100), Millis(2'000)};
    return config;
  }

  uint64_t pick(uint64_t below) { return random_() % below; }
  Moment at() { return {now_, static_cast<double>(random_() % 1000) / 1000.0}; }

  // --- the driver

  void more_records() {
    last_record_ += pick(50);
    apply(session_.data_available(at()));
  }

  void answer_want() {
    if (!want_) return;
    const uint64_t generation = *std::exchange(want_, std::nullopt);
    if (!calm_ && pick(20) == 0) {  // until there are more records, or the end
      apply(session_.not_now(at(), generation));
      return;
    }
    if (next_ > std::min(last_record_, want_until_)) {
      apply(session_.no_data(at(), generation));
      return;
    }
    const uint64_t last = std::min({last_record_, want_until_, next_ + pick(8)});
    const bool huge = pick(50) == 0;
    const BatchInfo batch{next_, last, static_cast<uint32_t>(last - next_ + 1),
                          huge ? 9'000 : 1 + pick(want_bytes_)};
    next_ = last + 1;
    apply(session_.batch_ready(at(), generation, batch));
  }

  void finish_write() {
    for (auto& [generation, stream] : streams_) {
      if (stream.closed || stream.writes == 0) continue;
      if (!calm_ && pick(3) == 0) continue;
      const auto count = 1 + pick(static_cast<uint64_t>(stream.writes));
      stream.writes -= static_cast<int>(count);
      apply(session_.writes_done(at(), generation, count));
      return;
    }
  }

  void fire_timer() {
    if (now_ >= armed_ || (!calm_ && pick(20) == 0)) {
      armed_ = MonoTime::max();
      apply(session_.timer(at()));
    }
  }

  // --- the server

  void server_acts() {
    for (auto& [generation, stream] : streams_) {
      if (stream.closed || (!calm_ && pick(3) == 0)) continue;
      if (!stream.created) {
        stream.created = true;
        stream.to_client.push_back(StreamCreated{"s"});
      }
      const int64_t last = acceptable(stream) - 1;
      if (last > stream.last_ack) {
        stream.last_ack +=
            calm_ ? last - stream.last_ack : 1 + static_cast<int64_t>(pick(last - stream.last_ack));
        stream.to_client.push_back(Ack{stream.last_ack});
      }
      if (!calm_ && pick(30) == 0) stream.to_client.push_back(CloseSignal{Millis(pick(1'000))});
      if (!calm_ && pick(100) == 0) stream.to_client.push_back(UnknownResponse{});
      if (stream.half_closed && stream.to_client.empty() && pick(2) == 0)
        close(generation, stream, code::kOk);
      const bool refuses = stream.last_ack == last &&
                           last + 1 < static_cast<int64_t>(stream.received.size()) &&
                           stream.to_client.empty();
      if (!stream.closed && refuses && (calm_ || pick(2) == 0))
        close(generation, stream, code::kInvalidArgument);
    }
  }

  // Every 61st record is refused. How many requests of this stream come before one that holds such
  // a record.
  static int64_t acceptable(const ModelStream& stream) {
    int64_t count = 0;
    for (const BatchInfo& batch : stream.received) {
      if ((batch.first_seq - 1) / kBadEvery != batch.last_seq / kBadEvery) break;
      ++count;
    }
    return count;
  }

  // One message of some stream reaches the session, of a dead one too.
  void deliver() {
    for (auto& [generation, stream] : streams_) {
      if (stream.to_client.empty() || (!calm_ && pick(3) == 0)) continue;
      const Response response = stream.to_client.front();
      stream.to_client.pop_front();
      if (const auto* ack = std::get_if<Ack>(&response)) stream.delivered_ack = ack->up_to;
      delivering_ = generation;
      apply(session_.response(at(), generation, response));
      delivering_ = 0;
      return;
    }
  }

  void mishap() {
    if (streams_.empty() || calm_) return;
    auto it = streams_.begin();
    std::advance(it, pick(streams_.size()));
    auto& [generation, stream] = *it;
    static constexpr int kCodes[] = {0, 1, 2, 3, 5, 7, 8, 11, 13, 14, 14, 14, 14, 16};
    switch (pick(6)) {
      case 0:
        apply(session_.response(at(), generation, Ack{INT64_MAX / 2}));
        break;
      case 1:
        apply(session_.bad_response(at(), generation, {ErrorKind::kTransient, "x", {}}));
        break;
      case 2:
        if (generation != opened()) apply(session_.response(at(), generation, Ack{0}));
        break;
      case 3:
        apply(session_.hold(at(), "x"));
        apply(session_.resume(at()));
        break;
      case 4:
        now_ += Millis(pick(5'000));
        break;
      default:
        if (!stream.closed) close(generation, stream, kCodes[pick(std::size(kCodes))]);
    }
  }

  void close(uint64_t generation, ModelStream& stream, int status) {
    stream.closed = true;
    stream.writes = 0;
    if (generation == live_) live_ = 0;
    apply(session_.closed(at(), generation, {status, "x"}));
  }

  // --- what the session decided, and what must hold

  void apply(const Actions& actions) {
    for (const Action& action : actions) {
      ASSERT_FALSE(stopped_) << "an action after Stopped";
      std::visit([this](const auto& a) { on(a); }, action);
      if (::testing::Test::HasFatalFailure()) return;
    }
    if (const auto taken = std::exchange(taken_, {}); taken.second > 0)
      apply(session_.taken_back(at(), taken.first, taken.second));
  }

  void on(const Open& open) {
    ASSERT_EQ(open.generation, opened() + 1);
    ASSERT_EQ(live_, 0u) << "two streams at once";
    live_ = open.generation;
    streams_[live_];
  }
  void on(const WantBatch& want) {
    ASSERT_EQ(want.generation, live_);
    ASSERT_FALSE(want_) << "two WantBatch at once";
    ASSERT_FALSE(prepared_pending()) << "a batch is still waiting";
    want_ = want.generation;
    want_bytes_ = want.max_bytes;
    want_until_ = want.until_seq;
    ASSERT_GE(want_until_, next_) << "a probe without records";
  }
  bool prepared_pending() const { return next_ - 1 > written_; }
  void on(const Write& write) {
    ASSERT_EQ(write.generation, live_);
    ModelStream& stream = streams_.at(live_);
    ASSERT_LT(stream.writes, 4) << "one under way and three behind it are enough";
    ASSERT_FALSE(stream.half_closed) << "a write after half-close";
    ASSERT_EQ(write.offset, static_cast<int64_t>(stream.received.size()));
    ASSERT_EQ(write.batch.first_seq, written_ + 1) << "a gap or a repetition on one stream";
    if (write.batch.first_seq <= ever_written_) ++resent_;
    written_ = write.batch.last_seq;
    ever_written_ = std::max(ever_written_, written_);
    ++stream.writes;
    stream.received.push_back(write.batch);
    size_t unacked = 0;
    for (auto i = static_cast<size_t>(stream.delivered_ack + 1); i < stream.received.size(); ++i) {
      unacked += stream.received[i].bytes;
    }
    ASSERT_TRUE(unacked <= config().in_flight_bytes || unacked == write.batch.bytes) << unacked;
  }
  // Any of those behind the write under way may not have begun, but what was acknowledged has.
  void on(const TakeBack& take) {
    ASSERT_EQ(take.generation, live_);
    ModelStream& stream = streams_.at(live_);
    ASSERT_GT(stream.writes, 1) << "there is nothing that waits";
    const auto open = static_cast<int64_t>(stream.received.size()) - (stream.last_ack + 1);
    const auto most = std::min<int64_t>(stream.writes - 1, open);
    const auto count = most > 0 ? static_cast<size_t>(pick(static_cast<uint64_t>(most) + 1)) : 0;
    stream.received.resize(stream.received.size() - count);
    stream.writes -= static_cast<int>(count);
    if (count > 0) written_ = stream.received.empty() ? acked_ : stream.received.back().last_seq;
    took_back_ += count;
    taken_ = {live_, count};
  }
  void on(const HalfClose& half) {
    ASSERT_EQ(half.generation, live_);
    ASSERT_FALSE(streams_.at(live_).half_closed);
    streams_.at(live_).half_closed = true;
  }
  // The cancelled stream stays in the model: its late events must do no harm.
  void on(const Cancel& cancel) {
    ASSERT_EQ(cancel.generation, live_);
    live_ = 0;
  }
  void on(const Release& release) {
    ASSERT_NE(live_, 0u);
    ASSERT_EQ(delivering_, live_) << "released without an ack of the current stream";
    const ModelStream& stream = streams_.at(live_);
    ASSERT_GT(release.up_to_seq, acked_) << "Release went back";
    ASSERT_EQ(release.up_to_seq, stream.received.at(stream.delivered_ack).last_seq);
    ASSERT_EQ(acked_ / kBadEvery, release.up_to_seq / kBadEvery) << "released a refused record";
    acked_ = release.up_to_seq;
  }
  void on(const Rewind& rewind) {
    ASSERT_EQ(rewind.from_seq, acked_ + 1)
        << "the next batch would not be the first unacknowledged";
    next_ = rewind.from_seq;
    written_ = acked_;
    want_.reset();
  }
  void on(const Arm& arm) { armed_ = arm.at; }
  void on(const Report&) {}
  void on(const Rejected& rejected) {
    ASSERT_EQ(rejected.first_seq, acked_ + 1);
    ASSERT_EQ(rejected.last_seq, written_);
  }
  // Refusals also strike at random here, so any record may be named; but only the next one, which
  // then was sent alone.
  void on(const Poison& poison) {
    ASSERT_EQ(poison.seq, acked_ + 1);
    ASSERT_EQ(poison.seq, written_);
    acked_ = poison.seq;
    ++poisoned_;
  }
  void on(const DropToken&) {}
  void on(const Stopped&) { stopped_ = true; }

  std::mt19937_64 random_;
  MonoTime now_ = MonoTime() + std::chrono::hours(1);
  MonoTime armed_ = MonoTime::max();
  std::map<uint64_t, ModelStream> streams_;
  uint64_t live_ = 0;
  uint64_t delivering_ = 0;
  std::optional<uint64_t> want_;
  size_t want_bytes_ = 0;
  uint64_t want_until_ = 0;
  uint64_t last_record_ = 0;  // committed in the spool
  uint64_t next_ = 1;         // the driver's read position
  uint64_t written_ = 0;      // on the current stream
  uint64_t ever_written_ = 0;
  uint64_t acked_ = 0;
  uint64_t resent_ = 0;
  uint64_t poisoned_ = 0;
  uint64_t took_back_ = 0;
  std::pair<uint64_t, size_t> taken_;  // generation, count: to be told
  bool calm_ = false;
  bool stopped_ = false;
  StreamSession session_;  // last: its first actions use the members above
};

uint64_t seed_from_environment() {
  const char* const text = std::getenv("PENSTOCK_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

TEST(ZerobusSessionModel, NoInterleavingLosesARecordOrReleasesAnUnackedOne) {
  const uint64_t base = seed_from_environment();
  uint64_t acked = 0;
  uint64_t opened = 0;
  uint64_t resent = 0;
  uint64_t poisoned = 0;
  uint64_t took_back = 0;
  for (uint64_t run = 0; run < 300; ++run) {
    SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(base) + ", run " + std::to_string(run));
    Model model(base * 1000 + run);
    for (int i = 0; i < 3'000 && !HasFatalFailure(); ++i) model.step();
    if (!HasFatalFailure()) model.settle();
    if (!HasFatalFailure()) model.stop();
    if (HasFailure()) return;
    acked += model.acked();
    opened += model.opened();
    resent += model.resent();
    poisoned += model.poisoned();
    took_back += model.took_back();
  }
  // The walk must have been where it hurts.
  EXPECT_GT(acked, 10'000u);
  EXPECT_GT(opened, 3'000u);
  EXPECT_GT(resent, 1'000u);
  EXPECT_GT(poisoned, 100u);
  EXPECT_GT(took_back, 100u);
}

}  // namespace
}  // namespace penstock::zerobus
