// Random operations against a plain map: whatever the order, the spool holds what the map holds.
// Lanes that wait for their share, that drop for room or for age, and segments whose bytes go bad
// while the spool is closed. What is dropped and when is the spool's to say; that it may be, is
// checked.
#include <sstream>

#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

struct ModelLane {
  std::map<Seq, std::string> records;  // of all that was ever committed and not refused
  std::set<Seq> decided;               // refused or quarantined
  std::set<Seq> corrupt;               // in segments whose bytes went bad
  std::set<Seq> damaged;               // of these, those that were given up
  std::map<Seq, int64_t> taken_us;     // of a lane with an age
  Seq next = 1;                        // of the next record to enqueue
  Seq cursor = 0;
  bool drops = false;  // the spool takes its oldest when it likes, or when it is too old
  bool has_age = false;
  uint64_t delivered = 0;  // of a lane that drops
  uint64_t refused = 0;

  void settle() {
    while (decided.contains(cursor + 1) || damaged.contains(cursor + 1)) ++cursor;
  }
  bool is_gone(Seq seq) const {
    return damaged.contains(seq) || (corrupt.contains(seq) && decided.contains(seq));
  }
  uint64_t passed(const std::set<Seq>& seqs) const {
    return static_cast<uint64_t>(std::distance(seqs.begin(), seqs.upper_bound(cursor)));
  }
};

class SpoolModel : public ::testing::TestWithParam<int> {
 protected:
  SpoolModel() {
    options_.max_size_bytes = 16 << 20;
    options_.tail_bytes = 20 << 10;
    options_.policies["oldest"] = {OverflowPolicy::kDropOldest, 1.0, {}};
    options_.policies["newest"] = {OverflowPolicy::kDropNewest, 1.0, {}};
    options_.policies["blocks"] = {OverflowPolicy::kBlock, 0.3, {}};
    options_.policies["aged"] = {OverflowPolicy::kBlock, 100.0, kMaxAge};
    options_.clock = clock_.reader();
  }

  void open() {
    watcher_ = std::make_unique<Watcher>();
    spool_ = open_or_die(options_);
    spool_->start(*watcher_);
    source_seq_ = 0;
    // A lane that never held anything is forgotten, and its number may be another's now.
    std::erase_if(lanes_, [this](const auto& one) {
      const auto& [id, lane] = one;
      return lane.refused == 0 && spool_->state(id).next_seq == 1;
    });
    for (auto& [id, lane] : lanes_) lane.next = spool_->state(id).next_seq;
  }
  // What the spool finds itself need not be given up by its lane.
  void note_given_up(LaneId id, ModelLane& lane) {
    for (auto it = lane.corrupt.upper_bound(lane.cursor); it != lane.corrupt.end(); ++it) {
      if (!lane.decided.contains(*it) && spool_->decided(id, {*it, *it})) lane.damaged.insert(*it);
    }
  }

  LaneId any_lane() {
    const uint64_t choice = random_() % 10;
    if (choice == 0) return at(kUnroutedLane);
    if (choice == 1) return at(spool_->lane({"newest", "table"}));
    if (choice == 2) return at(spool_->lane({"blocks", "table"}));
    if (choice > 4) return at(spool_->lane({"route", "table" + std::to_string(random_() % 5)}));
    const LaneId id = at(spool_->lane({choice == 3 ? "oldest" : "aged", "table"}));
    lanes_[id].drops = true;
    lanes_[id].has_age = choice == 4;
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
    const int rooms = watcher_->rooms();
    const Admission verdict = spool_->admit(id);
    if (verdict == Admission::kBlock) {
      ASSERT_EQ(id, spool_->lane({"blocks", "table"}));
      make_room(id, rooms);
      return;
    }
    if (verdict == Admission::kDrop) {
      ASSERT_EQ(id, spool_->lane({"newest", "table"}));
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
      record.received_at_us = clock_.now().wall_us;
      if (lane.has_age) lane.taken_us[record.seq] = record.received_at_us;
      if (record.refusal.empty()) {
        lane.records[record.seq] = record.body;
      } else {
        lane.decided.insert(record.seq);
      }
      records.push_back(std::move(record));
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  }

  // A source that was held is told when its lane has room, and not before somebody makes it.
  void make_room(LaneId id, int rooms) {
    ASSERT_TRUE(spool_->flush());
    ModelLane& lane = lanes_[id];
    lane.cursor = spool_->state(id).next_seq - 1;
    spool_->acknowledge(id, lane.cursor);
    ASSERT_TRUE(watcher_->wait([rooms](Watcher& w) { return w.rooms_ > rooms; }));
    ASSERT_EQ(spool_->admit(id), Admission::kTake);
  }

  void acknowledge() {
    const LaneId id = any_lane();
    ModelLane& lane = lanes_[id];
    settle_drops(lane);
    if (lane.drops) follow(spool_->state(id), lane);
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
    if (!outside && seq > lanes_[id].cursor && !lanes_[id].damaged.contains(seq))
      lanes_[id].decided.insert(seq);
  }

  // All of `id` from `from` on, as a lane reads it: what cannot be read is given up.
  std::map<Seq, std::string> read_lane(LaneId id, Seq from) {
    std::map<Seq, std::string> held;
    for (;;) {
      const auto segment = read_now(*spool_, id, from);
      if (segment && *segment == nullptr) return held;
      if (segment) {
        Seq seq = (*segment)->first();
        for (auto& body : bodies_of(**segment)) held[seq++] = std::move(body);
        from = seq;
        continue;
      }
      const SeqRange range = spool_->segment_range(id, from);
      if (range.last < from || !lanes_[id].corrupt.contains(range.first)) {
        ADD_FAILURE() << "lane " << id << " seq " << from << ": " << segment.error().what;
        return held;
      }
      give_up(id, range);
      from = range.last + 1;
    }
  }
  void give_up(LaneId id, SeqRange range) {
    ModelLane& lane = lanes_[id];
    spool_->damaged(id, range.first, range.last, "model");
    for (Seq seq = std::max(range.first, lane.cursor + 1); seq <= range.last; ++seq) {
      ASSERT_TRUE(lane.corrupt.contains(seq)) << "lane " << id << " seq " << seq;
      if (!lane.decided.contains(seq)) lane.damaged.insert(seq);
    }
  }

  // The cursor may be further on than what was acknowledged: over what is decided or was dropped.
  void follow(const LaneState& state, ModelLane& lane) {
    note_given_up(state.id, lane);
    while (lane.cursor < state.cursor) {
      ++lane.cursor;
      const bool was_dropped = lane.has_age && !lane.decided.contains(lane.cursor);
      ASSERT_TRUE(!was_dropped || is_too_old(lane, lane.cursor)) << "seq " << lane.cursor;
    }
  }

  // Only what is committed is compared: all of it after a flush.
  void compare() {
    ASSERT_TRUE(spool_->flush());
    for (auto& [id, lane] : lanes_) {
      if (!lane.corrupt.empty()) {
        (void)read_lane(id, spool_->state(id).cursor + 1);
        ASSERT_TRUE(spool_->flush());
      }
      const LaneState state = spool_->state(id);
      if (lane.drops || !lane.corrupt.empty()) follow(state, lane);
      lane.settle();
      expect_balanced(state);
      ASSERT_EQ(state.next_seq, lane.next) << "lane " << id;
      ASSERT_EQ(state.cursor, lane.cursor) << "lane " << id;
      ASSERT_EQ(state.quarantined, lane.passed(lane.decided)) << "lane " << id;
      ASSERT_EQ(state.damaged, lane.passed(lane.damaged)) << "lane " << id;
      ASSERT_EQ(state.refused, lane.refused) << "lane " << id;
      ASSERT_EQ(lane.has_age ? state.dropped_overflow : state.dropped_age, 0U) << "lane " << id;
      if (lane.drops) {
        // One may have been dropped between the question and the acknowledgement.
        ASSERT_LE(state.delivered(), lane.delivered) << "lane " << id;
      } else {
        ASSERT_EQ(state.dropped(), 0U) << "lane " << id;
      }
      const auto held = read_lane(id, lane.cursor + 1);
      for (auto it = lane.records.upper_bound(lane.cursor); it != lane.records.end(); ++it) {
        if (lane.is_gone(it->first)) {
          ASSERT_FALSE(held.contains(it->first)) << "lane " << id << " seq " << it->first;
          continue;
        }
        if (lane.drops && !held.contains(it->first)) {
          ASSERT_TRUE(spool_->decided(id, {it->first, it->first})) << "seq " << it->first;
          ASSERT_TRUE(!lane.has_age || is_too_old(lane, it->first)) << "seq " << it->first;
          continue;
        }
        ASSERT_TRUE(held.contains(it->first)) << "lane " << id << " seq " << it->first;
        ASSERT_EQ(held.at(it->first), it->second);
      }
      for (const auto& [seq, body] : held)
        ASSERT_TRUE(lane.records.contains(seq)) << "lane " << id << " seq " << seq;
    }
  }

  bool is_too_old(const ModelLane& lane, Seq seq) const {
    const int64_t age_us = clock_.now().wall_us - lane.taken_us.at(seq);
    return age_us > std::chrono::microseconds(kMaxAge).count();
  }

  void read_somewhere() {
    const LaneId id = any_lane();
    const Seq from = 1 + random_() % (spool_->state(id).next_seq + 2);
    const auto segment = read_now(*spool_, id, from);
    if (segment) return;
    const SeqRange range = spool_->segment_range(id, from);
    ASSERT_TRUE(range.empty() || lanes_[id].corrupt.contains(range.first)) << segment.error().what;
  }

  // A stored segment of a lane that only blocks loses its last byte.
  void corrupt_one() {
    const auto found = query(dir_.path() / "1.db",
                             "SELECT id, seg.lane, seg.first_seq, count FROM seg JOIN lane_state "
                             "USING(lane) WHERE route='route' ORDER BY id");
    if (found.empty()) return;
    std::istringstream row(found[random_() % found.size()]);
    char bar = 0;
    int64_t id = 0;
    LaneId lane = 0;
    Seq first = 0;
    Seq count = 0;
    row >> id >> bar >> lane >> bar >> first >> bar >> count;
    query(dir_.path() / "1.db",
          "UPDATE seg SET payload=substr(payload, 1, length(payload)-1) WHERE id=" +
              std::to_string(id));
    for (Seq seq = first; seq < first + count; ++seq) lanes_[lane].corrupt.insert(seq);
  }

  void reopen() {
    spool_->stop();
    spool_.reset();
    if (random_() % 3 == 0) corrupt_one();
    open();
  }

  // A lane that nothing is acknowledged of is held in the end.
  void fill_until_held() {
    const LaneId id = at(spool_->lane({"blocks", "table"}));
    for (int i = 0; i < 100; ++i) {
      const int rooms = watcher_->rooms();
      if (spool_->admit(id) == Admission::kBlock) return make_room(id, rooms);
      ModelLane& lane = lanes_[id];
      Pending record;
      record.lane = id;
      record.seq = lane.next++;
      record.source = 1;
      record.source_seq = ++source_seq_;
      record.body = lane.records[record.seq] = Feeder::body(id, record.seq, 3000);
      std::vector<Pending> records;
      records.push_back(std::move(record));
      ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
      ASSERT_TRUE(spool_->flush());
    }
    FAIL() << "it holds more than its share";
  }

  // In the end nothing that is too old is left.
  void let_all_age() {
    clock_.pass(1000);
    const LaneId id = spool_->lane({"aged", "table"});
    spool_->rewound(id, spool_->state(id).cursor + 1);
    ASSERT_TRUE(eventually([&] { return spool_->state(id).pending() == 0; }));
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
    } else if (choice < 93) {
      clock_.pass(static_cast<int64_t>(random_() % 3));
    } else if (choice < 94) {
      spool_->flush_hint();
    } else if (choice < 97) {
      compare();
    } else {
      reopen();
    }
    // The cursor passes decided records as soon as they are committed, which the map cannot see the
    // moment of.
    for (auto& [id, lane] : lanes_) follow(spool_->state(id), lane);
  }

  static constexpr Millis kMaxAge{2000};

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  HandClock clock_;
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
  if (!HasFatalFailure()) fill_until_held();
  if (!HasFatalFailure()) compare();
  if (!HasFatalFailure()) reopen();
  if (!HasFatalFailure()) compare();
  if (!HasFatalFailure()) let_all_age();
  spool_->stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpoolModel, ::testing::Range(0, 6));

}  // namespace
}  // namespace penstock::spool::testing
