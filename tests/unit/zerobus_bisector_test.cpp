// Goal: whatever records the service refuses, exactly those are named, all others are delivered in
// order, and the search stays within its number of streams. Method: tables of the Bisector, and the
// real session against a simulated server with random sets of bad records.
#include <bit>
#include <cstdlib>
#include <deque>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "agent/zerobus/bisector.h"
#include "agent/zerobus/session.h"

namespace penstock::zerobus {
namespace {

using Verdict = Bisector::Verdict;
constexpr uint64_t kNoBound = Bisector::kNoBound;

TEST(ZerobusBisector, WithoutARefusalNothingIsBounded) {
  Bisector bisector(20);
  bisector.released(10);
  EXPECT_FALSE(bisector.searching());
  EXPECT_EQ(bisector.until(), kNoBound);
}

TEST(ZerobusBisector, SuspectsGoInOrderUntilTheLastIsThrough) {
  Bisector bisector(20);
  EXPECT_EQ(bisector.refused({1, 30, false, true}), Verdict::kSearch);
  EXPECT_TRUE(bisector.searching());
  EXPECT_EQ(bisector.until(), 30u);
  bisector.released(29);
  EXPECT_EQ(bisector.until(), 30u);
  bisector.released(30);
  EXPECT_FALSE(bisector.searching());
  EXPECT_EQ(bisector.until(), kNoBound);
}

TEST(ZerobusBisector, ABatchRefusedAloneIsHalvedAndAHalfThatPassesClearsIt) {
  Bisector bisector(20);
  bisector.refused({1, 100, false, true});
  EXPECT_EQ(bisector.refused({1, 8, true, true}), Verdict::kSearch);
  EXPECT_EQ(bisector.until(), 4u);
  bisector.released(4);
  EXPECT_EQ(bisector.until(), 6u);
  EXPECT_EQ(bisector.refused({5, 6, true, false}), Verdict::kSearch);
  EXPECT_EQ(bisector.until(), 5u);
  bisector.released(5);
  EXPECT_EQ(bisector.until(), 6u);
  bisector.released(6);  // refused together, accepted apart
  EXPECT_EQ(bisector.until(), 100u) << "whole batches again";
}

TEST(ZerobusBisector, AProbeCutShortByItsSizeNarrowsTheSearchToo) {
  Bisector bisector(20);
  bisector.refused({1, 100, true, true});
  EXPECT_EQ(bisector.until(), 50u);
  EXPECT_EQ(bisector.refused({1, 3, true, true}), Verdict::kSearch);
  EXPECT_EQ(bisector.until(), 1u);
}

TEST(ZerobusBisector, ARecordIsNamedOnlyAloneOnAFreshStreamOfTheSearch) {
  const struct {
    bool searched_before, alone, fresh;
    uint64_t last_seq;
    Verdict verdict;
  } rows[] = {
      {true, true, true, 5, Verdict::kPoison},  {false, true, true, 5, Verdict::kSearch},
      {true, true, false, 5, Verdict::kSearch}, {true, false, true, 5, Verdict::kSearch},
      {true, true, true, 6, Verdict::kSearch},
  };
  for (const auto& row : rows) {
    Bisector bisector(20);
    if (row.searched_before) bisector.refused({1, 9, false, true});
    EXPECT_EQ(bisector.refused({5, row.last_seq, row.alone, row.fresh}), row.verdict)
        << row.searched_before << row.alone << row.fresh << row.last_seq;
  }
}

TEST(ZerobusBisector, TheRecordBehindANamedOneGoesAlone) {
  Bisector bisector(20);
  bisector.refused({1, 9, false, true});
  EXPECT_EQ(bisector.refused({3, 3, true, true}), Verdict::kPoison);
  EXPECT_EQ(bisector.until(), 4u);
  bisector.nothing_until(4);  // has no row: then the one behind it
  EXPECT_EQ(bisector.until(), 5u);
  EXPECT_EQ(bisector.refused({5, 5, true, true}), Verdict::kPoison);
  EXPECT_EQ(bisector.in_a_row(), 2);
  bisector.released(6);
  EXPECT_EQ(bisector.in_a_row(), 0);
  EXPECT_EQ(bisector.until(), 9u);
}

TEST(ZerobusBisector, ARecordIsNotNamedWhileItsSchemaIsInDoubt) {
  Bisector bisector(2);
  bisector.refused({1, 9, false, true, true});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(bisector.refused({3, 3, true, true, true}), Verdict::kInDoubt);
    EXPECT_EQ(bisector.until(), 3u) << "alone again";
  }
  EXPECT_EQ(bisector.in_a_row(), 0);
  EXPECT_EQ(bisector.refused({3, 3, true, true}), Verdict::kPoison);
}

TEST(ZerobusBisector, BeyondTheLimitNothingMoreIsNamedUntilSomethingPasses) {
  Bisector bisector(2);
  bisector.refused({1, 9, false, true});
  EXPECT_EQ(bisector.refused({1, 1, true, true}), Verdict::kPoison);
  EXPECT_EQ(bisector.refused({2, 2, true, true}), Verdict::kPoison);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bisector.refused({3, 3, true, true}), Verdict::kHold);
    EXPECT_EQ(bisector.until(), 3u);
  }
  bisector.released(3);
  EXPECT_EQ(bisector.refused({4, 4, true, true}), Verdict::kPoison);
}

// --- the session against a simulated server

struct Setup {
  uint64_t records = 0;
  std::set<uint64_t> bad;
  std::set<uint64_t> without_row;
  uint64_t batch_records = 1;
  size_t in_flight_batches = 1;
};

uint64_t ceil_log2(uint64_t n) { return n <= 1 ? 0 : std::bit_width(n - 1); }

class Simulation {
 public:
  Simulation(Setup setup, uint64_t seed)
      : setup_(std::move(setup)), random_(seed), session_(config(setup_)) {}

  void run() {
    apply(session_.start(at(), 0));
    apply(session_.data_available(at()));
    for (int i = 0; i < 300'000 && !done() && !testing::Test::HasFatalFailure(); ++i) step();
    EXPECT_TRUE(done()) << "stuck at " << fated_;
    EXPECT_EQ(named_, setup_.bad);
    for (uint64_t seq = 1; seq <= setup_.records; ++seq) {
      EXPECT_EQ(stored_.contains(seq), has_row(seq) && !setup_.bad.contains(seq)) << seq;
    }
  }

 private:
  static constexpr size_t kRecordBytes = 100;

  static SessionConfig config(const Setup& setup) {
    SessionConfig config;
    config.batch_bytes = setup.batch_records * kRecordBytes;
    config.in_flight_bytes = config.batch_bytes * setup.in_flight_batches;
    config.poison_limit = 1'000'000;
    return config;
  }
  bool has_row(uint64_t seq) const { return !setup_.without_row.contains(seq); }
  bool done() const {
    for (uint64_t seq = fated_ + 1; seq <= setup_.records; ++seq) {
      if (has_row(seq)) return false;
    }
    return true;
  }
  uint64_t pick(uint64_t below) { return random_() % below; }
  Moment at() { return {now_, static_cast<double>(pick(1000)) / 1000.0}; }

  void step() {
    if (stream_ == 0) {
      now_ = std::max(now_, armed_);
      armed_ = MonoTime::max();
      return apply(session_.timer(at()));
    }
    if (!created_) {
      created_ = true;
      return apply(session_.response(at(), stream_, StreamCreated{"s"}));
    }
    switch (pick(4)) {
      case 0:
        return answer_want();
      case 1:
        if (writes_ == 0) return;
        --writes_;
        return apply(session_.writes_done(at(), stream_, 1));
      case 2:
        return serve_one();
      default:
        return acknowledge();
    }
  }

  void answer_want() {
    if (!want_) return;
    const auto want = *std::exchange(want_, std::nullopt);
    BatchInfo batch;
    for (; next_ <= std::min(want.until_seq, setup_.records) &&
           batch.bytes + kRecordBytes <= want.max_bytes;
         ++next_) {
      if (!has_row(next_)) continue;
      if (batch.rows++ == 0) batch.first_seq = next_;
      batch.last_seq = next_;
      batch.bytes += kRecordBytes;
    }
    apply(batch.rows == 0 ? session_.no_data(at(), want.generation)
                          : session_.batch_ready(at(), want.generation, batch));
  }

  // All or nothing per request, in order; the first bad one ends the stream. What was stored before
  // it may or may not be acknowledged first.
  void serve_one() {
    if (served_ == received_.size()) return;
    const BatchInfo& batch = received_[served_];
    const auto bad = setup_.bad.lower_bound(batch.first_seq);
    if (bad != setup_.bad.end() && *bad <= batch.last_seq) {
      if (pick(2) == 0) acknowledge();
      return apply(
          session_.closed(at(), std::exchange(stream_, 0), {code::kInvalidArgument, "refused"}));
    }
    for (uint64_t seq = batch.first_seq; seq <= batch.last_seq; ++seq) {
      if (has_row(seq)) stored_.insert(seq);
    }
    ++served_;
  }

  void acknowledge() {
    if (acked_ == served_ || stream_ == 0) return;
    acked_ = served_;
    apply(session_.response(at(), stream_, Ack{static_cast<int64_t>(acked_) - 1}));
  }

  void apply(const Actions& actions) {
    for (const Action& action : actions) std::visit([this](const auto& a) { on(a); }, action);
  }

  void on(const Open& open) {
    stream_ = open.generation;
    created_ = false;
    writes_ = 0;
    received_.clear();
    served_ = acked_ = 0;
    ++opens_;
    ++opens_of_search_;
  }
  void on(const WantBatch& want) { want_ = want; }
  void on(const Write& write) {
    ++writes_;
    received_.push_back(write.batch);
    largest_batch_ = std::max(largest_batch_, write.batch.last_seq - write.batch.first_seq + 1);
    most_batches_ = std::max<uint64_t>(most_batches_, received_.size() - acked_);
  }
  void on(const TakeBack&) {}  // all have begun
  void on(const HalfClose&) {}
  void on(const Cancel&) { stream_ = 0; }
  void on(const Release& release) { fate(release.up_to_seq, stored_); }
  void on(const Poison& poison) {
    ASSERT_TRUE(setup_.bad.contains(poison.seq)) << poison.seq << " is good";
    ASSERT_TRUE(named_.insert(poison.seq).second) << poison.seq << " was named before";
    fate(poison.seq, {poison.seq});
    EXPECT_LE(opens_, 2 * ceil_log2(most_batches_) + 2 * ceil_log2(largest_batch_) + 2);
    EXPECT_LE(opens_of_search_, 2 + ceil_log2(largest_batch_));
    opens_ = opens_of_search_ = largest_batch_ = most_batches_ = 0;
  }
  // All records up to `last` have their fate now: those with a row must be in `where`.
  void fate(uint64_t last, const std::set<uint64_t>& where) {
    ASSERT_GT(last, fated_) << "the order is lost";
    for (uint64_t seq = fated_ + 1; seq <= last; ++seq) {
      ASSERT_TRUE(!has_row(seq) || where.contains(seq)) << seq << " was passed by";
    }
    fated_ = last;
  }
  void on(const Rewind& rewind) {
    ASSERT_EQ(rewind.from_seq, fated_ + 1);
    next_ = rewind.from_seq;
    want_.reset();
  }
  void on(const Arm& arm) { armed_ = arm.at; }
  void on(const Rejected&) { opens_of_search_ = 0; }
  void on(const Report&) {}
  void on(const DropToken&) {}
  void on(const Stopped&) {}

  const Setup setup_;
  std::mt19937_64 random_;
  MonoTime now_ = MonoTime() + std::chrono::hours(1);
  MonoTime armed_ = MonoTime::max();
  uint64_t stream_ = 0;
  bool created_ = false;
  int writes_ = 0;  // not reported as done
  std::deque<BatchInfo> received_;
  size_t served_ = 0;
  size_t acked_ = 0;
  std::optional<WantBatch> want_;
  uint64_t next_ = 1;
  uint64_t fated_ = 0;
  std::set<uint64_t> stored_, named_;
  uint64_t opens_ = 0;            // since the last named record
  uint64_t opens_of_search_ = 0;  // and since its suspicion
  uint64_t largest_batch_ = 0, most_batches_ = 0;
  StreamSession session_;
};

Setup random_setup(std::mt19937_64& random) {
  Setup setup;
  setup.records = 1 + random() % 300;
  setup.batch_records = 1 + random() % 64;
  setup.in_flight_batches = 1 + random() % 8;
  const uint64_t kBadInThousand[] = {0, 5, 20, 100, 500, 1000};
  const uint64_t bad = kBadInThousand[random() % std::size(kBadInThousand)];
  const uint64_t without_row = random() % 2 * 100;
  for (uint64_t seq = 1; seq <= setup.records; ++seq) {
    if (random() % 1000 < without_row) {
      setup.without_row.insert(seq);
    } else if (random() % 1000 < bad) {
      setup.bad.insert(seq);
    }
  }
  return setup;
}

TEST(ZerobusBisectorModel, ExactlyTheBadRecordsAreNamedAndAllOthersArriveInOrder) {
  const char* const text = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t base = text ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  for (uint64_t run = 0; run < 300; ++run) {
    SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(base) + ", run " + std::to_string(run));
    std::mt19937_64 random(base * 1000 + run);
    Simulation(random_setup(random), random()).run();
    if (HasFailure()) return;
  }
}

TEST(ZerobusBisectorModel, TheBoundHoldsForEveryPlaceInABatch) {
  for (const uint64_t records : {1, 2, 3, 7, 8, 9, 64}) {
    for (uint64_t bad = 1; bad <= records; ++bad) {
      SCOPED_TRACE(std::to_string(bad) + " of " + std::to_string(records));
      Simulation({records, {bad}, {}, records, 4}, bad).run();
      Simulation({records * 4, {bad + records, bad + 3 * records}, {}, records, 4}, bad).run();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace penstock::zerobus
