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
  Result<void> flush() override;
  void stop() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct ReadRequest {
    LaneId lane;
    Seq from;
    ReadCallback done;
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
    bool acks = true;  // with the cursors of all lanes
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
  bool acks_ride() const;
  Plan plan(const Batch* batch, bool with_pending);
  void plan_trims(Plan& plan, const LaneRow& row, size_t& left, uint64_t& bytes_left);
  void note_written(const Plan& plan);
  void note_committed(const Plan& plan, Batch& batch);
  bool take_room_promise();
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

  // Spool thread, without the lock.
  std::vector<SegmentRow> encode(const Batch& batch);
  QuarantineRow quarantine_row(const Plan::Quarantine& wanted);
  Result<void> room_for(const Plan& plan);
  OriginPtr origin_of(uint32_t epoch) const;
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
  bool disk_low_ = false;
  bool wal_grows_ = false;  // the last checkpoint found no room

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // the spool thread has something to look at
  std::condition_variable done_;  // a flush or the thread has ended
  CommitQueue queue_;
  Ledger ledger_;
  SegmentIndex index_;
  Tail tail_;
  std::deque<ReadRequest> reads_;
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
