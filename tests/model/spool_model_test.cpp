// Random operations against a plain map: whatever the order, the spool holds what the map holds.
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

struct ModelLane {
  std::map<Seq, std::string> records;  // of all that was ever committed and not refused
  std::set<Seq> decided;               // refused or quarantined
  Seq next = 1;                        // of the next record to enqueue
  Seq cursor = 0;
  bool drops = false;      // the spool takes its oldest when it likes
  uint64_t delivered = 0;  // of a lane that drops
  uint64_t refused = 0;

  void settle() {
    while (decided.contains(cursor + 1)) ++cursor;
  }
  uint64_t quarantined() const {
    return static_cast<uint64_t>(std::distance(decided.begin(), decided.upper_bound(cursor)));
  }
};

class SpoolModel : public ::testing::TestWithParam<int> {
 protected:
  SpoolModel() {
    options_.max_size_bytes = 16 << 20;
    options_.tail_bytes = 20 << 10;
    options_.policies["oldest"] = {OverflowPolicy::kDropOldest, 1.0, {}};
    options_.policies["newest"] = {OverflowPolicy::kDropNewest, 1.0, {}};
  }

  void open() {
    watcher_ = std::make_unique<Watcher>();
    spool_ = open_or_die(options_);
    spool_->start(*watcher_);
    source_seq_ = 0;
    for (auto& [id, lane] : lanes_) lane.next = spool_->state(id).next_seq;
  }

  LaneId any_lane() {
    const uint64_t choice = random_() % 10;
    if (choice == 0) return at(kUnroutedLane);
    if (choice == 1) return at(spool_->lane({"newest", "table"}));
    if (choice > 3) return at(spool_->lane({"route", "table" + std::to_string(random_() % 5)}));
    const LaneId id = at(spool_->lane({"oldest", "table"}));
    lanes_[id].drops = true;
    return id;
  }
  LaneId at(LaneId id) {
    lanes_.try_emplace(id);
    return id;
  }
  // Drops happen with commits: after this there are none until something is done.
  void settle_drops(const ModelLane& lane) {
    if (!lane.drops) return;
    ASSERT_TRUE(spool_->flush());
  }

  void enqueue() {
    const LaneId id = any_lane();
    ModelLane& lane = lanes_[id];
    if (lane.drops && random_() % 2 == 0) spool_->rewound(id, lane.cursor + 1);
    const Admission verdict = spool_->admit(id);
    ASSERT_NE(verdict, Admission::kBlock);
    if (verdict == Admission::kDrop) {
      spool_->turned_away(id, 1);
      ++lane.refused;
      return;
    }
    std::vector<Pending> records;
    for (uint64_t i = 0, n = 1 + random_() % 6; i < n; ++i) {
      Pending record;
      record.lane = id;
      record.seq = lane.next++;
      record.source = 1;
      record.source_seq = ++source_seq_;
      record.commit_within = Millis(random_() % 3);
      record.body = Feeder::body(id, record.seq, random_() % 3000);
      if (id == kUnroutedLane || random_() % 12 == 0) record.refusal = "refused";
      if (record.refusal.empty()) {
        lane.records[record.seq] = record.body;
      } else {
        lane.decided.insert(record.seq);
      }
      records.push_back(std::move(record));
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  }

  void acknowledge() {
    const LaneId id = any_lane();
    ModelLane& lane = lanes_[id];
    settle_drops(lane);
    if (lane.drops) lane.cursor = spool_->state(id).cursor;
    const Seq committed = spool_->state(id).next_seq - 1;
    if (committed <= lane.cursor) return;
    const Seq up_to = lane.cursor + 1 + random_() % (committed - lane.cursor);
    for (Seq seq = lane.cursor + 1; lane.drops && seq <= up_to; ++seq)
      lane.delivered += spool_->decided(id, {seq, seq}) ? 0 : 1;
    spool_->acknowledge(id, up_to);
    lane.cursor = up_to;
  }

  void quarantine() {
    const LaneId id = any_lane();
    if (lanes_[id].drops) return;  // it might be dropped at that moment
    const Seq committed = spool_->state(id).next_seq - 1;
    // One that is not committed now must not be a moment later either.
    const bool outside = committed == 0 || random_() % 8 == 0;
    const Seq seq = outside ? lanes_[id].next : 1 + random_() % committed;
    spool_->quarantine(id, seq, "poison");
    if (!outside && seq > lanes_[id].cursor) lanes_[id].decided.insert(seq);
  }

  // Only what is committed is compared: all of it after a flush.
  void compare() {
    ASSERT_TRUE(spool_->flush());
    for (auto& [id, lane] : lanes_) {
      if (lane.drops) lane.cursor = spool_->state(id).cursor;
      lane.settle();
      const LaneState state = spool_->state(id);
      ASSERT_EQ(state.next_seq, lane.next) << "lane " << id;
      ASSERT_EQ(state.cursor, lane.cursor) << "lane " << id;
      ASSERT_EQ(state.quarantined, lane.quarantined()) << "lane " << id;
      ASSERT_EQ(state.damaged, 0U);
      ASSERT_EQ(state.refused, lane.refused) << "lane " << id;
      if (lane.drops) {
        // One may have been dropped between the question and the acknowledgement.
        ASSERT_LE(state.delivered(), lane.delivered) << "lane " << id;
      } else {
        ASSERT_EQ(state.dropped(), 0U) << "lane " << id;
      }
      const auto held = read_all(*spool_, id, lane.cursor + 1);
      for (auto it = lane.records.upper_bound(lane.cursor); it != lane.records.end(); ++it) {
        if (lane.drops && !held.contains(it->first)) {
          ASSERT_TRUE(spool_->decided(id, {it->first, it->first})) << "seq " << it->first;
          continue;
        }
        ASSERT_TRUE(held.contains(it->first)) << "lane " << id << " seq " << it->first;
        ASSERT_EQ(held.at(it->first), it->second);
      }
      for (const auto& [seq, body] : held)
        ASSERT_TRUE(lane.records.contains(seq)) << "lane " << id << " seq " << seq;
    }
  }

  void read_somewhere() {
    const LaneId id = any_lane();
    ASSERT_TRUE(read_now(*spool_, id, 1 + random_() % (spool_->state(id).next_seq + 2)));
  }

  void reopen() {
    spool_->stop();
    spool_.reset();
    open();
  }

  void step() {
    const uint64_t choice = random_() % 100;
    if (choice < 55) {
      enqueue();
    } else if (choice < 70) {
      acknowledge();
    } else if (choice < 80) {
      quarantine();
    } else if (choice < 92) {
      read_somewhere();
    } else if (choice < 94) {
      spool_->flush_hint();
    } else if (choice < 97) {
      compare();
    } else {
      reopen();
    }
    // The cursor passes decided records as soon as they are committed, which the map cannot see the
    // moment of.
    for (auto& [id, lane] : lanes_) lane.cursor = std::max(lane.cursor, spool_->state(id).cursor);
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  std::mt19937_64 random_;
  std::map<LaneId, ModelLane> lanes_;
  uint64_t source_seq_ = 0;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
};

TEST_P(SpoolModel, HoldsWhatTheMapHolds) {
  const uint64_t seed = test_seed() + static_cast<uint64_t>(GetParam());
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_.seed(seed);
  open();
  for (int i = 0; i < 600 && !HasFatalFailure(); ++i) step();
  if (!HasFatalFailure()) compare();
  if (!HasFatalFailure()) reopen();
  if (!HasFatalFailure()) compare();
  spool_->stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpoolModel, ::testing::Range(0, 6));

}  // namespace
}  // namespace penstock::spool::testing
