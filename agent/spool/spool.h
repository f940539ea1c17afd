// Spool: the on-device write-ahead log. Records go in through enqueue, become durable in group
// commits, are read back segment by segment, and go once acknowledged.
//
// Owner and threads: open() and start() by the composition; then one spool thread owns the SQLite
// connection and does all of its writes, checkpoints and reads. Every public function is
// thread-safe unless it says otherwise; none blocks on I/O except open, flush and stop. Callbacks
// run on the spool thread and must not block or call flush/stop.
//
// Durability: Listener::on_durable is called only after SQLite reported COMMIT with
// synchronous=FULL in WAL mode, that is after the fsync. Commits take a prefix of the queue in
// arrival order across all lanes, so one number per source is enough.
//
// Limits: a lane that is over its share of the spool is treated as its route's overflow policy says
// (retention.h); drops are fates like any other, committed with the removal they stand for.
//
// Failure: a full spool or disk keeps the queue (then enqueue answers kFull) and tries again as
// room appears. An I/O error or a damaged file ends all writing to that file: what was not
// committed goes to a new one, in a new epoch, and what the old one holds is still read. Only when
// no file can be written at all, on_fault says so, nothing is acknowledged, and the spool tries
// again until one can.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/age.h"
#include "agent/spool/retention.h"
#include "agent/spool/types.h"

namespace penstock::spool {

struct Options {
  std::filesystem::path dir;
  std::string agent_id;
  uint64_t max_size_bytes = uint64_t{2} << 30;  // over all files of the spool
  uint64_t min_free_bytes = 0;      // of the filesystem; below it only acknowledgements are written
  size_t commit_bytes = 256 << 10;  // a commit closes at this many bytes of records
  size_t queue_bytes = 12 << 20;    // accepted but not yet committed
  size_t tail_bytes = 8 << 20;      // committed segments kept in memory for the lanes
  size_t index_entries = size_t{128}
                         << 10;  // segments whose place is kept in memory, 32 bytes each
  // Segments that a start has to look for, at most: the places of older ones are in rows of their
  // own. With more than 16 lanes a sixteenth of this for each.
  size_t index_unwritten = 1024;
  // A file that became this large and is nearly empty again is replaced, so that its room is the
  // filesystem's again. 0: none is.
  uint64_t shrink_from_bytes = uint64_t{256} << 20;
  uint64_t quarantine_bytes = 0;               // its quota; 0: 5 % of max_size
  std::map<std::string, LanePolicy> policies;  // by route name
  LanePolicy other_lanes;                      // of routes that are not in `policies`
  // For ages. Both clocks are asked with the spool's lock held: they must not wait for a caller.
  std::function<ClockReading()> clock = read_clock_reading;
  // For how often the file `lanes` is written.
  std::function<MonoTime()> mono = [] { return read_clock().mono; };
  uint64_t quarantine_quota() const {
    return quarantine_bytes > 0 ? quarantine_bytes : max_size_bytes / 20;
  }
  bool allow_volatile = false;  // accept tmpfs, ramfs, overlay, network filesystems
  Millis salvage_wait{30'000};  // how long a segment behind a read error is waited for
  std::filesystem::path machine_id_file =
      "/etc/machine-id";  // another machine's spool starts a new epoch
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_durable(SourceId source,
                          uint64_t up_to) = 0;  // everything of `source` up to here is on disk
  virtual void on_committed(LaneId lane, Seq up_to) = 0;  // the lane can read up to here
  virtual void on_room() = 0;  // enqueue answered kFull before; there is room again
  // No file can be written; the spool keeps trying. Once for each time that begins.
  virtual void on_fault(const Error& error) = 0;
};

enum class Enqueue { kTaken, kFull, kClosed };

struct Counters {
  uint64_t commits = 0;
  uint64_t committed_records = 0;
  uint64_t committed_bytes = 0;  // of record bodies
  uint64_t tail_hits = 0;        // segments served from memory
  uint64_t disk_reads = 0;
  uint64_t queued_bytes = 0;
  uint64_t live_bytes = 0;        // in the active database, before the WAL
  uint64_t quota_bytes = 0;       // what live_bytes may grow to by records
  uint64_t quarantine_bytes = 0;  // of records and reasons in the quarantine
  uint64_t rolls = 0;             // to a new file because one could not be written, in this run
  uint64_t older_files = 0;       // generations that are only read
  uint64_t parked_files = 0;      // that could not be opened; a person should look
  // Older ones that hold nothing pending, but whose quarantine or fates cannot be read or records
  // of which are counted as damaged: they stay, so that `penstock spool repair` may still find it
  // (kept_files.h). A person should look.
  uint64_t kept_files = 0;
  uint64_t index_entries = 0;  // segments whose place is in memory
  SpoolState state = SpoolState::kGreen;
};

class Spool {
 public:
  // Takes the lock file for life, opens or creates the files, reads the lane states. A damaged file
  // is no failure: collection begins in a new one. kDenied: the directory is in use, not ours or
  // volatile; kFull: no room to begin.
  static Result<std::unique_ptr<Spool>> open(const Options& options, Log log);
  virtual ~Spool() = default;  // stops if still running

  // "agent_id/epoch"; the origin of a record committed now is this + "/" + lane. Changes when a
  // damaged file is given up; the references stay valid.
  virtual const std::string& origin_prefix() const = 0;
  virtual const std::string& epoch() const = 0;

  // Starts the spool thread. `listener` must outlive stop().
  virtual void start(Listener& listener) = 0;

  // The lane of `key`, made if it is new; a new lane becomes durable with its first record.
  virtual LaneId lane(const LaneKey& key) = 0;
  // All lanes with what is committed now, by id; kUnroutedLane included.
  virtual std::vector<LaneState> lanes() const = 0;
  virtual LaneState state(LaneId lane) const = 0;

  // All or nothing, in order. A call is always taken when the queue is empty. kFull promises an
  // on_room. The caller serialises calls so that seq and source_seq arrive in order.
  virtual Enqueue enqueue(std::vector<Pending>&& records) = 0;
  // Bytes that enqueue would take now.
  virtual size_t room() const = 0;
  // What the overflow policy of `lane` says to one more record now; ask before numbering it. kBlock
  // promises an on_room. A call that enqueue takes may carry the lane over its share, once.
  virtual Admission admit(LaneId) { return Admission::kTake; }
  // So many records of `lane` were turned away instead of being numbered: the second ledger,
  // persisted with the next commit or within 10 s.
  virtual void turned_away(LaneId, uint64_t /*count*/) {}
  // Commit soon rather than at the deadline; at most 50 early commits a second.
  virtual void flush_hint() = 0;

  // Delivers the segment that holds `from` (it may begin earlier), or nullptr when nothing at or
  // after `from` is committed yet. Where `from` itself is missing (damaged, refused) the next
  // segment after it. From memory when it is there, before read() returns. kCorrupt names the lane
  // and the records that cannot be read: see damaged(). kTransient: a read error that may pass; ask
  // again later (after salvage_wait it is kCorrupt). kShutdown once stopped, before read() returns.
  // While holds(lane) there is no answer. Of the reads of a lane that wait so only the newest gets
  // one, the others never: their `done` is destroyed, with a lock of the spool held.
  using ReadCallback = std::function<void(Result<SegmentPtr>)>;
  virtual void read(LaneId lane, Seq from, ReadCallback done) = 0;
  // The quarantine is full, and this lane has records for it: it is not given further ones. Any
  // thread, no I/O.
  virtual bool holds(LaneId) const { return false; }

  // Segments that were read may be on their way and are not dropped, until this says that nothing
  // at or after `from` is under way any more.
  virtual void rewound(LaneId, Seq /*from*/) {}
  // Does every record of the range have its fate? Then there is nothing to read or to give up.
  virtual bool decided(LaneId, SeqRange) const { return false; }
  // The parts of the range that have their fate, ascending: a segment may still hold such records,
  // and they must not be sent. The caller itself decides what comes later: of segments that were
  // read nothing is dropped (see rewound).
  virtual std::vector<SeqRange> decided_parts(LaneId, SeqRange) const { return {}; }

  // Every record of `lane` up to `up_to` has its fate. Monotonic; persisted within 1 s, with a
  // commit of records if there is one. Losing it in a crash only causes repeated sending.
  virtual void acknowledge(LaneId lane, Seq up_to) = 0;
  // Copies the record to the quarantine with `reason`. Idempotent. Call before acknowledging past
  // it: the copy is committed no later than a cursor at or beyond `seq`.
  virtual void quarantine(LaneId lane, Seq seq, std::string reason) = 0;

  // The stored segment that read(lane, from) would deliver; empty when there is none. Any thread,
  // no I/O.
  virtual SeqRange segment_range(LaneId, Seq /*from*/) const { return {}; }
  // The way past a segment that read() called kCorrupt: the records first..last, widened to whole
  // segments and less what is decided already, have the fate `damaged`. It is written to the `fate`
  // table no later than a cursor past it; the cursor passes the range by itself once it reaches it.
  // Idempotent.
  virtual void damaged(LaneId lane, Seq first, Seq last, std::string reason) = 0;

  virtual Counters counters() const = 0;
  // When the spool's thread began what it is at, mostly a file operation; none while it waits for
  // work. Any thread; never waits.
  virtual std::optional<MonoTime> busy_since() const { return std::nullopt; }

  // Commits everything that is queued and returns once that is durable (or failed). Not from a
  // callback.
  virtual Result<void> flush() = 0;
  // flush, then cursors, then ends the thread. enqueue answers kClosed from the first moment on.
  // Idempotent.
  virtual void stop() = 0;
};

}  // namespace penstock::spool
