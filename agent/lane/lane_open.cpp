// How a lane gets a stream: its turn, what its table looks like, an access token; and what it does
// when a record does not fit the table as it is known.
#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

#include "agent/codec/schema_version.h"
#include "agent/lane/lane.h"

namespace penstock::lane {
namespace {

constexpr std::chrono::minutes kRecheckEvery{1};
constexpr Millis kLeastLook{10};    // for a turn
constexpr Millis kLookAgain{1000};  // whether the read of a stream that is called back is held

}  // namespace

void Lane::act(const zerobus::Open& action) {
  stream_.reset();
  called_back_ = false;
  stream_generation_ = action.generation;
  if (!destination_->turns) return open_stream(action.generation);
  const auto post = [this](auto what) {
    return [&io = io_, self = weak_from_this(), what] {
      boost::asio::post(io, [self, what] {
        if (const auto lane = self.lock()) what(*lane);
      });
    };
  };
  auto& turns = *destination_->turns;
  const auto generation = action.generation;
  const auto ticket =
      turns.ask({post([generation](Lane& lane) { lane.on_turn(generation); }),
                 post([generation](Lane& lane) { lane.on_called_back(generation); })},
                std::chrono::steady_clock::now());
  tickets_[generation] = ticket;
  if (turns.has(ticket)) return open_stream(generation);
  queued_ = generation;
  takes_turns_ = true;
  apply(session_.queued(moment(), generation));
  look_for_turn();
}

// Once a turn, while it waits.
void Lane::look_for_turn() {
  if (!queued_) return;
  turn_timer_.expires_after(std::max(destination_->turns->turn(), kLeastLook));
  turn_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto lane = self.lock();
    if (error || !lane || !lane->queued_) return;
    lane->destination_->turns->look(std::chrono::steady_clock::now());
    lane->look_for_turn();
  });
}

void Lane::on_turn(uint64_t generation) {
  if (queued_ != generation) return;  // it is not wanted any more, and was given back
  queued_.reset();
  turn_timer_.cancel();
  apply(session_.turn(moment(), generation));
  open_stream(generation);
}

// What is encoded goes first, without its linger: else a turn shorter than that would be for
// nothing, each time.
void Lane::on_called_back(uint64_t generation) {
  if (generation != stream_generation_) return;
  takes_turns_ = called_back_ = true;
  if (wanted_ && !builder_.empty()) hand_over(true);
  apply(session_.leave(moment()));
  give_way();
}

// A stream that others wait for is not kept for a batch that something else is in the way of. A
// read that is only slow comes, and would be made in vain again and again if it were not waited
// for; but it may yet be held.
void Lane::give_way() {
  if (!called_back_ || !wanted_) return;
  if (!builder_.empty()) return hand_over(true);
  // The next stream begins with what the table is being asked for.
  if (recheck_ == Recheck::kAsking) return apply(session_.renew(moment()));
  if (reading_ ? spool_.holds(id_) : spool_trouble_) return put_off();
  if (reading_) linger_until(std::chrono::steady_clock::now() + kLookAgain);
}

// Until it can be read. To ask for another stream before would only keep others waiting.
void Lane::put_off() {
  put_off_ = true;
  apply(session_.not_now(moment(), *std::exchange(wanted_, std::nullopt)));
}

void Lane::readable() {
  put_off_ = false;
  spool_.rewound(id_, next_);  // what was read is not sent: it is read again when it is
  apply(session_.data_available(moment()));
}

// What the turns are decided by.
void Lane::tell_use() {
  if (tickets_.empty() || !session_.open()) return;
  const auto ticket = tickets_.find(stream_generation_);
  if (ticket == tickets_.end()) return;
  const auto now = std::chrono::steady_clock::now();
  destination_->turns->opened(ticket->second, now);
  destination_->turns->used(ticket->second, session_.at_rest(), now);
}

void Lane::give_back(uint64_t generation) {
  const auto found = tickets_.find(generation);
  if (found == tickets_.end()) return;
  const auto ticket = found->second;
  tickets_.erase(found);
  destination_->turns->give_back(ticket, std::chrono::steady_clock::now());
}

void Lane::open_stream(uint64_t generation) {
  ++counters_.streams_opened;
  token_for_ = generation;
  if (!encoder_source_) return ask_token(generation);
  session_.opening(generation, zerobus::OpenStep::kSchema);
  const bool fresh = std::exchange(look_again_, false) || table_suspect_;
  encoder_source_(fresh, [&io = io_, self = weak_from_this(), generation](Result<TableRows> rows) {
    boost::asio::post(io, [self, generation, rows = std::move(rows)]() mutable {
      if (const auto lane = self.lock()) lane->on_rows(generation, std::move(rows));
    });
  });
}

void Lane::on_rows(uint64_t generation, Result<TableRows> rows) {
  if (token_for_ != generation) return;  // cancelled, or there is a newer attempt
  if (!rows) {
    token_for_.reset();
    // The columns may not fit the table because that is known as it was.
    const ErrorKind kind = rows.error().kind;
    look_again_ = kind == ErrorKind::kDenied || kind == ErrorKind::kRejected;
    give_back(generation);
    apply(session_.open_failed(moment(), generation, rows.error()));
    return;
  }
  heard_of_table(*rows);
  session_.doubt_schema(table_suspect_);
  recheck_ = Recheck::kNone;  // this is what it would bring
  ++recheck_number_;
  const auto version = codec::schema_version(rows->encoder.descriptor());
  if (version != codec::schema_version(builder_.descriptor()))
    log_.info("rows are made for schema {}", version.empty() ? "JSON" : version);
  builder_.use(std::move(rows->encoder));
  ask_token(generation);
}

void Lane::heard_of_table(const TableRows& rows) {
  if (!rows.unanswered.empty()) table_trouble_ = rows.unanswered;
  if (!rows.current) return;
  table_suspect_ = false;
  table_trouble_.clear();
  unanswered_since_.reset();
  unanswered_backoff_.reset();
}

// A person has to know which of the two is in the way, and what to do about it.
std::string Lane::with_table_trouble(zerobus::SessionState state, std::string text) const {
  if (!table_suspect_ || table_trouble_.empty() || !zerobus::is_trouble(state)) return text;
  return std::move(text) + " Asked what the table is like now: " + table_trouble_;
}

zerobus::SessionSnapshot Lane::snapshot() const {
  auto now = session_.snapshot();
  now.text = with_table_trouble(now.state, std::move(now.text));
  return now;
}

// A record that does not fit the table as it is known: the table may have got a column since. True
// when it has to wait, for the answer or for a workspace that gives none. Refused again after an
// answer, or within a minute of one, there is no more to wait for.
bool Lane::recheck(spool::Seq seq, const std::string& why) {
  if (!encoder_source_ || builder_.hopeless()) return false;
  const auto now = std::chrono::steady_clock::now();
  if (rechecked_ == seq || now < recheck_after_)
    return table_suspect_ && wait_for_workspace(seq, why);
  log_.info("record {} does not fit the table, asking whether that has changed: {}", seq, why);
  recheck_ = Recheck::kAsking;
  rechecked_ = seq;
  recheck_after_ = now + kRecheckEvery;
  table_suspect_ = true;
  encoder_source_(true, [&io = io_, self = weak_from_this(),
                         number = ++recheck_number_](Result<TableRows> rows) {
    boost::asio::post(io, [self, number, rows = std::move(rows)]() mutable {
      if (const auto lane = self.lock()) lane->on_recheck(number, std::move(rows));
    });
  });
  return true;
}

// The patience is with the outage, not with each record: one bad record a day must not keep a table
// from its data while the workspace alone is away.
bool Lane::wait_for_workspace(spool::Seq seq, const std::string& why) {
  const auto at = moment();
  if (!unanswered_since_) unanswered_since_ = at.now;
  const auto patience = destination_->table_patience;
  if (at.now - *unanswered_since_ >= patience) return false;
  blocked_ = Block{
      fmt::format("record {} does not fit the table as it was known last, and the workspace "
                  "(workspace_url) does not say whether that has changed: {}. It is asked again; "
                  "until it answers, but for {} s at most, this record and those behind it wait.",
                  seq, why, std::chrono::ceil<std::chrono::seconds>(patience).count()),
      unanswered_backoff_.next(at.random)};
  return true;
}

void Lane::on_recheck(uint64_t number, Result<TableRows> rows) {
  if (number != recheck_number_ || recheck_ != Recheck::kAsking) return;
  recheck_ = Recheck::kNone;
  if (rows) heard_of_table(*rows);
  if (rows && rows->encoder.descriptor() == builder_.descriptor()) {
    builder_.use(std::move(rows->encoder));
  } else if (rows) {
    // Rows of another form need another stream, which asks for what they are made by itself.
    recheck_ = Recheck::kRenewing;
    return apply(session_.renew(moment()));
  }
  if (wanted_) fill();
}

// What the service's support asks for. Streams that take turns would fill the log.
void Lane::name_stream(const std::string& id) {
  const auto now = std::chrono::steady_clock::now();
  const bool said = takes_turns_ || now < name_again_;
  log_.write(said ? LogLevel::kDebug : LogLevel::kInfo,
             fmt::format("stream {} is open", zerobus::printable(id)));
  if (!said) name_again_ = now + destination_->name_streams_every;
}

void Lane::ask_token(uint64_t generation) {
  session_.opening(generation, zerobus::OpenStep::kToken);
  destination_->bearer(table_, std::exchange(token_refused_, false),
                       [&io = io_, self = weak_from_this(), generation](Result<std::string> token) {
                         boost::asio::post(io,
                                           [self, generation, token = std::move(token)]() mutable {
                                             if (const auto lane = self.lock())
                                               lane->on_token(generation, std::move(token));
                                           });
                       });
}

void Lane::on_token(uint64_t generation, Result<std::string> token) {
  if (token_for_ != generation) return;  // cancelled, or there is a newer attempt
  token_for_.reset();
  if (!token) {
    give_back(generation);
    apply(session_.open_failed(moment(), generation, token.error()));
    return;
  }
  session_.opening(generation, zerobus::OpenStep::kService);
  zerobus::StreamOpen open;
  open.generation = generation;
  open.table = table_;
  open.descriptor = builder_.descriptor();
  open.encoding = open.descriptor.empty() ? zerobus::Encoding::kJson : zerobus::Encoding::kProto;
  open.bearer = *std::move(token);
  auto stream = destination_->transport->open(std::move(open), events_);
  if (!stream) {
    give_back(generation);
    // The token may hold what no header can carry: it is read again, as one the service refuses.
    token_refused_ = stream.error().kind == ErrorKind::kDenied;
    apply(session_.open_failed(moment(), generation, stream.error()));
    return;
  }
  stream_ = *std::move(stream);
}

void Lane::refused(spool::Seq seq, std::string reason) {
  if (recheck(seq, reason)) return;
  const int in_a_row = refused_in_a_row_ + session_.snapshot().poison_in_a_row;
  if (in_a_row >= destination_->session.poison_limit) {
    blocked_ = Block{
        fmt::format("record {} is refused like the {} before it, which are in the quarantine: {}. "
                    "That is the route's mapping, not the data: correct it. Nothing is lost: data "
                    "is kept and tried again from time to time.",
                    seq, destination_->session.poison_limit, reason),
        destination_->session.retry.held};
    return;
  }
  ++refused_in_a_row_;
  last_refused_ = std::max(last_refused_, seq);
  if (counters_.refused_records++ == 0) {
    log_.warning(
        "record {} goes to quarantine: {} (said once; further ones are counted every minute)", seq,
        reason);
  }
  if (encoder_source_ && table_suspect_ && !builder_.hopeless())
    reason += " (by the table as it was known last: the workspace did not answer)";
  spool_.quarantine(id_, seq, codec::with_schema_version(std::move(reason), builder_.descriptor()));
  settled(seq, seq);
}

// Everything that could be encoded before the blocked record is on its way or acknowledged.
void Lane::hold_blocked() {
  wanted_.reset();
  carried_.reset();
  apply(session_.hold(moment(), blocked_->why, blocked_->again));
}

}  // namespace penstock::lane
