// Intake: routes records, numbers them and queues them for the spool, in one critical section.
//
// Owner: the composition; sources are added before the plugins start, then emit is called from
// plugin threads. Routing and encoding happen in the caller's thread outside the lock; acceptance,
// lane, sequence and enqueue inside, so a record that was refused never used a number and the queue
// order is the order of sequence numbers.
//
// Refused before commit (counted, P2's second ledger): what the queue could not hold, records of a
// lane over its share whose route says drop_newest, and unrouted ones where the configuration says
// drop. A lane over its share whose route says block answers FULL to the sources that feed it, and
// to no others. Taken but put
// straight into the quarantine of the `_unrouted` lane with a reason: no route, an illegal table
// name, a route with too many tables, a record above the size limit (its head only), what an
// input sets aside.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/expression.h"
#include "agent/base/log.h"
#include "agent/base/wall_clock.h"
#include "agent/intake/sink.h"
#include "agent/route/router.h"
#include "agent/spool/spool.h"

namespace penstock::intake {

struct Limits {
  uint64_t max_emit_bytes = 12 << 20;
  size_t max_record_bytes =
      10 << 20;  // payload + topic + attributes; above: quarantined by its head
  size_t oversize_head_bytes = 4096;  // of the payload, kept in the quarantine
  Millis commit_interval{50};
  bool drop_unrouted = false;  // instead of quarantining them
};

struct SourceSpec {
  std::string id;
  Expression topic;  // for records without a topic: literals, ${attr.x}, ${source}
};

struct Counters {
  uint64_t accepted = 0;          // numbered and queued, the quarantined ones included
  uint64_t unrouted = 0;          // quarantined at once: no route or no legal table
  uint64_t oversize = 0;          // quarantined at once: head of a record above the limit
  uint64_t set_aside = 0;         // quarantined at once: the input said so
  uint64_t refused_full = 0;      // emit calls answered kFull
  uint64_t dropped_newest = 0;    // records turned away by drop_newest
  uint64_t dropped_unrouted = 0;  // records turned away by `unrouted: drop`
};

class Intake final : public Sink {
 public:
  // `spool` and what the Router refers to must outlive this. `commit_within` by route index.
  Intake(spool::Spool& spool, route::Router router,
         std::vector<std::optional<Millis>> commit_within, Limits limits, Log log,
         ClockTrust::Ask clock_is_set = wall_clock_is_set);

  // Before the first emit only.
  spool::SourceId add_source(SourceSpec source);

  EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                  uint64_t& last_seq) override;
  EmitStatus set_aside(spool::SourceId source, const RecordView& record, std::string_view reason,
                       uint64_t& last_seq) override;
  void flush_hint() override { spool_.flush_hint(); }
  uint64_t max_emit_bytes() const override { return limits_.max_emit_bytes; }

  // From here on emit answers kClosed. Any thread.
  void close();
  Counters counters() const;

 private:
  struct Source {
    SourceSpec spec;
    uint64_t next_seq = 1;
    bool held = false;  // a lane's share holds it; said in the log
    bool is_unrouted_said = false;
  };
  struct Lane {
    spool::LaneId id = 0;
    spool::Seq next_seq = 1;
  };
  // Records that follow each other to the same place.
  struct Run {
    const route::RouteSpec* route = nullptr;  // null: the unrouted lane
    std::string table;
    Millis commit_within{};
    size_t count = 0;
    bool oversize = false;
    bool set_aside = false;
  };
  // The records of a call, routed and encoded, that have no lane and number yet.
  struct Prepared {
    std::vector<spool::Pending> records;
    std::vector<Run> runs;
    std::optional<RecordView> last;  // as given, if the last run is where its like go
    std::string topic;               // of the last one whose topic was expanded
  };
  // What one call comes to, under the lock.
  struct Call {
    std::vector<std::pair<spool::LaneId, size_t>> used;  // to give the numbers back
    std::map<spool::LaneId, uint64_t> turned_away;
    uint64_t unrouted = 0;
    bool says_unrouted = false;
    std::string first_unrouted;  // its topic and what is wrong with it, if that is to be said
    std::optional<spool::LaneId> blocked;
  };

  Source* find_source(spool::SourceId id);
  EmitStatus admit(spool::SourceId source_id, Prepared prepared, uint64_t& last_seq);
  RecordView complete(const Source& source, RecordView record, const Now& now);
  RecordView head_of(RecordView record) const;
  void prepare(const Source& source, const RecordView& given, const Now& now, Prepared& prepared);
  static spool::Pending pending(const RecordView& record, Millis commit_within);
  Run& refuse(const RecordView& record, std::string reason, Prepared& prepared) const;
  std::optional<spool::LaneId> assign_lane(const Run& run, std::span<spool::Pending> records);
  bool take(const Run& run, std::span<spool::Pending> records, Call& call);
  std::vector<spool::Pending> take_all(Prepared& prepared, Call& call);
  void give_back(const Call& call);
  void count(const Call& call, const std::vector<Run>& runs);
  void say_held(Source& source, const Call& call);
  void say_unrouted(Source& source, const Call& call);
  Lane* find_lane(const route::RouteSpec& route, const std::string& table);
  Lane& lane_of(spool::LaneId id);

  spool::Spool& spool_;
  const route::Router router_;
  const std::vector<std::optional<Millis>> commit_within_;
  const Limits limits_;
  const Log log_;
  ClockTrust clock_;

  mutable std::mutex mutex_;  // guards all below; the spool's own lock is taken inside it
  bool closed_ = false;
  std::deque<Source> sources_;
  std::map<spool::LaneId, Lane> lanes_;
  std::map<spool::LaneKey, spool::LaneId> lane_ids_;
  std::unordered_map<std::string, size_t> tables_of_route_;
  Counters counters_;
};

}  // namespace penstock::intake
