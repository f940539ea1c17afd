#include "agent/lane/lane.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "agent/codec/schema_version.h"
#include "agent/spool/imported_lane.h"

namespace penstock::lane {
namespace {

constexpr Millis kReadRetry{1000};

}  // namespace

// Lives as long as the lane; the transport holds it weakly. The lane may be gone when a posted
// event runs.
class Lane::Events final : public zerobus::StreamEvents {
 public:
  Events(boost::asio::io_context& io, std::weak_ptr<Lane> lane) : io_(io), lane_(std::move(lane)) {}

  void on_response(uint64_t generation, zerobus::Response response) override {
    post([generation, response = std::move(response)](Lane& lane) {
      if (std::holds_alternative<zerobus::CloseSignal>(response)) lane.look_again_ = true;
      lane.apply(lane.session_.response(lane.moment(), generation, response));
      if (const auto* created = std::get_if<zerobus::StreamCreated>(&response))
        lane.name_stream(created->stream_id);
    });
  }
  void on_bad_response(uint64_t generation, Error error) override {
    post([generation, error = std::move(error)](Lane& lane) {
      lane.apply(lane.session_.bad_response(lane.moment(), generation, error));
    });
  }
  void on_writes_done(uint64_t generation, size_t count) override {
    post([generation, count](Lane& lane) {
      lane.apply(lane.session_.writes_done(lane.moment(), generation, count));
    });
  }
  void on_closed(uint64_t generation, zerobus::Status status) override {
    post([generation, status = std::move(status)](Lane& lane) {
      if (generation == lane.stream_generation_) lane.stream_.reset();
      lane.give_back(generation);
      const bool refusal =
          zerobus::classify(status, zerobus::StreamPhase::kOpen).kind == ErrorKind::kRejected;
      if (refusal || status.unread) lane.table_suspect_ = true;
      lane.apply(lane.session_.closed(lane.moment(), generation, status));
    });
  }

 private:
  template <class F>
  void post(F&& f) {
    boost::asio::post(io_, [lane = lane_, f = std::forward<F>(f)] {
      if (const auto alive = lane.lock()) f(*alive);
    });
  }
  boost::asio::io_context& io_;
  const std::weak_ptr<Lane> lane_;
};

Lane::Lane(boost::asio::io_context& io, spool::Spool& spool, const spool::LaneState& state,
           codec::RowEncoder encoder, std::shared_ptr<Destination> destination, Log log,
           EncoderSource source)
    : io_(io),
      spool_(spool),
      id_(state.id),
      table_(state.key.table),
      destination_(std::move(destination)),
      log_(std::move(log)),
      session_(destination_->session, destination_->open_rate(table_)),
      session_timer_(io),
      linger_timer_(io),
      turn_timer_(io),
      encoder_source_(std::move(source)),
      unanswered_backoff_(destination_->session.retry.min, destination_->session.retry.max),
      progress_(state.cursor),
      next_(state.cursor + 1),
      committed_(state.next_seq - 1),
      builder_(
          std::move(encoder), destination_->batch,
          spool::Origin{spool.origin_prefix(), spool.epoch()},
          spool::origin_lane(state.id, state.key),
          [this](spool::Seq seq, std::string reason) { refused(seq, std::move(reason)); },
          spool::replay_of(state.key).has_value(), destination_->buffers) {}

Lane::~Lane() {
  while (!tickets_.empty()) give_back(tickets_.begin()->first);
}

zerobus::Moment Lane::moment() {
  return {std::chrono::steady_clock::now(), std::uniform_real_distribution<double>(0, 1)(random_)};
}

void Lane::start() {
  events_ = std::make_shared<Events>(io_, weak_from_this());
  apply(session_.start(moment(), progress_.cursor()));
  if (committed_ >= next_) apply(session_.data_available(moment()));
}

void Lane::committed(spool::Seq up_to) {
  if (up_to <= committed_) return;
  committed_ = up_to;
  if (put_off_) return;
  if (wanted_) {
    fill();
  } else {
    apply(session_.data_available(moment()));
  }
}

void Lane::stop(std::function<void()> done) {
  stopped_ = std::move(done);
  apply(session_.stop(moment()));
}

// Actions are done in order; what they cause (a batch that is ready at once) comes after them,
// never in between.
void Lane::apply(zerobus::Actions actions) {
  for (auto& action : actions) todo_.push_back(std::move(action));
  if (applying_) return;
  applying_ = true;
  while (!todo_.empty()) {
    const auto action = std::move(todo_.front());
    todo_.pop_front();
    std::visit([this](const auto& one) { act(one); }, action);
  }
  applying_ = false;
  tell_use();
}

void Lane::act(const zerobus::WantBatch& action) {
  wanted_ = action.generation;
  put_off_ = false;
  until_ = action.until_seq;
  blocked_.reset();
  builder_.begin(action.max_bytes);
  fill();
}

void Lane::act(const zerobus::Write& action) {
  if (!prepared_ || !stream_) return;
  ++counters_.batches_sent;
  counters_.rows_sent += action.batch.rows;
  stream_->write(action.offset, std::move(prepared_->body));
  prepared_.reset();
}

void Lane::act(const zerobus::TakeBack& action) {
  if (!stream_ || action.generation != stream_generation_) return;
  const size_t taken = stream_->take_back();
  if (taken > 0) apply(session_.taken_back(moment(), action.generation, taken));
}

void Lane::act(const zerobus::HalfClose& action) {
  if (stream_ && action.generation == stream_generation_) stream_->half_close();
}

void Lane::act(const zerobus::Cancel& action) {
  if (token_for_ == action.generation) token_for_.reset();
  if (queued_ == action.generation) {
    queued_.reset();
    turn_timer_.cancel();
  }
  if (stream_ && action.generation == stream_generation_) {
    stream_->cancel();  // its ticket goes back when it has ended
  } else {
    give_back(action.generation);
  }
}

void Lane::act(const zerobus::Release& action) {
  if (progress_.delivered(action.up_to_seq)) spool_.acknowledge(id_, progress_.cursor());
}

void Lane::act(const zerobus::Rewind& action) {
  next_ = std::max<spool::Seq>(action.from_seq, progress_.cursor() + 1);
  wanted_.reset();
  prepared_.reset();
  carried_.reset();
  reader_ = {};
  reading_ = false;
  ++read_;
  blocked_.reset();
  if (recheck_ == Recheck::kRenewing) recheck_ = Recheck::kNone;
  linger_timer_.cancel();
  spool_.rewound(id_, next_);
  if (put_off_) read_next();  // only to learn when it can be
}

void Lane::act(const zerobus::Arm& action) {
  session_timer_.cancel();
  if (action.at == MonoTime::max()) return;
  session_timer_.expires_at(action.at);
  session_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto lane = self.lock();
    if (!error && lane) lane->apply(lane->session_.timer(lane->moment()));
  });
}

// A table with few records closes its stream and opens another all day: only the streams are named.
LogLevel Lane::level_of(zerobus::SessionState state) {
  using State = zerobus::SessionState;
  const bool trouble = zerobus::is_trouble(state);
  const bool was_trouble =
      std::exchange(in_trouble_, trouble || (in_trouble_ && state == State::kConnecting));
  if (trouble) return LogLevel::kWarning;
  const auto now = std::chrono::steady_clock::now();
  if (state == State::kStreaming) {
    if (!was_trouble && now < name_again_) return LogLevel::kDebug;
    name_again_ = now + destination_->name_streams_every;
  }
  const bool has_streamed = name_again_ != MonoTime{};
  const bool routine = state == State::kIdle || state == State::kConnecting;
  return routine && has_streamed && !was_trouble ? LogLevel::kDebug : LogLevel::kInfo;
}

void Lane::act(const zerobus::Report& action) {
  // A lane begins idle, whatever waits in the spool; that is nothing to tell.
  const bool begins = !std::exchange(has_reported_, true);
  if (begins && action.state == zerobus::SessionState::kIdle) return;
  const auto text = with_table_trouble(action.state, action.text);
  log_.write(level_of(action.state),
             fmt::format("{}{}{}", to_string(action.state), text.empty() ? "" : ": ", text));
}

void Lane::act(const zerobus::Rejected& action) {
  log_.warning("the service {} among records {} to {}, looking for the one: {}",
               action.status.unread ? "may have refused data" : "refused data", action.first_seq,
               action.last_seq, zerobus::describe(action.status, zerobus::StreamPhase::kOpen));
}

void Lane::act(const zerobus::Poison& action) {
  ++counters_.poison_records;
  auto reason = "refused by the service: " + zerobus::code_name(action.status.code) + ": " +
                zerobus::printable(action.status.message);
  log_.error("record {} goes to quarantine, {}", action.seq, reason);
  spool_.quarantine(id_, action.seq,
                    codec::with_schema_version(std::move(reason), builder_.descriptor()));
  // All before it has its fate, so the cursor may pass it at once.
  if (progress_.delivered(action.seq)) spool_.acknowledge(id_, progress_.cursor());
}

void Lane::act(const zerobus::DropToken&) { token_refused_ = true; }

void Lane::act(const zerobus::Stopped&) {
  session_timer_.cancel();
  linger_timer_.cancel();
  wanted_.reset();
  put_off_ = false;
  token_for_.reset();
  if (stopped_) std::exchange(stopped_, nullptr)();
}

// Encodes records until the wanted batch is full or there is nothing more to encode now.
void Lane::fill() {
  if (recheck_ == Recheck::kAsking && std::chrono::steady_clock::now() >= recheck_after_)
    recheck_ = Recheck::kNone;  // there will be no answer
  while (wanted_ && recheck_ == Recheck::kNone && !builder_.full() && next_ <= until_) {
    if (add_from_reader()) continue;
    if (builder_.full() || blocked_ || recheck_ != Recheck::kNone) break;
    if (next_ <= committed_) {
      read_next();
      return;
    }
    break;
  }
  if (wanted_) hand_over();
}

bool Lane::add_from_reader() {
  auto record = carried_ ? std::exchange(carried_, std::nullopt) : reader_.next();
  if (!record) return false;
  if (progress_.decided(record->seq)) {  // and yet in its segment: it may fit by now
    next_ = record->seq + 1;
    return true;
  }
  const auto now = builder_.empty() ? std::chrono::steady_clock::now() : MonoTime();
  const auto added = builder_.add(*record, now);
  if (added == BatchBuilder::Added::kNoRoom || blocked_ || recheck_ != Recheck::kNone) {
    carried_ = record;
    return false;
  }
  if (added == BatchBuilder::Added::kTaken) {
    if (record->seq > last_refused_) refused_in_a_row_ = 0;  // else it is encoded once more
    if (rechecked_ == record->seq) recheck_after_ = {};      // the table had changed, and may again
  }
  next_ = record->seq + 1;
  return true;
}

void Lane::read_next() {
  if (reading_) return;
  reading_ = true;
  spool_.read(
      id_, next_,
      [&io = io_, self = weak_from_this(), read = ++read_](Result<spool::SegmentPtr> segment) {
        boost::asio::post(io, [self, read, segment = std::move(segment)]() mutable {
          if (const auto lane = self.lock()) lane->on_segment(read, std::move(segment));
        });
      });
}

void Lane::on_segment(uint64_t read, Result<spool::SegmentPtr> segment) {
  if (read != read_ || !reading_) return;  // a Rewind came in between
  reading_ = false;
  const bool fails = !segment && segment.error().kind != ErrorKind::kCorrupt;
  if (put_off_ && !fails) return readable();
  if (!segment && segment.error().kind == ErrorKind::kCorrupt) {
    const auto range = spool_.segment_range(id_, next_);
    if (range.last >= next_) return give_up(next_, range.last, segment.error().what);
  }
  if (segment && !*segment && passed(next_, committed_)) return;
  if (!segment || !*segment) {
    wait_for_spool(segment ? std::string("they are committed but not there")
                           : segment.error().what);
    return;
  }
  const auto found = *std::move(segment);
  if (std::exchange(spool_trouble_, false)) log_.info("records can be read from the spool again");
  if (found->first() > next_ && passed(next_, found->first() - 1)) return;
  if (found->first() > next_) return give_up(next_, found->first() - 1, "missing in the spool");
  for (const auto& part : spool_.decided_parts(id_, {next_, found->last()}))
    settled(part.first, part.last);
  reader_ = SegmentReader(found, next_);
  if (wanted_) fill();
}

// True when the spool has dropped or refused all of these meanwhile: the lane goes on behind them.
bool Lane::passed(spool::Seq first, spool::Seq last) {
  if (!spool_.decided(id_, {first, last})) return false;
  settled(first, last);
  next_ = last + 1;
  if (wanted_) fill();
  return true;
}

// Records whose bytes are lost. They are counted as damaged, and the lane goes on behind them.
void Lane::give_up(spool::Seq first, spool::Seq last, const std::string& why) {
  log_.error("records {} to {} are lost and counted as damaged: {}", first, last, why);
  spool_.damaged(id_, first, last, why);
  settled(first, last);
  next_ = last + 1;
  if (wanted_) fill();
}

// What cannot be read now is never given up silently: the lane asks again, and says so once.
void Lane::wait_for_spool(const std::string& why) {
  if (!spool_trouble_)
    log_.error("records from {} on cannot be read from the spool: {}; trying again", next_, why);
  spool_trouble_ = true;
  linger_until(std::chrono::steady_clock::now() + kReadRetry);
  give_way();
}

void Lane::hand_over(bool at_once) {
  const auto now = std::chrono::steady_clock::now();
  if (builder_.empty() && blocked_) return hold_blocked();
  if (builder_.empty() && recheck_ != Recheck::kNone) return linger_until(recheck_after_);
  if (builder_.empty()) {
    const auto generation = *std::exchange(wanted_, std::nullopt);
    apply(session_.no_data(moment(), generation));
    return;
  }
  // What a bound or a hold cuts short has nothing to wait for.
  const bool complete =
      at_once || builder_.full() || next_ > until_ || blocked_ || recheck_ != Recheck::kNone;
  const auto earliest = std::max(pace_until_, complete ? now : builder_.due());
  if (earliest > now) {
    linger_until(earliest);
    return;
  }
  linger_timer_.cancel();
  prepared_ = builder_.take();
  if (destination_->max_rows_per_s) {
    pace_until_ = now + std::chrono::microseconds(uint64_t{1'000'000} * prepared_->info.rows /
                                                  destination_->max_rows_per_s);
  }
  const auto generation = *std::exchange(wanted_, std::nullopt);
  apply(session_.batch_ready(moment(), generation, prepared_->info));
}

void Lane::linger_until(MonoTime at) {
  linger_timer_.expires_at(at);
  linger_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto lane = self.lock();
    if (!error && lane) lane->lingered();
  });
}

void Lane::lingered() {
  if (put_off_) return read_next();
  give_way();
  if (wanted_) fill();
}

void Lane::settled(spool::Seq first, spool::Seq last) {
  if (progress_.settled(first, last)) spool_.acknowledge(id_, progress_.cursor());
}

}  // namespace penstock::lane
