// Lane: carries the records of one (route, table) from the spool to its table. The driver around
// StreamSession.
//
// Owner: LaneSet. Everything runs on the agent thread (the io_context's); events of gRPC and of the
// spool are posted to it. The session decides; this class reads segments, has them encoded, writes
// batches, keeps the timer and tells the spool which records have their fate.
//
// Promise: acknowledge(seq) is called only when every record up to seq was acknowledged by the
// server on the stream that carried it, or is in the quarantine. After a lost stream, sending goes
// on at the first record without a fate.
//
// A record that cannot be encoded, or that the service refuses alone, goes to the quarantine with
// the reason and the lane goes on behind it. Before that the table is asked for anew, where it can
// be asked: at most once a minute for records that do not fit it, which wait for the answer; and
// for one that the service refuses until there is an answer. A record that does not fit while the
// workspace gives no answer holds the lane, which asks again with backoff; once there has been none
// for Destination::table_patience, such records are judged by the table as it was known last, until
// there is one. A payload that cannot be read is no question to the table. More than
// SessionConfig::poison_limit of them in a row are not quarantined but held: then it is the schema
// or the mapping. In a row means without a record in between that could be encoded, counting also
// those the service refused since its last acknowledgement. A held lane tries again every
// RetryConfig::held.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "agent/base/backoff.h"
#include "agent/base/log.h"
#include "agent/lane/batch_builder.h"
#include "agent/lane/destination.h"
#include "agent/lane/progress.h"
#include "agent/spool/spool.h"
#include "agent/zerobus/session.h"

namespace penstock::lane {

struct LaneCounters {
  uint64_t rows_sent = 0;  // also those sent again
  uint64_t batches_sent = 0;
  uint64_t refused_records = 0;  // quarantined because they could not be encoded
  uint64_t poison_records = 0;   // quarantined because the service refused them
  uint64_t streams_opened = 0;
};

// What the rows of a lane are made by.
struct TableRows {
  codec::RowEncoder encoder;
  bool current = true;       // the table was asked for just now, and this is the answer
  std::string unanswered{};  // it was, and there is none: why
};

// For a lane whose table has to be asked about, asked for before every stream. `fresh`: what is
// known of the table may be out of date, because the service or the encoder refused something, the
// service rotated the stream, or the last call gave no rows. `done` is called once, at once or
// later, on any thread, and when it takes longer than a stream has to open, for nothing.
using EncoderSource = std::function<void(bool fresh, std::function<void(Result<TableRows>)> done)>;

class Lane : public std::enable_shared_from_this<Lane> {
 public:
  // With `source`, `encoder` is never used.
  Lane(boost::asio::io_context& io, spool::Spool& spool, const spool::LaneState& state,
       codec::RowEncoder encoder, std::shared_ptr<Destination> destination, Log log,
       EncoderSource source = {});
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void start();
  // The spool can be read up to `up_to`.
  void committed(spool::Seq up_to);
  // Half-closes and takes late acknowledgements; `done` is called once, at the latest after the
  // session's drain time.
  void stop(std::function<void()> done);

  spool::LaneId id() const { return id_; }
  // Its text names what the workspace answered when a record waits for what it has to say.
  zerobus::SessionSnapshot snapshot() const;
  const LaneCounters& counters() const { return counters_; }
  // Every record up to here has its fate.
  spool::Seq cursor() const { return progress_.cursor(); }

 private:
  class Events;  // posts transport events to the agent thread

  zerobus::Moment moment();
  void apply(zerobus::Actions actions);
  void act(const zerobus::Open& action);
  void act(const zerobus::WantBatch& action);
  void act(const zerobus::Write& action);
  void act(const zerobus::TakeBack& action);
  void act(const zerobus::HalfClose& action);
  void act(const zerobus::Cancel& action);
  void act(const zerobus::Release& action);
  void act(const zerobus::Rewind& action);
  void act(const zerobus::Arm& action);
  LogLevel level_of(zerobus::SessionState state);
  void act(const zerobus::Report& action);
  void act(const zerobus::Rejected& action);
  void act(const zerobus::Poison& action);
  void act(const zerobus::DropToken& action);
  void act(const zerobus::Stopped& action);

  void open_stream(uint64_t generation);
  void look_for_turn();
  void on_turn(uint64_t generation);
  void on_called_back(uint64_t generation);
  void give_way();
  void put_off();
  void readable();
  void tell_use();
  void give_back(uint64_t generation);
  void on_token(uint64_t generation, Result<std::string> token);
  void on_rows(uint64_t generation, Result<TableRows> rows);
  void heard_of_table(const TableRows& rows);
  std::string with_table_trouble(zerobus::SessionState state, std::string text) const;
  bool recheck(spool::Seq seq, const std::string& why);
  bool wait_for_workspace(spool::Seq seq, const std::string& why);
  void on_recheck(uint64_t number, Result<TableRows> rows);
  void name_stream(const std::string& id);
  void ask_token(uint64_t generation);
  void fill();
  bool add_from_reader();
  void read_next();
  void on_segment(uint64_t read, Result<spool::SegmentPtr> segment);
  bool passed(spool::Seq first, spool::Seq last);
  void give_up(spool::Seq first, spool::Seq last, const std::string& why);
  void wait_for_spool(const std::string& why);
  void hand_over(bool at_once = false);
  void linger_until(MonoTime at);
  void lingered();
  void refused(spool::Seq seq, std::string reason);
  void hold_blocked();
  void settled(spool::Seq first, spool::Seq last);

  boost::asio::io_context& io_;
  spool::Spool& spool_;
  const spool::LaneId id_;
  const std::string table_;
  const std::shared_ptr<Destination> destination_;
  const Log log_;
  std::mt19937_64 random_{std::random_device{}()};

  zerobus::StreamSession session_;
  boost::asio::steady_timer session_timer_;
  boost::asio::steady_timer linger_timer_;
  boost::asio::steady_timer turn_timer_;
  std::shared_ptr<zerobus::StreamEvents> events_;
  std::shared_ptr<zerobus::Stream> stream_;
  uint64_t stream_generation_ = 0;
  std::map<uint64_t, StreamTurns::Ticket> tickets_;  // by generation, until that stream has ended
  std::optional<uint64_t> queued_;                   // generation that waits for its turn
  std::optional<uint64_t> token_for_;  // generation whose encoder and token are awaited
  const EncoderSource encoder_source_;
  bool table_suspect_ = false;  // something was refused since the table last described itself
  std::string table_trouble_;   // why it has not, as far as it was asked
  bool look_again_ = false;     // the next stream is a new look at the table
  // A record does not fit the table as it is known: what is encoded waits for the table to be asked
  // for, and then, if rows get another form, for the end of the stream.
  enum class Recheck { kNone, kAsking, kRenewing };
  Recheck recheck_ = Recheck::kNone;
  uint64_t recheck_number_ = 0;          // older answers are ignored
  std::optional<spool::Seq> rechecked_;  // the record the table was last asked for
  MonoTime recheck_after_{};             // not again before
  // Since when a record has waited for a workspace that does not answer, and how often it is asked.
  std::optional<MonoTime> unanswered_since_;
  Backoff unanswered_backoff_;
  bool token_refused_ = false;
  bool applying_ = false;
  std::deque<zerobus::Action> todo_;

  Progress progress_;
  spool::Seq next_;       // of the next record to encode
  spool::Seq committed_;  // the newest the spool has
  SegmentReader reader_;
  std::optional<StoredRecord> carried_;  // did not fit into the last batch
  uint64_t read_ = 0;                    // number of the read under way; older answers are ignored
  bool reading_ = false;
  bool spool_trouble_ = false;
  std::optional<uint64_t> wanted_;                  // generation of the unanswered WantBatch
  spool::Seq until_ = zerobus::Bisector::kNoBound;  // the bound that came with it
  int refused_in_a_row_ = 0;  // quarantined here since a record behind them could be encoded
  spool::Seq last_refused_ = 0;
  // Why the record at next_ is kept, and when it is tried again.
  struct Block {
    std::string why;
    Millis again;
  };
  std::optional<Block> blocked_;
  BatchBuilder builder_;
  std::optional<Batch> prepared_;
  MonoTime pace_until_{};
  MonoTime name_again_{};  // a stream, in the log
  bool has_reported_ = false;
  bool in_trouble_ = false;  // so the log says
  bool takes_turns_ = false;
  bool called_back_ = false;  // others wait for the stream
  bool put_off_ = false;      // the session does not ask for batches until what is next can be read

  LaneCounters counters_;
  std::function<void()> stopped_;
};

}  // namespace penstock::lane
