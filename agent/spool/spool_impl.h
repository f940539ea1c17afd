// The spool itself: one lock, one thread, one generation.
//
// Everything in memory (queue, ledger, index, tail, flags) is guarded by `mutex_`, which is never
// held over I/O or a callback. The spool thread alone uses the store and the codec, pops the queue
// and takes entries out of the index (damaged() does too, but only entries ahead of the cursor,
// which the thread does not touch).
//   spool.cpp         open, and what callers do
//   spool_thread.cpp  the loop: when to commit, when to read, when to end
//   spool_commit.cpp  one commit from plan to callbacks
//   spool_read.cpp    segments back to the lanes
//   spool_retention.cpp  shares, overflow, the quarantine's quota
//   spool_age.cpp     max_age
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/spool/batch.h"
#include "agent/spool/commit_policy.h"
#include "agent/spool/commit_queue.h"
#include "agent/spool/identity.h"
#include "agent/spool/ledger.h"
#include "agent/spool/load.h"
#include "agent/spool/lock_file.h"
#include "agent/spool/segment_format.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sizing.h"
#include "agent/spool/spool.h"
#include "agent/spool/store.h"
#include "agent/spool/tail.h"

namespace penstock::spool {

class SpoolImpl final : public Spool {
 public:
  struct Parts {
    LockFile lock;
    Store store;
    Loaded loaded;
    Epoch epoch;
    std::map<uint32_t, OriginPtr> origins;
    Sizing sizing;
  };
  SpoolImpl(const Options& options, Log log, Parts parts);
  ~SpoolImpl() override;

  const std::string& origin_prefix() const override { return origin_->prefix; }
  const std::string& epoch() const override { return origin_->epoch; }
  void start(Listener& listener) override;
  LaneId lane(const LaneKey& key) override;
  std::vector<LaneState> lanes() const override;
  LaneState state(LaneId lane) const override;
  Enqueue enqueue(std::vector<Pending>&& records) override;
  size_t room() const override;
  void flush_hint() override;
  void read(LaneId lane, Seq from, ReadCallback done) override;
  void acknowledge(LaneId lane, Seq up_to) override;
  void quarantine(LaneId lane, Seq seq, std::string reason) override;
  SeqRange segment_range(LaneId lane, Seq from) const override;
  void damaged(LaneId lane, Seq first, Seq last, std::string reason) override;
  Counters counters() const override;
  Admission admit(LaneId lane) override;
  void turned_away(LaneId lane, uint64_t count) override;
  void rewound(LaneId lane, Seq from) override;
  bool decided(LaneId lane, SeqRange range) const override;
  Result<void> flush() override;
  void stop() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct ReadRequest {
    LaneId lane;
    Seq from;
    ReadCallback done;
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
  // One attempt to write: what goes into the transaction and what is to be noted once it is on
  // disk.
  struct Plan {
    struct Quarantine {
      PendingQuarantine record;
      std::optional<IndexEntry> stored;  // where the record is, when it is not in memory
    };
    Transaction transaction;
    std::vector<Quarantine> quarantine;
    std::vector<std::pair<LaneId, int64_t>> trims;  // segments removed
    std::set<LaneId> unfinished;                    // lanes with more to trim
    uint64_t freed_bytes = 0;
    size_t fates = 0;
    size_t doomed = 0;
    bool fitted = false;  // by our own count
    MonoTime at;
  };

  // With mutex_ held.
  bool in_order(const std::vector<Pending>& records) const;
  void limit_sizes(std::vector<Pending>& records) const;
  void note_unwritten();
  CommitView view() const;
  void settle_flush();
  bool flushing() const { return flush_done_ < flush_wanted_; }
  void end_flush(std::optional<Error> error);
  Plan plan(const Batch* batch, bool with_pending);
  void plan_trims(Plan& plan, const LaneRow& row, size_t& left, uint64_t& bytes_left);
  void note_written(const Plan& plan);
  void note_committed(const Plan& plan, Batch& batch);
  bool take_room_promise();
  Guard& guard(LaneId lane);
  uint64_t use_of(LaneId lane) const { return index_.bytes(lane) + queue_.bytes_of(lane); }
  uint64_t quota_bytes() const;
  void refresh_state();
  void refresh_shares();
  bool may_resume(const Guard& guard, LaneId lane) const;
  LaneState with_guard(LaneState state) const;
  void say_over(LaneId lane, Guard& guard, bool over, uint64_t use);
  bool pressed() const;
  bool quarantine_full() const { return ledger_.quarantine_bytes() >= quarantine_quota_; }
  bool hold(ReadRequest& request);
  std::optional<ClockMark> clock_mark();
  Fill disk_fill() const;
  void drop_overflow();
  bool drop_for_commit(uint64_t wanted);
  uint64_t drop_oldest(LaneId lane, Guard& guard, uint64_t wanted);
  std::vector<IndexEntry> droppable(LaneId lane, const Guard& guard, Seq after, size_t count) const;
  void doom(LaneId lane, const IndexEntry& entry, FateKind kind, const std::string& reason);
  void plan_doomed(Plan& plan) const;
  void note_doomed(const Plan& plan);
  std::optional<MonoTime> expiry_due() const;
  void enter_full(const Error& error);

  // With mutex_ held on entry and return, released in between.
  void run();
  void commit(Lock& lock, bool with_records);
  bool commit_records(Lock& lock);
  void commit_acks(Lock& lock);
  Result<void> write(Lock& lock, Plan& plan, const Batch* batch);
  void announce(Lock& lock, const Batch& batch);
  void checkpoint(Lock& lock);
  void enter_fault(Lock& lock, Error error);
  void serve_reads(Lock& lock);
  void after_commit(Lock& lock);
  void expire(Lock& lock);
  bool expire_head(Lock& lock, LaneId lane, const ClockReading& now);

  // Spool thread, without the lock.
  std::vector<SegmentRow> encode(const Batch& batch);
  QuarantineRow quarantine_row(const Plan::Quarantine& wanted);
  OriginPtr origin_of(uint32_t epoch) const;
  Result<void> room_for(Plan& plan);
  static void count_quarantine(Transaction& transaction);
  Result<DecodedSegment> load_segment(LaneId lane, const IndexEntry& entry);

  const Options options_;
  const Sizing sizing_;
  const Log log_;
  const LockFile lock_file_;  // before the store: released after the database is closed
  const Epoch epoch_;
  const std::map<uint32_t, OriginPtr> origins_;  // by epoch
  const OriginPtr origin_;                       // of what is committed now
  Listener* listener_ = nullptr;

  // Of the spool thread.
  Store store_;
  SegmentCodec codec_;
  CommitPolicy policy_;
  int64_t next_segment_id_;
  MonoTime free_checked_at_{};
  std::optional<uint64_t> free_bytes_;  // of the filesystem, when last asked
  bool disk_refused_ = false;           // the last commit would have fitted our quota
  bool wal_grows_ = false;              // the last checkpoint found no room

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
  bool lane_waits_ = false;  // a source was answered kBlock
  AgeClock ages_;
  std::optional<ClockMark> unwritten_mark_;
  std::optional<Millis> least_age_;  // of all policies
  MonoTime expiry_at_{};
  Counters counters_;
  bool hinted_ = false;
  bool full_ = false;
  MonoTime retry_at_{};
  std::optional<MonoTime> acks_since_;
  MonoTime acks_not_before_{};
  bool room_promised_ = false;
  size_t refused_bytes_ = 0;  // of the largest call answered kFull since the last on_room
  std::optional<Error> fault_;
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
