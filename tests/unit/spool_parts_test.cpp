// The pure parts of the spool against tables and plain models.
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "agent/spool/batch.h"
#include "agent/spool/commit_policy.h"
#include "agent/spool/commit_queue.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/seq_ranges.h"
#include "agent/spool/sizing.h"
#include "agent/spool/tail.h"
#include "agent/spool/volatile_fs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool {
namespace {

using Act = CommitDecision::Act;

MonoTime at(int64_t ms) { return MonoTime(std::chrono::seconds(1000)) + Millis(ms); }

TEST(SeqRanges, BehaveLikeASet) {
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 200; ++round) {
    SeqRanges ranges;
    std::set<Seq> model;
    for (int step = 0; step < 30; ++step) {
      const Seq first = 1 + random() % 60;
      const SeqRange range{first, first + random() % 8};
      bool overlaps = false;
      for (Seq s = range.first; s <= range.last; ++s) overlaps |= model.contains(s);
      ASSERT_EQ(ranges.overlaps(range), overlaps);
      std::set<Seq> missing;
      for (const auto& part : ranges.missing_in(range)) {
        for (Seq s = part.first; s <= part.last; ++s) missing.insert(s);
      }
      for (Seq s = range.first; s <= range.last; ++s)
        ASSERT_EQ(missing.contains(s), !model.contains(s));
      if (random() % 4 == 0) {
        const Seq cut = random() % 70;
        const auto expected =
            static_cast<uint64_t>(std::distance(model.begin(), model.upper_bound(cut)));
        ASSERT_EQ(ranges.take_up_to(cut), expected);
        model.erase(model.begin(), model.upper_bound(cut));
      } else {
        ranges.add(range);
        for (Seq s = range.first; s <= range.last; ++s) model.insert(s);
      }
      for (Seq s = 0; s < 75; ++s) ASSERT_EQ(ranges.contains(s), model.contains(s)) << s;
    }
  }
}

Pending record(LaneId lane, Seq seq, size_t size, int64_t within_ms = 50) {
  Pending pending;
  pending.lane = lane;
  pending.seq = seq;
  pending.source = lane % 2;
  pending.source_seq = seq;
  pending.commit_within = Millis(within_ms);
  pending.body.assign(size, 'x');
  return pending;
}

std::vector<Pending> one(Pending pending) {
  std::vector<Pending> records;
  records.push_back(std::move(pending));
  return records;
}

TEST(CommitQueue, IsAllOrNothingAndTakesAnythingWhenEmpty) {
  CommitQueue queue(1000);
  EXPECT_TRUE(queue.push(one(record(1, 1, 5000)), at(0))) << "an empty queue takes any call";
  EXPECT_EQ(queue.room(), 0U);
  EXPECT_FALSE(queue.push(one(record(1, 2, 1)), at(0)));
  EXPECT_EQ(queue.pushed(), 1U);
  queue.pop(1);
  EXPECT_EQ(queue.room(), 1000U);
  EXPECT_EQ(queue.bytes(), 0U);
  EXPECT_EQ(queue.record_bytes(), 0U);
}

TEST(CommitQueue, PrefixKeepsArrivalOrderAndTakesAtLeastOne) {
  CommitQueue queue(1 << 20);
  for (Seq seq = 1; seq <= 5; ++seq) ASSERT_TRUE(queue.push(one(record(seq % 2, seq, 100)), at(0)));
  EXPECT_EQ(queue.prefix(1).size(), 1U);
  const auto some = queue.prefix(300);
  ASSERT_EQ(some.size(), 3U);
  for (size_t i = 0; i < some.size(); ++i) EXPECT_EQ(some[i]->seq, i + 1);
}

TEST(CommitQueue, CommitsTakeNoNoticeOfWhereACallEnds) {
  std::mt19937_64 random(testing::test_seed());
  CommitQueue queue(1 << 20);
  Seq pushed = 0;
  Seq popped = 0;
  for (int step = 0; step < 500; ++step) {
    std::vector<Pending> call;
    for (const Seq end = pushed + random() % 5; pushed < end;) {
      ++pushed;
      call.push_back(record(pushed % 3, pushed, 100));
    }
    ASSERT_TRUE(queue.push(std::move(call), at(0)));
    const auto some = queue.prefix(100 * (1 + random() % 8));
    for (size_t i = 0; i < some.size(); ++i) ASSERT_EQ(some[i]->seq, popped + 1 + i);
    const size_t count = some.empty() ? 0 : random() % (some.size() + 1);
    queue.pop(count);
    popped += count;
    ASSERT_EQ(queue.pushed(), pushed);
    ASSERT_EQ(queue.popped(), popped);
    ASSERT_EQ(queue.record_bytes(), 100 * (pushed - popped));
    ASSERT_EQ(queue.bytes_of(0) + queue.bytes_of(1) + queue.bytes_of(2), queue.bytes());
    ASSERT_EQ(queue.empty(), pushed == popped);
  }
}

TEST(CommitQueue, DeadlineIsTheLeastOfAllThatWait) {
  std::mt19937_64 random(testing::test_seed());
  CommitQueue queue(1 << 20);
  std::deque<MonoTime> model;
  for (int step = 0; step < 2000; ++step) {
    if (random() % 3 != 0) {
      const auto within = static_cast<int64_t>(random() % 500);
      ASSERT_TRUE(queue.push(one(record(1, 1, 1, within)), at(step)));
      model.push_back(at(step) + Millis(within));
    } else if (!model.empty()) {
      const size_t count = 1 + random() % model.size();
      queue.pop(count);
      model.erase(model.begin(), model.begin() + static_cast<ptrdiff_t>(count));
    }
    const auto least = std::min_element(model.begin(), model.end());
    ASSERT_EQ(queue.deadline(), model.empty() ? std::optional<MonoTime>() : *least);
  }
}

TEST(CommitPolicy, WaitsForTheDeadlineUnlessBytesForceOrHint) {
  CommitPolicy policy(1000);
  CommitView view;
  view.now = at(0);
  EXPECT_EQ(policy.decide(view).act, Act::kWait);
  EXPECT_EQ(policy.decide(view).wake_at, std::nullopt) << "nothing waits, nothing wakes";
  view.deadline = at(50);
  view.waiting_bytes = 999;
  EXPECT_EQ(policy.decide(view).act, Act::kWait);
  EXPECT_EQ(policy.decide(view).wake_at, at(50));
  view.now = at(50);
  EXPECT_EQ(policy.decide(view).act, Act::kRecords);
  view.now = at(0);
  view.waiting_bytes = 1000;
  EXPECT_EQ(policy.decide(view).act, Act::kRecords);
  view.waiting_bytes = 1;
  view.forced = true;
  EXPECT_EQ(policy.decide(view).act, Act::kRecords);
}

TEST(CommitPolicy, HintsCommitEarlyAtMostFiftyTimesASecond) {
  CommitPolicy policy(1000);
  int commits = 0;
  for (int64_t ms = 0; ms < 1000; ++ms) {
    CommitView view;
    view.now = at(ms);
    view.deadline = at(ms + 200);
    view.hinted = true;
    if (policy.decide(view).act == Act::kRecords) ++commits;
  }
  EXPECT_EQ(commits, 50);
}

// A broker with a window of 20 waits for its acknowledgements: fifty commits a second would hold it
// to a thousand messages a second. Such a window is worth its commit; a few small records are not.
TEST(CommitPolicy, AHintWithEnoughToWriteCommitsAtOnce) {
  CommitPolicy policy(256 << 10);
  int commits = 0;
  for (int64_t ms = 0; ms < 1000; ms += 5) {
    CommitView view;
    view.now = at(ms);
    view.deadline = at(ms + 200);
    view.hinted = true;
    view.waiting_bytes = kWorthEarlyCommit;
    if (policy.decide(view).act == Act::kRecords) ++commits;
  }
  EXPECT_EQ(commits, 200);
}

TEST(CommitPolicy, AHintNeverDelaysADeadline) {
  CommitPolicy policy(1000);
  CommitView view;
  view.now = at(0);
  view.deadline = at(200);
  view.hinted = true;
  ASSERT_EQ(policy.decide(view).act, Act::kRecords);
  view.now = at(1);
  view.deadline = at(3);
  EXPECT_EQ(policy.decide(view).wake_at, at(3));
  view.deadline = at(500);
  EXPECT_EQ(policy.decide(view).wake_at, at(20));
}

TEST(CommitPolicy, AcknowledgementsWaitASecondUnlessTheSpoolIsFull) {
  CommitPolicy policy(1000);
  CommitView view;
  view.now = at(0);
  view.acks_since = at(0);
  EXPECT_EQ(policy.decide(view).act, Act::kWait);
  EXPECT_EQ(policy.decide(view).wake_at, at(1000));
  view.now = at(1000);
  EXPECT_EQ(policy.decide(view).act, Act::kAcksOnly);
  view.now = at(1);
  view.full = true;
  view.deadline = at(-100);
  view.retry_at = at(900);
  EXPECT_EQ(policy.decide(view).act, Act::kAcksOnly)
      << "what makes room goes at once; records wait";
  view.acks_not_before = at(400);
  EXPECT_EQ(policy.decide(view).act, Act::kWait);
  EXPECT_EQ(policy.decide(view).wake_at, at(400));
  view.now = at(900);
  EXPECT_EQ(policy.decide(view).act, Act::kRecords);
}

TEST(Batch, OneRunPerLaneSplitOnlyWhereARecordIsRefused) {
  std::vector<Pending> records;
  for (Seq seq = 1; seq <= 4; ++seq) {
    records.push_back(record(1, seq, 10));
    records.push_back(record(2, seq + 100, 10));
  }
  records[2].refusal = "no";  // lane 1, seq 2
  records[6].received_at_us = 77;
  std::vector<const Pending*> pointers;
  for (const auto& pending : records) pointers.push_back(&pending);
  const Batch batch = make_batch(pointers);
  ASSERT_EQ(batch.runs.size(), 3U);
  EXPECT_EQ(batch.runs[0].lane, 1U);
  EXPECT_EQ(batch.runs[0].first, 1U);
  EXPECT_EQ(batch.runs[0].count, 1U);
  EXPECT_EQ(batch.runs[1].lane, 2U);
  EXPECT_EQ(batch.runs[1].count, 4U);
  EXPECT_EQ(batch.runs[2].first, 3U);
  EXPECT_EQ(batch.runs[2].count, 2U);
  EXPECT_EQ(batch.runs[2].newest_us, 77);
  ASSERT_EQ(batch.refused.size(), 1U);
  EXPECT_EQ(batch.refused[0]->seq, 2U);
  const std::vector<std::pair<LaneId, Seq>> committed{{1, 4}, {2, 104}};
  EXPECT_EQ(batch.committed, committed);
  EXPECT_EQ(batch.records, 8U);
  EXPECT_EQ(batch.bytes, 80U);
}

TEST(SegmentIndex, FindsTheSegmentThatHoldsOrFollows) {
  SegmentIndex index;
  ASSERT_TRUE(index.add(3, {1, 1, 5, 100}));
  ASSERT_TRUE(index.add(3, {2, 6, 5, 100}));
  ASSERT_TRUE(index.add(3, {5, 15, 1, 100}));
  EXPECT_FALSE(index.add(3, {6, 15, 2, 100})) << "overlaps its predecessor";
  EXPECT_FALSE(index.add(3, {6, 20, 0, 100})) << "empty";
  EXPECT_EQ(index.find(3, 0)->id, 1);
  EXPECT_EQ(index.find(3, 5)->id, 1);
  EXPECT_EQ(index.find(3, 6)->id, 2);
  EXPECT_EQ(index.find(3, 11)->id, 5);
  EXPECT_EQ(index.find(3, 16), nullptr);
  EXPECT_EQ(index.find(9, 1), nullptr);
  const std::vector<SeqRange> gaps{{11, 14}, {16, 20}};
  EXPECT_EQ(index.gaps(3, {1, 20}), gaps);
  EXPECT_EQ(index.ended_by(3, 14, 16, 1 << 20).size(), 2U);
  EXPECT_EQ(index.ended_by(3, 14, 1, 1 << 20).size(), 1U);
  EXPECT_EQ(index.ended_by(3, 14, 16, 150).size(), 1U);
  EXPECT_EQ(index.ended_by(3, 14, 16, 0).size(), 1U) << "at least one, or it would never end";
  EXPECT_EQ(index.live(1).segments, 3U);
  index.remove(3, 6);
  index.remove(3, 4);
  EXPECT_EQ(index.live(1).segments, 2U);
  EXPECT_EQ(index.live(1).bytes, 200U);
  EXPECT_EQ(index.some_of(1, 1).size(), 1U);
  EXPECT_TRUE(index.some_of(2, 9).empty());
  index.move(3, {9, 15, 1, 100, 2});
  EXPECT_EQ(index.live(1).segments, 1U);
  EXPECT_EQ(index.some_of(2, 9).size(), 1U);
  index.move(3, {5, 15, 1, 100, 1});
  EXPECT_EQ(index.find(3, 6)->id, 5);
  EXPECT_EQ(index.size(), 2U);
}

std::vector<IndexEntry> entries_from(Seq first, size_t count, uint32_t generation = 1) {
  std::vector<IndexEntry> entries;
  for (size_t i = 0; i < count; ++i)
    entries.push_back({static_cast<int64_t>(first + i), first + 2 * i, 2, 100, generation});
  return entries;
}

TEST(SegmentIndex, WhatIsAbsentIsFilledPartByPartAndCountsWhole) {
  SegmentIndex index;
  ASSERT_TRUE(index.add_absent(3, {{1, 400}, 1, 200, 20000}));
  ASSERT_TRUE(index.add(3, {900, 401, 2, 100}));
  EXPECT_EQ(index.live(1).segments, 201U);
  EXPECT_EQ(index.entries(), 1U);
  EXPECT_EQ(index.find(3, 150), nullptr);
  ASSERT_TRUE(index.absent_at(3, 150));
  EXPECT_EQ(index.absent_at(3, 150)->range, (SeqRange{1, 400}));
  EXPECT_FALSE(index.absent_at(3, 401));
  EXPECT_TRUE(index.gaps(3, {1, 402}).empty());
  index.fill(3, {101, 200}, entries_from(101, 50));
  EXPECT_EQ(index.live(1).segments, 201U);
  EXPECT_EQ(index.live(1).bytes, 20100U);
  EXPECT_EQ(index.find(3, 150)->first, 149U);
  EXPECT_EQ(index.absent_at(3, 100)->range, (SeqRange{1, 100}));
  EXPECT_EQ(index.absent_at(3, 201)->range, (SeqRange{201, 400}));
  EXPECT_TRUE(index.ended_by(3, 400, 999, UINT64_MAX).empty()) << "the oldest are not known";
  EXPECT_TRUE(index.has_ended(3, 1, 0));
  index.fill(3, {1, 100}, {});
  EXPECT_EQ(index.ended_by(3, 400, 999, UINT64_MAX).size(), 50U);
  EXPECT_EQ(index.gaps(3, {1, 402}), (std::vector<SeqRange>{{1, 100}}));
  index.fill(3, {201, 400}, entries_from(201, 100));
  EXPECT_EQ(index.live(1).segments, 151U);
  EXPECT_EQ(index.bytes(3), 151U * 164);
}

TEST(SegmentIndex, MoreThanItsLimitBecomesAbsentAgainButForWhatIsInNoRow) {
  SegmentIndex index;
  for (const LaneId lane : {1U, 2U}) {
    for (const auto& entry : entries_from(1, 100)) ASSERT_TRUE(index.add(lane, entry));
  }
  index.limit(50);
  index.evict();
  EXPECT_EQ(index.entries(), 200U);
  EXPECT_EQ(index.unwritten(1), 200U);
  const auto stretches = index.stretches(1, 1);
  ASSERT_EQ(stretches.size(), 1U);
  EXPECT_EQ(stretches[0].entries.size(), 100U);
  index.written(1, stretches);
  EXPECT_EQ(index.unwritten(1), 100U);
  index.evict();
  EXPECT_EQ(index.entries(), 100U);
  EXPECT_EQ(index.live(1).segments, 200U);
  EXPECT_EQ(index.live(1).bytes, 20000U);
  EXPECT_EQ(index.absent_at(1, 7)->range, (SeqRange{1, 200}));
  EXPECT_NE(index.find(2, 7), nullptr);
}

TEST(SegmentIndex, WhatWasTakenOutDoesNotComeBack) {
  SegmentIndex index;
  const auto entries = entries_from(1, 100);
  for (const auto& entry : entries) ASSERT_TRUE(index.add(1, entry));
  index.written(1, index.stretches(1, 999));
  index.remove(1, 101);
  ASSERT_TRUE(index.add(2, {500, 1, 1, 1}));  // used last
  index.limit(0);
  index.evict();
  index.remove(2, 1);
  EXPECT_EQ(index.entries(), 0U);
  EXPECT_EQ(index.absent_at(1, 1)->range, (SeqRange{1, 200}));
  index.fill(1, {1, 200}, entries);
  EXPECT_EQ(index.live(1).segments, 99U);
  EXPECT_EQ(index.gaps(1, {1, 200}), (std::vector<SeqRange>{{101, 102}}));
}

TEST(SegmentIndex, AFillThatFindsNothingLeavesItsNeighboursAlone) {
  SegmentIndex index;
  for (int i = 0; i < 9; ++i) {  // so many chunks that the middle one has some on both sides
    const Seq first = 1 + 10 * static_cast<Seq>(i);
    const IndexEntry entry{i, first, 10, 100, 1 + static_cast<uint32_t>(i)};
    ASSERT_TRUE(i == 4 ? index.add_absent(1, {{first, first + 9}, 1, 5, 500})
                       : index.add(1, entry));
  }
  index.fill(1, {41, 50}, {});
  EXPECT_EQ(index.gaps(1, {1, 90}), (std::vector<SeqRange>{{41, 50}}));
  EXPECT_EQ(index.overlapping(1, {1, 90}).size(), 8U);
}

TEST(SegmentIndex, WhatIsLeftOutInTheMiddleKeepsItsNeighboursApart) {
  SegmentIndex index;
  for (const auto& entry : entries_from(1, 10)) ASSERT_TRUE(index.add(1, entry));
  index.written(1, index.stretches(1, 999));
  ASSERT_TRUE(index.add(1, {99, 31, 2, 100, 2}));
  index.move(1, {7, 13, 2, 100, 2});
  EXPECT_EQ(index.live(1).segments, 9U);
  EXPECT_EQ(index.live(2).segments, 2U);
  EXPECT_EQ(index.unwritten(2), 1U) << "what is moved comes with its row";
  ASSERT_TRUE(index.add(2, {500, 1, 1, 1}));  // used last
  index.limit(0);
  index.evict();
  EXPECT_EQ(index.absent_at(1, 1)->range, (SeqRange{1, 12}));
  EXPECT_EQ(index.absent_at(1, 13)->range, (SeqRange{13, 14}));
  EXPECT_EQ(index.absent_at(1, 13)->generation, 2U);
  EXPECT_EQ(index.absent_at(1, 15)->range, (SeqRange{15, 20}));
  EXPECT_EQ(index.absent_behind(1, 0, 2)->range, (SeqRange{13, 14}));
}

TEST(IndexRow, SaysWhatItWasToldAndIsBelievedOnlyWhole) {
  std::vector<IndexEntry> entries{{7, 10, 5, 100, 3}, {9, 15, 1, 70, 3}, {40, 20, 3, 1 << 20, 3}};
  const IndexRow row = make_index_row(4, entries, 11, 2000);
  EXPECT_EQ(row.range, (SeqRange{10, 22}));
  EXPECT_EQ(row.segments, 3U);
  EXPECT_EQ(row.bytes, 170U + (1 << 20));
  const auto read = entries_of(row, 3);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 3U);
  EXPECT_EQ((*read)[2].id, 40);
  EXPECT_EQ((*read)[2].first, 20U);
  for (size_t i = 0; i < row.entries.size() * 8; ++i) {
    IndexRow bad = row;
    bad.entries[i / 8] = static_cast<char>(bad.entries[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(entries_of(bad, 3)) << "bit " << i;
  }
  IndexRow moved = row;
  moved.lane = 5;
  EXPECT_FALSE(entries_of(moved, 3));
  EXPECT_TRUE(is_sound(row));
  EXPECT_FALSE(is_sound(moved)) << "a start looks at the columns alone";
  moved = row;
  moved.range.first = 9;
  EXPECT_FALSE(entries_of(moved, 3));
  moved.entries.clear();
  EXPECT_FALSE(entries_of(moved, 3));
}

SegmentPtr segment(LaneId lane, Seq first, uint32_t count, size_t bytes) {
  return std::make_shared<Segment>(lane, first, count, std::string(bytes, 'x'));
}

TEST(Tail, DropsTheOldestOfAnyLaneAndStaysBelowItsBound) {
  Tail tail(4000);
  tail.add(segment(1, 1, 1, 1000));
  tail.add(segment(2, 1, 1, 1000));
  tail.add(segment(1, 2, 1, 1000));
  EXPECT_NE(tail.find(1, 1), nullptr);
  tail.add(segment(2, 2, 1, 1000));
  EXPECT_LE(tail.bytes(), 4000U);
  EXPECT_EQ(tail.find(1, 1), nullptr) << "the oldest goes";
  EXPECT_NE(tail.find(2, 1), nullptr);
  tail.add(segment(3, 1, 1, 10000));
  EXPECT_EQ(tail.find(3, 1), nullptr) << "larger than the bound";
  EXPECT_NE(tail.find(2, 2), nullptr) << "and nothing was dropped for it";
}

TEST(Tail, ReleasesWhatIsWhollyAcknowledged) {
  Tail tail(1 << 20);
  tail.add(segment(1, 1, 5, 10));
  tail.add(segment(1, 6, 5, 10));
  tail.add(segment(2, 1, 5, 10));
  tail.release(1, 9);
  EXPECT_EQ(tail.find(1, 1), nullptr);
  EXPECT_NE(tail.find(1, 6), nullptr);
  EXPECT_NE(tail.find(2, 1), nullptr);
  tail.release(1, 10);
  tail.release(2, 5);
  EXPECT_EQ(tail.bytes(), 0U);
}

TEST(Sizing, StaysWithinMaxSizeAndLeavesAReserve) {
  for (const uint64_t mib : {4U, 5U, 17U, 64U, 1000U, 2048U, 1000000U}) {
    const uint64_t max_size = mib << 20;
    const Sizing sizing = sizing_for(max_size);
    EXPECT_LE(static_cast<uint64_t>(sizing.max_pages * kPageBytes + sizing.wal_bytes) +
                  sizing.spare_bytes,
              max_size)
        << mib;
    const Sizing crowded = sizing_for(max_size, max_size);
    EXPECT_GE(crowded.max_pages * kPageBytes, kSpareChunkBytes) << mib << ": always room to begin";
    EXPECT_GE(crowded.insert_pages, 128) << mib;
    EXPECT_EQ(crowded.wal_bytes, sizing.wal_bytes) << mib;
    EXPECT_GE(sizing.max_pages - sizing.insert_pages, 64) << mib;
    EXPECT_GT(sizing.insert_pages, 256) << mib << ": one commit must fit";
    EXPECT_EQ(sizing.max_pages * kPageBytes % sizing.chunk_bytes, 0) << mib;
    EXPECT_GT(sizing.wal_bytes, sizing.checkpoint_pages * kPageBytes + int64_t{kCommitCapBytes})
        << mib;
  }
}

TEST(VolatileFilesystem, KnowsWhatDoesNotKeepItsPromises) {
  EXPECT_EQ(volatile_filesystem(0x01021994), "tmpfs");
  EXPECT_EQ(volatile_filesystem(0x858458F6), "ramfs");
  EXPECT_EQ(volatile_filesystem(0xFFFFFFFF858458F6), "ramfs") << "sign-extended on 32-bit systems";
  EXPECT_EQ(volatile_filesystem(0x794C7630), "overlay");
  EXPECT_EQ(volatile_filesystem(0x6969), "nfs");
  EXPECT_EQ(volatile_filesystem(0xFF534D42), "cifs");
  for (const uint64_t good :
       {0xEF53U, 0x9123683EU, 0x58465342U, 0xF2F52010U}) {  // ext4, btrfs, xfs, f2fs
    EXPECT_EQ(volatile_filesystem(good), std::nullopt) << good;
  }
}

}  // namespace
}  // namespace penstock::spool
