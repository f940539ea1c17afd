// `batch.max_delay`: a batch that is not full waits for more records until its first one has
// waited that long, and no longer. When that is, the builder says, which has no clock; the lane
// keeps to it.
#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

using Rows = std::vector<std::string>;

class BatchDelay : public LaneTest {
 protected:
  static constexpr Millis kNever{3'600'000};
  void start(Millis max_delay) {
    destination_->batch = {.max_bytes = 4096, .max_rows = 3, .max_delay = max_delay};
    make_rows(1);
    streams_[0]->created();
    run();
  }
  // One more record is committed.
  void add(int n) {
    spool_.preload({"r", "a.b.c"}, {body_of(row_of(n))});
    lane_->committed(static_cast<spool::Seq>(n));
    run();
  }
  std::vector<Rows> batches() const {
    std::vector<Rows> out;
    for (const auto& [offset, body] : streams_[0]->writes) out.push_back(FakeStream::rows(body));
    return out;
  }
};

TEST_F(BatchDelay, IsCountedFromTheFirstRecordOfABatch) {
  auto encoder = codec::RowEncoder::make({});
  ASSERT_TRUE(encoder);
  BatchBuilder builder(*std::move(encoder),
                       {.max_bytes = 4096, .max_rows = 3, .max_delay = Millis(200)},
                       spool::Origin{"gw/0", "0"}, 1, [](spool::Seq, const std::string&) {});
  const std::string body = body_of(row_of(1));
  const MonoTime start = MonoTime() + Millis(1000);
  builder.begin(4096);
  ASSERT_EQ(builder.add({1, body, nullptr}, start), BatchBuilder::Added::kTaken);
  EXPECT_EQ(builder.due(), start + Millis(200));
  ASSERT_EQ(builder.add({2, body, nullptr}, start + Millis(150)), BatchBuilder::Added::kTaken);
  EXPECT_EQ(builder.due(), start + Millis(200)) << "the first one has waited since";
  builder.take();
  builder.begin(4096);
  ASSERT_EQ(builder.add({3, body, nullptr}, start + Millis(300)), BatchBuilder::Added::kTaken);
  EXPECT_EQ(builder.due(), start + Millis(500));
}

TEST_F(BatchDelay, APartFullBatchWaitsForMoreAndAFullOneGoesAtOnce) {
  start(kNever);
  EXPECT_EQ(batches(), std::vector<Rows>{});
  add(2);
  EXPECT_EQ(batches(), std::vector<Rows>{});
  add(3);
  EXPECT_EQ(batches(), (std::vector<Rows>{{row_of(1), row_of(2), row_of(3)}}));
}

TEST_F(BatchDelay, APartFullBatchGoesWhenItsTimeHasComeThoughNothingElseHappens) {
  start(Millis(20));
  // Bounded: were there no timer, the lane would have nothing to wait for.
  for (int tries = 0; tries < 500 && batches().empty(); ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  EXPECT_EQ(batches(), (std::vector<Rows>{{row_of(1)}}));
}

}  // namespace
}  // namespace penstock::lane
