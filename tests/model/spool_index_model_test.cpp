// Goal: whatever is added, written, evicted, fetched again, moved and taken out, in whatever order,
// the index finds exactly the segments there are, and holds no more of them than it may. Method:
// random operations against a plain map; what rows say is kept beside it and never shrinks, as in a
// file that is not written any more.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "agent/spool/segment_index.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr LaneId kLanes = 3;
constexpr size_t kLimit = 24;
constexpr size_t kLargest = 128;  // more than a chunk gets here

class IndexModel : public ::testing::TestWithParam<int> {
 protected:
  using Entries = std::map<Seq, IndexEntry>;

  IndexModel() { index_.limit(kLimit); }
  LaneId any_lane() { return 1 + static_cast<LaneId>(random_() % kLanes); }
  Seq any_seq(LaneId lane) { return 1 + random_() % next_[lane]; }

  void add() {
    const LaneId lane = any_lane();
    Seq& next = next_.try_emplace(lane, 1).first->second;
    if (random_() % 6 == 0) next += 1 + random_() % 3;  // refused: in no segment
    const IndexEntry entry{++id_, next, 1 + static_cast<uint32_t>(random_() % 4), 100, generation_};
    next = entry.last() + 1;
    ASSERT_TRUE(index_.add(lane, entry));
    truth_[lane][entry.first] = entry;
  }

  void write_rows() {
    const auto stretches = index_.stretches(generation_, 1 + random_() % 200);
    for (const auto& [lane, entries] : stretches) {
      for (const auto& entry : entries) rows_[{generation_, lane}][entry.first] = entry;
    }
    index_.written(generation_, stretches);
  }

  // Some entries of rows around `from`, as a reader of rows would tell.
  void fetch(LaneId lane, Seq from, const SegmentIndex::Absent& absent) {
    from = std::max(from, absent.range.first);
    const Entries& rows = rows_[{absent.generation, lane}];
    auto begin = rows.upper_bound(from);
    for (size_t back = 1 + random_() % 3; back > 0 && begin != rows.begin(); --back) --begin;
    SeqRange range{begin == rows.begin() ? absent.range.first : begin->first, absent.range.last};
    std::vector<IndexEntry> entries;
    for (auto it = begin; it != rows.end(); ++it) {
      if (entries.size() >= 6 && it->first > from) {
        range.last = entries.back().last();
        break;
      }
      entries.push_back(it->second);
    }
    range.first = std::max(std::min(range.first, from), absent.range.first);
    index_.fill(lane, range, entries);
    index_.evict();
  }

  const IndexEntry* find(LaneId lane, Seq from) {
    while (const auto absent = index_.absent_at(lane, from)) fetch(lane, from, *absent);
    return index_.find(lane, from);
  }

  void look() {
    const LaneId lane = any_lane();
    if (!next_.contains(lane)) return;
    const Seq from = any_seq(lane);
    const IndexEntry* found = find(lane, from);
    auto wanted = truth_[lane].upper_bound(from);
    if (wanted != truth_[lane].begin() && std::prev(wanted)->second.last() >= from) --wanted;
    ASSERT_EQ(found != nullptr, wanted != truth_[lane].end()) << "lane " << lane << " at " << from;
    if (found == nullptr) return;
    ASSERT_EQ(found->id, wanted->second.id);
    ASSERT_EQ(found->generation, wanted->second.generation);
  }

  void remove(bool oldest) {
    const LaneId lane = any_lane();
    if (truth_[lane].empty()) return;
    const IndexEntry* found = find(lane, oldest ? 1 : any_seq(lane));
    if (found == nullptr) return;
    const Seq first = found->first;
    if (oldest) {
      ASSERT_EQ(first, truth_[lane].begin()->first);
    }
    index_.remove(lane, first);
    truth_[lane].erase(first);
  }

  void move() {
    const uint32_t from = 1 + static_cast<uint32_t>(random_() % generation_);
    if (from == generation_) return;
    for (const auto& [lane, entry] : index_.some_of(from, 1 + random_() % 5)) {
      const IndexEntry moved{entry.id, entry.first, entry.count, entry.bytes, generation_};
      rows_[{generation_, lane}][entry.first] = moved;
      truth_[lane][entry.first] = moved;
      index_.move(lane, moved);
    }
  }

  void check() {
    index_.evict();
    size_t unwritten = 0;
    for (uint32_t generation = 1; generation <= generation_; ++generation) {
      unwritten += index_.unwritten(generation);
      uint64_t held = 0;
      for (const auto& [lane, entries] : truth_) {
        for (const auto& [first, entry] : entries) held += entry.generation == generation;
      }
      if (held > 0) {
        ASSERT_GT(index_.live(generation).segments, 0U) << "its file would be removed";
      }
    }
    // What was used last stays.
    ASSERT_LE(index_.entries(), kLimit + unwritten + kLargest);
  }

  // Without fetching: what is loaded is right, the rest is absent and of the right generation.
  void agrees() {
    for (const auto& [lane, entries] : truth_) {
      for (const auto& [first, entry] : entries) {
        if (const auto absent = index_.absent_at(lane, first)) {
          ASSERT_LE(absent->range.first, first) << "lane " << lane;
          ASSERT_EQ(absent->generation, entry.generation) << "lane " << lane << " at " << first;
          continue;
        }
        const auto found = index_.overlapping(lane, {first, first});
        ASSERT_EQ(found.size(), 1U) << "lane " << lane << " at " << first;
        ASSERT_EQ(found.front().id, entry.id) << "lane " << lane << " at " << first;
        ASSERT_EQ(found.front().generation, entry.generation);
      }
    }
  }

  void all_is_there() {
    for (const auto& [lane, entries] : truth_) {
      Seq from = 1;
      for (const auto& [first, entry] : entries) {
        const IndexEntry* found = find(lane, from);
        ASSERT_NE(found, nullptr);
        ASSERT_EQ(found->id, entry.id);
        from = entry.last() + 1;
      }
      ASSERT_EQ(find(lane, from), nullptr);
    }
  }

  std::mt19937_64 random_{test_seed() + static_cast<uint64_t>(GetParam())};
  SegmentIndex index_;
  std::map<LaneId, Entries> truth_;
  std::map<std::pair<uint32_t, LaneId>, Entries> rows_;  // of a generation and a lane
  std::map<LaneId, Seq> next_;
  uint32_t generation_ = 1;
  int64_t id_ = 0;
};

TEST_P(IndexModel, FindsWhatThereIsWithAFewEntriesInMemory) {
  for (int i = 0; i < 4000 && !HasFailure(); ++i) {
    switch (random_() % 16) {
      case 0:
        write_rows();
        break;
      case 1:
        if (random_() % 40 == 0) ++generation_;
        break;
      case 2:
        move();
        break;
      case 3:
      case 4:
        remove(random_() % 3 != 0);
        break;
      case 5:
      case 6:
      case 7:
        look();
        break;
      case 8:
        check();
        break;
      default:
        add();
    }
    if (i % 16 == 0) {
      ASSERT_NO_FATAL_FAILURE(agrees()) << "after " << i << " operations";
    }
  }
  ASSERT_NO_FATAL_FAILURE(all_is_there());
}

INSTANTIATE_TEST_SUITE_P(Seeds, IndexModel, ::testing::Range(0, 8));

}  // namespace
}  // namespace penstock::spool::testing
