// Random operations at the limits: shares that hold, drop and refuse, ages by a clock set by hand,
// rolls to a next file, power cuts after a flush. What the spool drops is its own decision, so the
// map does not foretell it: every record it took is delivered once as it came in, or has a fate
// that its policy allows; nothing else is ever read, and the ledger counts exactly that.
#include <deque>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr int64_t kAgeSeconds = 20;

// A segment under way.
struct Taken {
  Seq last = 0;
  std::set<Seq> read;  // that had no fate by then
};

struct Limited {
  LaneId id = 0;
  OverflowPolicy overflow = OverflowPolicy::kBlock;
  bool ages = false;
  std::map<Seq, std::string> records;  // above the cursor, as they came in
  std::map<Seq, int64_t> taken_us;     // by the hand clock
  Seq next = 1;
  std::deque<Taken> on_way;
  uint64_t delivered = 0;
  uint64_t quarantined = 0;
  uint64_t refused = 0;
};

class SpoolLimitsModel : public ::testing::TestWithParam<int> {
 protected:
  SpoolLimitsModel() {
    // Room for the files of several rolls: the shares are what is filled.
    options_.max_size_bytes = 64 << 20;
    options_.tail_bytes = 100 << 10;
    options_.shrink_from_bytes = 4 << 20;
    options_.clock = clock_.reader();
    constexpr Millis kAge{kAgeSeconds * 1000};
    options_.policies["block"] = {OverflowPolicy::kBlock, 3.0, {}};
    options_.policies["oldest"] = {OverflowPolicy::kDropOldest, 2.0, {}};
    options_.policies["newest"] = {OverflowPolicy::kDropNewest, 2.0, {}};
    options_.policies["ages"] = {OverflowPolicy::kBlock, 4.0, kAge};
    options_.policies["both"] = {OverflowPolicy::kDropOldest, 1.5, kAge};
  }

  void open() {
    watcher_ = std::make_unique<Watcher>();
    spool_ = open_or_die(options_);
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
    for (const auto& [route, policy] : options_.policies) {
      Limited& lane = lanes_[route];
      lane.id = spool_->lane({route, "t"});
      lane.overflow = policy.overflow;
      lane.ages = policy.max_age.has_value();
      lane.on_way.clear();
    }
  }

  Limited& any_lane() {
    return std::next(lanes_.begin(), static_cast<long>(random_() % lanes_.size()))->second;
  }

  void offer() {
    Limited& lane = any_lane();
    switch (spool_->admit(lane.id)) {
      case Admission::kBlock:
        EXPECT_EQ(lane.overflow, OverflowPolicy::kBlock);
        return;
      case Admission::kDrop:
        EXPECT_EQ(lane.overflow, OverflowPolicy::kDropNewest);
        spool_->turned_away(lane.id, 1);
        ++lane.refused;
        return;
      case Admission::kTake:
        break;
    }
    auto records = feeder_->take(lane.id, 1 + static_cast<int>(random_() % 4),
                                 random_() % 8 == 0 ? 100 : random_() % 60'000);
    for (auto& record : records) {
      record.received_at_us = clock_.now().wall_us;
      lane.records[record.seq] = record.body;
      lane.taken_us[record.seq] = record.received_at_us;
      lane.next = record.seq + 1;
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }

  // Forgets the records up to `up_to`; those in `read` have another fate than being dropped.
  void settle(Limited& lane, Seq up_to, const std::set<Seq>& read) {
    for (auto it = lane.records.begin(); it != lane.records.end() && it->first <= up_to;) {
      if (!read.contains(it->first)) {
        EXPECT_TRUE(spool_->decided(lane.id, {it->first, it->first}))
            << "record " << it->first << " of lane " << lane.id << " was neither read nor dropped";
        EXPECT_TRUE(lane.overflow == OverflowPolicy::kDropOldest || is_old(lane, it->first));
      }
      lane.taken_us.erase(it->first);
      it = lane.records.erase(it);
    }
  }
  bool is_old(const Limited& lane, Seq seq) const {
    return lane.ages &&
           clock_.now().wall_us - lane.taken_us.at(seq) > kAgeSeconds * HandClock::kSecondUs;
  }

  // The next segment goes on its way: from now on it is not dropped. False when nothing is left.
  bool take(Limited& lane) {
    const Seq cursor = spool_->state(lane.id).cursor;
    const Seq from = lane.on_way.empty() ? cursor : lane.on_way.back().last;
    const auto segment = read_now(*spool_, lane.id, from + 1);
    if (!segment) ADD_FAILURE() << segment.error().what;
    if (!segment || *segment == nullptr) return false;
    Taken taken{(*segment)->last(), {}};
    Seq seq = (*segment)->first();
    for (const auto& body : bodies_of(**segment)) {
      const Seq at = seq++;
      if (at <= cursor || spool_->decided(lane.id, {at, at})) continue;
      const auto known = lane.records.find(at);
      if (known == lane.records.end()) {
        ADD_FAILURE() << "record " << at << " of lane " << lane.id << " came twice or from nowhere";
        return false;
      }
      EXPECT_EQ(known->second, body) << "record " << at;
      taken.read.insert(at);
    }
    lane.on_way.push_back(std::move(taken));
    return true;
  }
  void acknowledge(Limited& lane) {
    const Taken taken = std::move(lane.on_way.front());
    lane.on_way.pop_front();
    for (const Seq seq : taken.read)
      EXPECT_FALSE(spool_->decided(lane.id, {seq, seq})) << seq << " was dropped on its way";
    // Small ones: when the quarantine is full the lane is held, which is not asked here.
    if (!taken.read.empty() && lane.records[*taken.read.begin()].size() < 2000) {
      spool_->quarantine(lane.id, *taken.read.begin(), "poison");
      ++lane.quarantined;
      --lane.delivered;
    }
    lane.delivered += taken.read.size();
    settle(lane, taken.last, taken.read);
    spool_->acknowledge(lane.id, taken.last);
  }
  void deliver_some() {
    Limited& lane = any_lane();
    for (uint64_t i = 0, n = 1 + random_() % 8; i < n && take(lane); ++i) {
    }
    for (uint64_t i = random_() % 8; i > 0 && !lane.on_way.empty(); --i) acknowledge(lane);
    if (random_() % 8 == 0) lose_stream(lane);
  }
  void lose_stream(Limited& lane) {
    lane.on_way.clear();
    spool_->rewound(lane.id, spool_->state(lane.id).cursor + 1);
  }

  // Once a lane's records are all too old they go, without anybody asking.
  void age_out() {
    clock_.pass(2 * kAgeSeconds);
    for (auto& [route, lane] : lanes_) {
      lose_stream(lane);
      if (!lane.ages) continue;
      EXPECT_TRUE(eventually([&] { return spool_->state(lane.id).pending() == 0; })) << route;
    }
  }

  // The next commit goes to a new file.
  void roll() {
    const auto rolls = spool_->counters().rolls;
    vfs_.fail_sync_after(0);
    while (spool_->counters().rolls == rolls && !HasFailure()) offer_something();
  }
  void offer_something() {
    Limited& oldest = lanes_["oldest"];
    auto records = feeder_->take(oldest.id, 1, 100);
    oldest.records[records[0].seq] = records[0].body;
    oldest.taken_us[records[0].seq] = clock_.now().wall_us;
    oldest.next = records[0].seq + 1;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }

  void reopen(bool by_power_cut) {
    ASSERT_TRUE(spool_->flush());
    if (by_power_cut) {
      const auto next = dir_.path() / ("spool" + std::to_string(++cuts_));
      vfs_.cut_with_names(options_.dir, next,
                          static_cast<FaultVfs::Survives>(random_() % FaultVfs::kModes), random_);
      spool_->stop();
      spool_.reset();
      std::filesystem::remove_all(options_.dir);
      options_.dir = next;
      vfs_.adopt(next);
    } else {
      spool_->stop();
      spool_.reset();
    }
    open();
  }

  void compare() {
    ASSERT_TRUE(spool_->flush());
    for (auto& [route, lane] : lanes_) {
      SCOPED_TRACE(route);
      const LaneState state = spool_->state(lane.id);
      ASSERT_EQ(state.next_seq, lane.next);
      ASSERT_EQ(state.refused, lane.refused);
      ASSERT_EQ(state.damaged, 0U);
      ASSERT_EQ(state.discarded, 0U);
      ASSERT_TRUE(state.dropped_overflow == 0 || lane.overflow == OverflowPolicy::kDropOldest);
      ASSERT_TRUE(state.dropped_age == 0 || lane.ages);
      if (!lane.on_way.empty()) continue;  // reading would put the rest on its way
      const auto held = read_all(*spool_, lane.id, state.cursor + 1);
      for (const auto& [seq, body] : lane.records) {
        const auto found = held.find(seq);
        if (found == held.end()) {
          ASSERT_TRUE(spool_->decided(lane.id, {seq, seq})) << "record " << seq << " is gone";
          ASSERT_TRUE(lane.overflow == OverflowPolicy::kDropOldest || is_old(lane, seq))
              << "record " << seq << " was dropped and should not have been";
        } else {
          ASSERT_EQ(found->second, body) << "record " << seq;
        }
      }
      for (const auto& [seq, body] : held) {
        ASSERT_TRUE(lane.records.contains(seq) || spool_->decided(lane.id, {seq, seq}))
            << "record " << seq << " came from nowhere";
      }
      lose_stream(lane);  // all of it was read
    }
  }

  // Everything is delivered: the ledger is exact, and no older file stays.
  void drain() {
    for (auto& [route, lane] : lanes_) {
      SCOPED_TRACE(route);
      while (!lane.on_way.empty()) acknowledge(lane);
      while (take(lane) && !HasFailure()) acknowledge(lane);
      ASSERT_TRUE(spool_->flush());
      settle(lane, lane.next - 1, {});
      const LaneState state = spool_->state(lane.id);
      EXPECT_EQ(state.pending(), 0U);
      EXPECT_EQ(state.delivered(), lane.delivered);
      EXPECT_EQ(state.quarantined, lane.quarantined);
      expect_balanced(state);
    }
    EXPECT_TRUE(eventually([&] { return spool_->counters().older_files == 0; }))
        << spool_->counters().older_files << " older files stay";
    EXPECT_EQ(spool_->counters().kept_files, 0U);
    EXPECT_TRUE(watcher_->faults().empty());
  }

  void step() {
    const uint64_t choice = random_() % 100;
    if (choice < 55) {
      offer();
    } else if (choice < 78) {
      if (random_() % 12 == 0) is_outage_ = !is_outage_;
      if (!is_outage_) deliver_some();
    } else if (choice < 88) {
      clock_.pass(static_cast<int64_t>(random_() % 12));
    } else if (choice < 94) {
      compare();
    } else if (choice < 97) {
      if (random_() % 2 == 0) roll();
    } else if (random_() % 2 == 0) {
      reopen(choice < 99);
    }
  }

  FaultVfs vfs_;
  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  HandClock clock_;
  std::mt19937_64 random_;
  std::map<std::string, Limited> lanes_;
  bool is_outage_ = true;
  int cuts_ = 0;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Spool> spool_;
};

TEST_P(SpoolLimitsModel, EveryRecordHasTheFateItsPolicyAllows) {
  const uint64_t seed = test_seed() + static_cast<uint64_t>(GetParam());
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_.seed(seed);
  open();
  for (int i = 0; i < 1000 && !HasFailure(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    step();
  }
  if (!HasFailure()) age_out();
  if (!HasFailure()) drain();
  if (!HasFailure()) reopen(true);
  if (!HasFailure()) drain();
  spool_->stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpoolLimitsModel, ::testing::Range(0, 4));

}  // namespace
}  // namespace penstock::spool::testing
