// Words shared by everyone who puts records into the spool or takes them out. Values only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/clock.h"

namespace penstock::spool {

using LaneId =
    uint32_t;  // (route, table); never reused within an epoch; 0 is the lane of unrouted records
using Seq = uint64_t;  // of a record in its lane: contiguous from 1, kept for the record's life
using SourceId = uint32_t;  // an input instance in this run of the agent

inline constexpr LaneId kUnroutedLane = 0;
inline constexpr std::string_view kUnroutedName = "_unrouted";

struct LaneKey {
  std::string route;
  std::string table;
  auto operator<=>(const LaneKey&) const = default;
};

// Both ends included; first > last holds nothing.
struct SeqRange {
  Seq first = 1;
  Seq last = 0;
  bool empty() const { return first > last; }
  uint64_t size() const { return empty() ? 0 : last - first + 1; }
  auto operator<=>(const SeqRange&) const = default;
};

// The ledger of one lane: committed = delivered + quarantined + discarded + dropped + damaged +
// pending, where committed = next_seq - 1 and delivered is what remains of `cursor` after the other
// fates at or below it. `refused` is the second ledger: records that never were committed.
struct LaneState {
  LaneId id = 0;
  LaneKey key;
  Seq next_seq = 1;          // of the next record to commit
  Seq cursor = 0;            // every record up to here has its final fate
  uint64_t quarantined = 0;  // records at or below `cursor` that went to quarantine
  uint64_t damaged = 0;    // records at or below `cursor` whose stored bytes could not be read back
  uint64_t discarded = 0;  // records at or below `cursor` that a person threw away
  uint64_t dropped_overflow = 0;  // records at or below `cursor` that made room for newer ones
  uint64_t dropped_age = 0;       // records at or below `cursor` that outlived max_age
  uint64_t refused = 0;           // turned away before they had a number: drop_newest, unrouted
  uint64_t stored_bytes = 0;      // of its pending records, about
  bool over_share = false;        // its overflow policy is at work
  uint64_t dropped() const { return dropped_overflow + dropped_age; }
  uint64_t delivered() const { return cursor - quarantined - damaged - discarded - dropped(); }
  uint64_t pending() const { return next_seq - 1 - cursor; }
};

// A record accepted by intake, waiting for its commit.
struct Pending {
  LaneId lane = 0;
  Seq seq = 0;
  SourceId source = 0;
  uint64_t source_seq = 0;  // per source contiguous from 1: what on_durable reports
  int64_t received_at_us = 0;
  Millis commit_within{
      50};           // the commit holding it closes at the latest this long after it was enqueued
  std::string body;  // encode_record's byte form
  std::string refusal;  // not empty: straight to quarantine with this reason (kUnroutedLane,
                        // oversize heads)
};

// Who numbered records: (agent_id, epoch, lane, seq) names a record for good. Immutable, shared.
struct Origin {
  std::string prefix;  // "agent_id/epoch"; a record's origin is this + "/" + lane
  std::string epoch;   // 16 hex digits
};
using OriginPtr = std::shared_ptr<const Origin>;

// The records of one lane in one commit, decompressed. Immutable, shared.
class Segment {
 public:
  // `run` is a sequence of (varint length, bytes). `origin`: what its records were numbered under,
  // which may be older than the spool's current one; null means that.
  Segment(LaneId lane, Seq first, uint32_t count, std::string run, OriginPtr origin = nullptr)
      : lane_(lane),
        first_(first),
        count_(count),
        run_(std::move(run)),
        origin_(std::move(origin)) {}
  LaneId lane() const { return lane_; }
  Seq first() const { return first_; }
  Seq last() const { return first_ + count_ - 1; }
  uint32_t count() const { return count_; }
  std::string_view run() const { return run_; }
  const Origin* origin() const { return origin_.get(); }

 private:
  LaneId lane_;
  Seq first_;
  uint32_t count_;
  std::string run_;
  OriginPtr origin_;
};
using SegmentPtr = std::shared_ptr<const Segment>;

}  // namespace penstock::spool
