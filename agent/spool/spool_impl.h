// The spool itself: one lock, one thread, one generation that is written to.
//
// Everything in memory (queue, ledger, index, tail, flags) is guarded by `mutex_`, which is never
// held over I/O or a callback. The spool thread alone uses the store and the codec, pops the queue
// and takes entries out of the index (damaged() does too, but only entries ahead of the cursor,
// which the thread does not touch).
//   spool.cpp         open, and what callers do
//   spool_thread.cpp  the loop: when to commit, when to read, when to end
//   spool_commit.cpp  one commit from plan to callbacks
//   spool_read.cpp    segments back to the lanes
//   spool_index.cpp   what of the index is in memory, what in rows
//   spool_roll.cpp    on to the next file when one fails, and what becomes of the old ones
//   spool_kept.cpp    old ones that a person may still get something from
//   spool_retention.cpp  shares, overflow, the quarantine's quota
//   spool_age.cpp     max_age
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/spool/batch.h"
#include "agent/spool/commit_policy.h"
#include "agent/spool/commit_queue.h"
#include "agent/spool/generation.h"
#include "agent/spool/identity.h"
#include "agent/spool/lanes_file.h"
#include "agent/spool/ledger.h"
#include "agent/spool/lock_file.h"
#include "agent/spool/recovery.h"
#include "agent/spool/segment_format.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sizing.h"
#include "agent/spool/spool.h"
#include "agent/spool/tail.h"

namespace penstock::spool {

class SpoolImpl final : public Spool {
 public:
  SpoolImpl(const Options& options, Log log, LockFile lock, Surroundings where, Recovered found);
  ~SpoolImpl() override;

  const std::string& origin_prefix() const override { return current_origin_.load()->prefix; }
  const std::string& epoch() const override { return current_origin_.load()->epoch; }
  void start(Listener& listener) override;
  LaneId lane(const LaneKey& key) override;
  std::vector<LaneState> lanes() const override;
  LaneState state(LaneId lane) const override;
  Enqueue enqueue(std::vector<Pending>&& records) override;
  size_t room() const override;
  void flush_hint() override;
  void read(LaneId lane, Seq from, ReadCallback done) override;
  bool holds(LaneId lane) const override;
  void acknowledge(LaneId lane, Seq up_to) override;
  void quarantine(LaneId lane, Seq seq, std::string reason) override;
  SeqRange segment_range(LaneId lane, Seq from) const override;
  void damaged(LaneId lane, Seq first, Seq last, std::string reason) override;
  Counters counters() const override;
  std::optional<MonoTime> busy_since() const override;
  Admission admit(LaneId lane) override;
  void turned_away(LaneId lane, uint64_t count) override;
  void rewound(LaneId lane, Seq from) override;
  bool decided(LaneId lane, SeqRange range) const override;
  std::vector<SeqRange> decided_parts(LaneId lane, SeqRange range) const override;
  Result<void> flush() override;
  void stop() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct ReadRequest {
    LaneId lane;
    Seq from;
    ReadCallback done;
    MonoTime asked_at;  // by options_.mono
  };
  // The first and last read error of one segment in a row, by options_.clock since boot.
  struct Unread {
    int64_t first_us;
    int64_t last_us;
  };
  // What is known of a lane besides its ledger.
  struct Guard {
    LanePolicy policy;
    uint64_t share_bytes = UINT64_MAX;
    Seq sending = 0;      // up to here records may be on their way
    Seq ageless = 0;      // up to here segments do not expire
    bool waits = false;   // a source was answered kBlock
    bool over = false;    // the policy is at work; said in the log
    int64_t head_id = 0;  // of the segment whose age was asked for last
    int64_t head_us = 0;  // its newest record
  };
  // Dropped, out of the index, to be removed in the transaction that carries its fate.
  struct Doomed {
    LaneId lane;
    IndexEntry entry;
  };
  // A record that goes into the quarantine, read back; empty: it is damaged.
  struct Fetched {
    uint32_t epoch;
    std::string body;
  };
  // One attempt to write: what goes into the transaction and what is to be noted once it is on
  // disk.
  struct Plan {
    Transaction transaction;
    std::vector<PendingQuarantine> quarantine;
    std::vector<std::pair<LaneId, Seq>> trims;  // segments let go, by their first record
    std::set<LaneId> unfinished;                // lanes with more to trim
    uint64_t freed_bytes = 0;
    std::vector<SegmentIndex::Stretch> stretches;  // that go into rows of the index
    size_t fates = 0;
    size_t doomed = 0;
    bool acks = true;     // with the cursors of all lanes
    bool fitted = false;  // by our own count
    MonoTime at;
  };

  enum class Step {
    kNone,
    kEvacuate,
    kCarryOver,
    kExamine,
    kRemove
  };  // what an older generation needs
  // A part of the quarantine and the fates of an older generation, and how far it goes.
  struct Carried {
    Transaction transaction;
    int64_t quarantine_up_to = 0;
    int64_t fates_up_to = 0;
    bool is_last = false;
  };
  // Segments of an older generation on their way into the active one, and where they are then.
  struct Moved {
    Transaction transaction;
    std::vector<std::pair<LaneId, IndexEntry>> entries;
  };

  // With mutex_ held.
  bool in_order(const std::vector<Pending>& records) const;
  void limit_sizes(std::vector<Pending>& records) const;
  void note_unwritten();
  void set_kept(Generation& older, const Error* why);
  uint64_t bytes_of_others() const;
  CommitView view() const;
  Step next_step(const Generation& older, bool is_short) const;
  std::optional<MonoTime> chores_at() const;
  Millis lanes_due_in() const;
  void settle_flush();
  bool flushing() const { return flush_done_ < flush_wanted_; }
  void end_flush(std::optional<Error> error);
  bool acks_ride() const;
  Plan plan(const Batch* batch, bool with_pending);
  bool can_copy_pending() const;
  QuarantineRow quarantine_row(const PendingQuarantine& record) const;
  void plan_index(Plan& plan) const;
  void plan_index_rows(Plan& plan) const;
  void complete_index(Lock& lock);
  void note_index(const Plan& plan);
  std::vector<SeqRange> unexplained(LaneId lane, const IndexPart& part) const;
  void give_up_unexplained(LaneId lane, const IndexPart& part);
  static std::vector<IndexRow> rows_of_moved(
      const std::vector<std::pair<LaneId, IndexEntry>>& moved);
  void plan_trims(Plan& plan, const LaneRow& row, size_t& left, uint64_t& bytes_left);
  void note_written(const Plan& plan);
  CommitQueue::Popped note_committed(const Plan& plan, Batch& batch);
  bool take_room_promise();
  static bool may_try_again(const Error& error) {
    return error.kind == ErrorKind::kFull || error.kind == ErrorKind::kTransient;
  }
  Guard& guard(LaneId lane);
  uint64_t use_of(LaneId lane) const { return index_.bytes(lane) + queue_.bytes_of(lane); }
  uint64_t quota_bytes() const;
  uint64_t free_quota_bytes() const;
  void refresh_state();
  void refresh_shares();
  bool may_resume(const Guard& guard, LaneId lane) const;
  LaneState with_guard(LaneState state) const;
  void say_over(LaneId lane, Guard& guard, bool over, uint64_t use);
  bool pressed() const;
  bool quarantine_full() const { return ledger_.quarantine_bytes() >= quarantine_quota_; }
  bool must_hold(LaneId lane) const {
    return quarantine_full() && ledger_.waits_for_quarantine(lane);
  }
  bool hold(ReadRequest& request);
  SegmentPtr take_from_tail(LaneId lane, Seq from);
  std::optional<ClockMark> clock_mark();
  Fill disk_fill() const;
  void drop_overflow();
  bool drop_for_commit(uint64_t wanted);
  uint64_t drop_oldest(LaneId lane, Guard& guard, uint64_t wanted,
                       std::optional<uint32_t> generation = {});
  std::vector<IndexEntry> droppable(LaneId lane, const Guard& guard, Seq after, size_t count,
                                    std::optional<uint32_t> generation = {}) const;
  void doom(LaneId lane, const IndexEntry& entry, FateKind kind, const std::string& reason);
  void plan_doomed(Plan& plan) const;
  void note_doomed(const Plan& plan);
  std::optional<MonoTime> expiry_due() const;
  void enter_full(const Error& error);
  void leave_full();

  // With mutex_ held on entry and return, released in between.
  void run();
  void fetch_index(Lock& lock, bool with_pending);
  bool fetch_pending(Lock& lock);
  bool fetch_record(Lock& lock, LaneId lane, Seq seq);
  void fetch_droppable(Lock& lock);
  void leave_out_removed(Lock& lock, LaneId lane, Store& store, IndexPart& part);
  Result<void> fill_index(Lock& lock, LaneId lane, Seq from, const SegmentIndex::Absent& absent);
  Result<void> search_part(Lock& lock, LaneId lane, Seq from, const SegmentIndex::Absent& absent,
                           IndexPart& part);
  void commit(Lock& lock, bool with_records);
  bool commit_records(Lock& lock);
  void commit_acks(Lock& lock);
  Result<void> write(Lock& lock, Plan& plan, const Batch* batch);
  void announce(Lock& lock, const Batch& batch, CommitQueue::Popped popped);
  void checkpoint(Lock& lock);
  void serve_reads(Lock& lock);
  Result<void> know_segment(Lock& lock, const ReadRequest& request);
  void enter_fault(Lock& lock, Error error);
  void roll(Lock& lock, bool is_fault = true);
  bool shrink(Lock& lock);
  bool house_keeping(Lock& lock);
  bool short_of_room(Lock& lock);
  bool keep_older(Lock& lock, size_t at, bool is_short);
  bool carry_over(Lock& lock, Generation& from, bool is_short);
  bool evacuate(Lock& lock, Generation& from);
  bool examine(Lock& lock, Generation& older);
  bool remove_empty(Lock& lock, size_t at);
  bool keep(Lock& lock, size_t at, KeptFor why);
  void replace_spare(Lock& lock);
  void copy_lanes(Lock& lock);
  void after_commit(Lock& lock);
  void expire(Lock& lock);
  bool expire_head(Lock& lock, LaneId lane, const ClockReading& now);

  // Spool thread, without the lock.
  std::vector<SegmentRow> encode(const Batch& batch, Packing packing);
  OriginPtr origin_of(uint32_t epoch) const;
  bool has_waited_enough(LaneId lane, const IndexEntry& entry, const Error& error);
  Result<std::unique_ptr<Generation>> next_generation(const Transaction& first);
  Result<std::unique_ptr<Generation>> begin(uint32_t number, const Transaction& first);
  Moved read_to_move(Generation& from, const std::vector<std::pair<LaneId, IndexEntry>>& wanted);
  Result<Carried> quarantine_and_fates_of(Generation& from);
  Result<std::vector<SeqRange>> without_fate(LaneId lane, SeqRange range);
  Generation& newer_than(const Generation& generation);
  Result<bool> is_own(const Generation& generation, LaneId lane, Seq seq);
  Result<RemainsOf> remains_of(Generation& older);
  Result<void> examine_on(Generation& older);
  uint64_t limit_kept(uint64_t quota);
  Store* store_of(uint32_t generation);
  void add_epoch(const EpochRow& epoch);
  Result<void> share_out();
  Result<void> room_for(Plan& plan);
  std::optional<uint64_t> free_beside(const Transaction& transaction);
  bool is_low(std::optional<uint64_t> free) const;
  Result<uint64_t> bytes_to_carry(Generation& from);
  static void count_quarantine(Transaction& transaction);
  Result<DecodedSegment> load_segment(LaneId lane, const IndexEntry& entry);

  const Options options_;
  const Sizing sizing_;
  const Log log_;
  const LockFile lock_file_;  // before the files: released after they are closed
  const Surroundings where_;
  Listener* listener_ = nullptr;

  // Of the spool thread.
  std::unique_ptr<Generation> active_;
  std::vector<std::unique_ptr<Generation>> older_;  // oldest first
  std::vector<uint32_t> parked_;
  std::vector<KeptFile> kept_;  // ascending
  std::optional<uint32_t> spare_;
  uint32_t newest_number_;
  bool half_begun_ = false;  // a file that failed as the next one and could not be removed
  MonoTime spare_not_before_{};
  MonoTime shrink_not_before_{};
  std::vector<EpochRow> epochs_;              // oldest first; the last is current
  std::map<uint32_t, OriginPtr> origins_;     // by epoch; none is ever taken out
  OriginPtr origin_;                          // of what is committed now
  std::map<LaneId, IndexedSums> index_sums_;  // of the rows in the active generation
  bool forgets_index_ = false;                // these are removed before others are written
  bool index_sweeps_ = false;                 // more rows are to be written
  MonoTime index_not_before_{};               // no rows are written
  bool index_unread_ = false;                 // something could not be fetched for this commit
  int wide_searches_ = 0;                     // through a whole file
  // Of the records that this commit may copy to the quarantine, those that were not in memory.
  std::map<std::pair<LaneId, Seq>, Fetched> fetched_;
  LanesFile lanes_file_;
  std::optional<MonoTime> lanes_copied_at_;  // by options_.mono; none: to be copied at once
  bool lanes_changed_ = true;                // since they were copied
  MonoTime house_kept_at_{};
  std::map<std::pair<LaneId, Seq>, Unread> unread_since_us_;  // by a segment's first record
  std::optional<MonoTime> asked_at_;                          // what a lane now gets
  SegmentCodec codec_;
  CommitPolicy policy_;
  int64_t next_segment_id_;
  // Of the filesystem, when last asked; beside what the database file was to grow by then.
  std::optional<uint64_t> free_bytes_;
  MonoTime free_asked_at_{};   // between commits
  bool disk_refused_ = false;  // the last commit would have fitted our quota
  bool wal_grows_ = false;     // the last checkpoint found no room

  std::atomic<const Origin*> current_origin_ = nullptr;
  static constexpr MonoTime::rep kWaiting = std::numeric_limits<MonoTime::rep>::min();
  std::atomic<MonoTime::rep> busy_since_ = kWaiting;
  mutable std::mutex mutex_;
  std::condition_variable wake_;  // the spool thread has something to look at
  std::condition_variable done_;  // a flush or the thread has ended
  CommitQueue queue_;
  Ledger ledger_;
  SegmentIndex index_;
  Tail tail_;
  std::deque<ReadRequest> reads_;
  std::deque<ReadRequest> held_reads_;  // until the quarantine has room
  std::map<LaneId, Guard> guards_;
  std::deque<Doomed> doomed_;
  uint64_t doomed_bytes_ = 0;
  SpoolState state_ = SpoolState::kGreen;
  uint64_t quarantine_quota_;
  bool quarantine_said_ = false;
  bool wants_drops_ = false;  // a lane that drops its oldest is over its share
  bool lane_waits_ = false;   // a source was answered kBlock, for room that acknowledgements make
  AgeClock ages_;
  std::optional<ClockMark> unwritten_mark_{};
  std::optional<Millis> least_age_;  // of all policies
  MonoTime expiry_at_{};
  Counters counters_;
  bool hinted_ = false;
  bool full_ = false;
  MonoTime retry_at_{};
  std::optional<MonoTime> acks_since_;
  MonoTime acks_not_before_{};
  bool room_promised_ = false;
  size_t refused_bytes_ = 0;    // of the largest call answered kFull since the last on_room
  std::optional<Error> fault_;  // no file can be written; tried again at roll_at_
  MonoTime roll_at_{};
  uint64_t flush_wanted_ = 0;
  uint64_t flush_done_ = 0;
  uint64_t flush_target_ = 0;  // queue_.pushed() at the last flush()
  MonoTime flush_at_{};
  std::optional<Error> flush_error_;
  bool stopping_ = false;
  bool gave_up_ = false;  // stopping, and the rest finds no room
  bool running_ = false;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace penstock::spool
