// Goal: acceptance, routing and numbering are one step: what is taken has contiguous numbers in
// queue order, what is refused has none. Method: Intake over a spool in memory.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "agent/intake/intake.h"
#include "tests/support/fake_spool.h"

namespace penstock::intake {
namespace {

route::Router router(std::vector<route::RouteSpec> routes) {
  auto compiled = route::Router::compile(std::move(routes), {{"site", "ber1"}}, "gw");
  EXPECT_TRUE(compiled) << compiled.error().what;
  return *std::move(compiled);
}

std::vector<route::RouteSpec> plant_routes() {
  return {{"telemetry", "plant/{line}/telemetry", "", "main.iot.telemetry_${topic.line}", 2},
          {"vibration", "", "vib", "main.iot.vibration", 256}};
}

class IntakeTest : public testing::Test {
 protected:
  IntakeTest()
      : intake_(spool_, router(plant_routes()), {std::nullopt, Millis(20)}, limits(), Log::none(),
                [this](int64_t) { return clock_is_set_; }) {
    plc_ = intake_.add_source({"plc", {}});
    vib_ = intake_.add_source({"vib", *Expression::parse("vib/${attr.source_ip}")});
  }
  static Limits limits() {
    Limits limits;
    limits.max_record_bytes = 1000;
    limits.oversize_head_bytes = 10;
    return limits;
  }
  EmitStatus emit(spool::SourceId source, std::string_view topic, std::string_view payload) {
    RecordView record;
    record.topic = topic;
    record.payload = payload;
    return intake_.emit(source, std::span(&record, 1), last_seq_);
  }
  RecordView stored(const spool::Pending& pending) {
    auto record = decode_record(pending.body, attributes_);
    EXPECT_TRUE(record);
    return *record;
  }

  test::FakeSpool spool_;
  bool clock_is_set_ = true;
  Intake intake_;
  spool::SourceId plc_ = 0;
  spool::SourceId vib_ = 0;
  uint64_t last_seq_ = 0;
  std::vector<AttributeView> attributes_;
};

TEST_F(IntakeTest, NumbersAreContiguousPerSourceAndPerLane) {
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "1"), EmitStatus::kOk);
  EXPECT_EQ(emit(plc_, "plant/b/telemetry", "2"), EmitStatus::kOk);
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "3"), EmitStatus::kOk);
  EXPECT_EQ(last_seq_, 3u);
  const auto queued = spool_.queued();
  ASSERT_EQ(queued.size(), 3u);
  EXPECT_EQ(queued[0].lane, queued[2].lane);
  EXPECT_NE(queued[0].lane, queued[1].lane);
  EXPECT_EQ(queued[0].seq, 1u);
  EXPECT_EQ(queued[1].seq, 1u);
  EXPECT_EQ(queued[2].seq, 2u);
  EXPECT_EQ(queued[2].source_seq, 3u);
  EXPECT_EQ(stored(queued[2]).source, "plc");
  EXPECT_EQ(stored(queued[2]).payload, "3");
  EXPECT_GT(stored(queued[2]).received_at_us, 0);
}

TEST_F(IntakeTest, ARecordSaysWhetherTheClockWasSet) {
  clock_is_set_ = false;
  emit(plc_, "plant/a/telemetry", "1");
  const RecordView unknown;
  intake_.set_aside(plc_, unknown, "no text", last_seq_);
  const auto queued = spool_.queued();
  ASSERT_EQ(queued.size(), 2u);
  EXPECT_EQ(stored(queued[0]).time_quality, TimeQuality::kUnset);
  EXPECT_EQ(stored(queued[1]).time_quality, TimeQuality::kUnset);
}

TEST_F(IntakeTest, AFullQueueTakesNothingAndNumbersAreNotUsedUp) {
  emit(plc_, "plant/a/telemetry", "1");
  spool_.answer = spool::Enqueue::kFull;
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "2"), EmitStatus::kFull);
  EXPECT_EQ(last_seq_, 1u);
  spool_.answer = spool::Enqueue::kTaken;
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "2"), EmitStatus::kOk);
  EXPECT_EQ(last_seq_, 2u);
  EXPECT_EQ(spool_.queued().back().seq, 2u);
  EXPECT_EQ(intake_.counters().refused_full, 1u);
  EXPECT_EQ(intake_.counters().accepted, 2u);
}

// What it came with is within the limit; with the configured topic it is not.
TEST_F(IntakeTest, ARecordThatItsConfiguredTopicTakesOverTheLimitIsOversizeNotUnrouted) {
  auto dropping = limits();
  dropping.drop_unrouted = true;
  Intake intake(spool_, router(plant_routes()), {std::nullopt, Millis(20)}, dropping, Log::none());
  const auto source = intake.add_source({"vib", *Expression::parse("vibration/of/this/machine")});
  const std::string payload(990, 'x');
  RecordView record;
  record.payload = payload;
  EXPECT_EQ(intake.emit(source, std::span(&record, 1), last_seq_), EmitStatus::kTooBig);
  EXPECT_EQ(intake.counters().oversize, 1u);
  EXPECT_EQ(intake.counters().dropped_unrouted, 0u);
  const auto queued = spool_.queued();
  ASSERT_EQ(queued.size(), 1u);
  EXPECT_NE(queued[0].refusal.find("above the limit"), std::string::npos) << queued[0].refusal;
}

TEST_F(IntakeTest, ARecordWithoutARouteIsKeptInQuarantineWithTheReason) {
  EXPECT_EQ(emit(plc_, "office/door", "x"), EmitStatus::kOk);
  const auto queued = spool_.queued();
  ASSERT_EQ(queued.size(), 1u);
  EXPECT_EQ(queued[0].lane, spool::kUnroutedLane);
  EXPECT_FALSE(queued[0].refusal.empty());
  EXPECT_EQ(last_seq_, 1u);
  EXPECT_EQ(intake_.counters().unrouted, 1u);
}

TEST_F(IntakeTest, TheFirstRecordOfASourceThatNoRouteTakesIsToldOf) {
  Intake intake(spool_, router(plant_routes()), {std::nullopt, std::nullopt}, limits(),
                Log::to_stderr(LogLevel::kWarning));
  const auto plc = intake.add_source({"plc", {}});
  testing::internal::CaptureStderr();
  RecordView record;
  for (const char* topic : {"plant/a/telemetry", "office/\ndoor", "office/window"}) {
    record.topic = topic;
    intake.emit(plc, std::span(&record, 1), last_seq_);
  }
  const auto said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("input plc: a record goes to quarantine, topic 'office/\\x0adoor': no route "
                      "matches"),
            std::string::npos)
      << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

TEST_F(IntakeTest, AnIllegalTableNameIsUnroutedNotRewritten) {
  EXPECT_EQ(emit(plc_, "plant/a b/telemetry", "x"), EmitStatus::kOk);
  EXPECT_EQ(spool_.queued()[0].lane, spool::kUnroutedLane);
}

TEST_F(IntakeTest, AnOversizeRecordLeavesItsHeadAndIsCovered) {
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", std::string(2000, 'x')), EmitStatus::kTooBig);
  EXPECT_EQ(last_seq_, 1u);
  const auto queued = spool_.queued();
  EXPECT_EQ(queued[0].lane, spool::kUnroutedLane);
  EXPECT_NE(queued[0].refusal.find("2017 bytes"), std::string::npos) << queued[0].refusal;
  EXPECT_EQ(stored(queued[0]).payload, std::string(10, 'x'));
  EXPECT_EQ(intake_.counters().oversize, 1u);
  EXPECT_EQ(intake_.counters().unrouted, 0u);
}

TEST_F(IntakeTest, WhatAnInputSetsAsideGoesToTheQuarantineWithItsReasonInTheSameOrder) {
  RecordView record;
  record.topic = "plant/a/telemetry";  // has a route
  record.payload = "head";
  emit(plc_, "plant/a/telemetry", "1");
  EXPECT_EQ(intake_.set_aside(plc_, record, "too big, says the input", last_seq_), EmitStatus::kOk);
  EXPECT_EQ(last_seq_, 2u);
  emit(plc_, "plant/a/telemetry", "3");
  EXPECT_EQ(last_seq_, 3u);
  const auto queued = spool_.queued();
  EXPECT_EQ(queued[1].lane, spool::kUnroutedLane);
  EXPECT_EQ(queued[1].refusal, "too big, says the input");
  EXPECT_EQ(queued[1].source_seq, 2u);
  EXPECT_EQ(stored(queued[1]).payload, "head");
  EXPECT_EQ(stored(queued[1]).source, "plc");
  EXPECT_EQ(queued[2].lane, queued[0].lane);
  EXPECT_EQ(intake_.counters().set_aside, 1u);
  EXPECT_EQ(intake_.counters().unrouted, 0u);

  const std::string large(2000, 'x');
  record.payload = large;
  EXPECT_EQ(intake_.set_aside(plc_, record, "undecodable", last_seq_), EmitStatus::kOk);
  EXPECT_EQ(stored(spool_.queued()[3]).payload, std::string(10, 'x'));
  intake_.close();
  EXPECT_EQ(intake_.set_aside(plc_, record, "late", last_seq_), EmitStatus::kClosed);
}

TEST_F(IntakeTest, WhatAnInputSetsAsideIsKeptAlsoWhereUnroutedRecordsAreDropped) {
  auto dropping = limits();
  dropping.drop_unrouted = true;
  Intake intake(spool_, router(plant_routes()), {std::nullopt, Millis(20)}, dropping, Log::none());
  const auto source = intake.add_source({"plc", {}});
  RecordView record;
  record.topic = "nowhere";
  record.payload = "head";
  EXPECT_EQ(intake.emit(source, std::span(&record, 1), last_seq_), EmitStatus::kOk);
  EXPECT_EQ(spool_.queued().size(), 0u);
  EXPECT_EQ(intake.set_aside(source, record, "too big", last_seq_), EmitStatus::kOk);
  EXPECT_EQ(spool_.queued().size(), 1u);
}

TEST_F(IntakeTest, ARouteMakesNoMoreTablesThanAllowed) {
  emit(plc_, "plant/a/telemetry", "1");
  emit(plc_, "plant/b/telemetry", "1");
  emit(plc_, "plant/c/telemetry", "1");
  emit(plc_, "plant/a/telemetry", "2");
  const auto queued = spool_.queued();
  EXPECT_EQ(queued[2].lane, spool::kUnroutedLane);
  EXPECT_NE(queued[2].refusal.find("max_tables"), std::string::npos);
  EXPECT_EQ(queued[3].lane, queued[0].lane);
}

TEST_F(IntakeTest, TheConfiguredTopicIsFilledInFromAttributes) {
  const AttributeView attribute{"source_ip", "10.0.5.7"};
  RecordView record;
  record.payload = "p";
  record.attributes = std::span(&attribute, 1);
  EXPECT_EQ(intake_.emit(vib_, std::span(&record, 1), last_seq_), EmitStatus::kOk);
  const auto queued = spool_.queued();
  EXPECT_EQ(stored(queued[0]).topic, "vib/10.0.5.7");
  EXPECT_EQ(queued[0].commit_within, Millis(20));
}

// P6: FULL only for calls that bring records of the lane that is over its share.
// Records of one kind in a row are routed once; what differs in the middle must not go with them.
TEST_F(IntakeTest, EachRecordOfACallGoesItsOwnWay) {
  const std::vector<route::RouteSpec> routes{
      {"hosts", "vib/#", "", "main.iot.host_${attr.host}", 256}};
  Intake intake(spool_, router(routes), {std::nullopt}, limits(), Log::none());
  const auto source = intake.add_source({"vib", *Expression::parse("vib/${attr.host}")});
  const AttributeView a[] = {{"host", "a"}};
  const AttributeView also_a[] = {{"host", "a"}};
  const AttributeView b[] = {{"host", "b"}};
  const AttributeView longer[] = {{"host", "a"}, {"port", "1"}};
  const AttributeView other_key[] = {{"name", "a"}};
  const std::string large(2000, 'x');
  std::vector<RecordView> records(11);
  for (const size_t i : {0, 1, 6, 7, 10}) records[i].attributes = a;
  records[2].attributes = also_a;
  records[3].attributes = b;
  records[4].attributes = longer;
  records[5].attributes = other_key;
  records[7].payload = large;
  for (const size_t i : {8, 9}) records[i].attributes = a;
  records[8].topic = "vib/of/its/own";
  records[9].topic = "office/door";
  EXPECT_EQ(intake.emit(source, records, last_seq_), EmitStatus::kTooBig);
  const std::vector<std::string> expected{
      "vib/a main.iot.host_a", "vib/a main.iot.host_a", "vib/a main.iot.host_a",
      "vib/b main.iot.host_b", "vib/a main.iot.host_a", "vib/ refused",
      "vib/a main.iot.host_a", "vib/a refused",         "vib/of/its/own main.iot.host_a",
      "office/door refused",   "vib/a main.iot.host_a"};
  std::vector<std::string> ways;
  std::map<spool::LaneId, spool::Seq> last;
  for (const auto& pending : spool_.queued()) {
    EXPECT_EQ(pending.seq, ++last[pending.lane]);
    EXPECT_EQ(pending.source_seq, ways.size() + 1);
    const auto table = spool_.state(pending.lane).key.table;
    ways.push_back(std::string(stored(pending).topic) + " " +
                   (pending.refusal.empty() ? table : "refused"));
  }
  EXPECT_EQ(ways, expected);
}

TEST_F(IntakeTest, ABlockedLaneHoldsTheSourcesThatFeedItAndNoOther) {
  emit(plc_, "plant/a/telemetry", "1");
  emit(plc_, "plant/b/telemetry", "1");
  emit(vib_, "", "1");
  const auto blocked = spool_.queued()[0].lane;
  spool_.admissions[blocked] = spool::Admission::kBlock;
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "2"), EmitStatus::kFull);
  EXPECT_EQ(emit(plc_, "plant/b/telemetry", "2"), EmitStatus::kOk);
  EXPECT_EQ(emit(vib_, "", "2"), EmitStatus::kOk);
  RecordView both[2];
  both[0].topic = "plant/b/telemetry";
  both[1].topic = "plant/a/telemetry";
  EXPECT_EQ(intake_.emit(plc_, both, last_seq_), EmitStatus::kFull) << "all or nothing";
  EXPECT_EQ(spool_.queued().size(), 5u);
  spool_.admissions.clear();
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "2"), EmitStatus::kOk);
  EXPECT_EQ(spool_.queued().back().seq, 2u) << "refused calls have used no number";
  EXPECT_EQ(last_seq_, 4u);
  EXPECT_EQ(intake_.counters().refused_full, 2u);
}

TEST_F(IntakeTest, ARecordRefusedByDropNewestIsCountedAndHasNoNumber) {
  emit(plc_, "plant/a/telemetry", "1");
  const auto lane = spool_.queued()[0].lane;
  spool_.admissions[lane] = spool::Admission::kDrop;
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "2"), EmitStatus::kOk) << "the source goes on";
  EXPECT_EQ(last_seq_, 1u) << "what is durable up to here covers it";
  RecordView mixed[3];
  mixed[0].topic = mixed[2].topic = "plant/a/telemetry";
  mixed[1].topic = "plant/b/telemetry";
  EXPECT_EQ(intake_.emit(plc_, mixed, last_seq_), EmitStatus::kOk);
  EXPECT_EQ(last_seq_, 2u);
  EXPECT_EQ(spool_.queued().size(), 2u);
  EXPECT_EQ(spool_.state(lane).refused, 3u);
  EXPECT_EQ(intake_.counters().dropped_newest, 3u);
  spool_.answer = spool::Enqueue::kFull;
  EXPECT_EQ(intake_.emit(plc_, mixed, last_seq_), EmitStatus::kFull);
  EXPECT_EQ(spool_.state(lane).refused, 3u) << "the call will come again";
  spool_.answer = spool::Enqueue::kTaken;
  spool_.admissions.clear();
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "3"), EmitStatus::kOk);
  EXPECT_EQ(spool_.queued().back().seq, 2u);
}

TEST(IntakeUnrouted, DropThrowsAwayWhatNoRouteTakesAndCountsIt) {
  test::FakeSpool spool;
  Limits limits;
  limits.drop_unrouted = true;
  limits.max_record_bytes = 1000;
  Intake intake(spool, router(plant_routes()), {std::nullopt, std::nullopt}, limits, Log::none());
  const auto plc = intake.add_source({"plc", {}});
  const std::string large(2000, 'x');
  RecordView records[3];
  records[0].topic = "office/door";
  records[1].topic = "plant/a/telemetry";
  records[2].topic = "office/door";
  records[2].payload = large;
  uint64_t last_seq = 0;
  EXPECT_EQ(intake.emit(plc, records, last_seq), EmitStatus::kTooBig);
  ASSERT_EQ(spool.queued().size(), 2u) << "a head that was cut off is kept all the same";
  EXPECT_EQ(last_seq, 2u);
  EXPECT_EQ(spool.state(spool::kUnroutedLane).refused, 1u);
  EXPECT_EQ(intake.counters().dropped_unrouted, 1u);
  EXPECT_EQ(intake.counters().unrouted, 0u);
  EXPECT_EQ(intake.counters().oversize, 1u);
}

TEST_F(IntakeTest, AfterCloseNothingIsTaken) {
  intake_.close();
  EXPECT_EQ(emit(plc_, "plant/a/telemetry", "1"), EmitStatus::kClosed);
  EXPECT_TRUE(spool_.queued().empty());
}

TEST(IntakeRestart, NumbersGoOnWhereTheSpoolEnds) {
  test::FakeSpool spool;
  spool.preload({"vibration", "main.iot.vibration"}, {"a", "b", "c"}, 1);
  Intake intake(spool, router(plant_routes()), {std::nullopt, std::nullopt}, {}, Log::none());
  const auto vib = intake.add_source({"vib", *Expression::parse("v")});
  RecordView record;
  record.payload = "d";
  uint64_t last_seq = 0;
  EXPECT_EQ(intake.emit(vib, std::span(&record, 1), last_seq), EmitStatus::kOk);
  EXPECT_EQ(last_seq, 1u);  // per source, of this run
  EXPECT_EQ(spool.queued()[0].seq, 4u);
}

// A watermark per source is only sound if the queue holds each source's and each lane's records in
// number order, whatever the threads do.
TEST(IntakeThreads, QueueOrderIsNumberOrderPerSourceAndLane) {
  test::FakeSpool spool;
  Intake intake(spool, router({{"all", "t/{x}", "", "main.s.t_${topic.x}", 256}}), {std::nullopt},
                {}, Log::none());
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    const auto source = intake.add_source({"s" + std::to_string(t), {}});
    threads.emplace_back([&intake, source] {
      for (int i = 0; i < kEach; ++i) {
        const std::string topic = "t/" + std::to_string(i % 3);
        RecordView record;
        record.topic = topic;
        uint64_t last_seq = 0;
        ASSERT_EQ(intake.emit(source, std::span(&record, 1), last_seq), EmitStatus::kOk);
        ASSERT_EQ(last_seq, static_cast<uint64_t>(i + 1));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::map<spool::SourceId, uint64_t> sources;
  std::map<spool::LaneId, spool::Seq> lanes;
  for (const auto& record : spool.queued()) {
    EXPECT_EQ(record.source_seq, ++sources[record.source]);
    EXPECT_EQ(record.seq, ++lanes[record.lane]);
  }
  EXPECT_EQ(spool.queued().size(), static_cast<size_t>(kThreads * kEach));
}

}  // namespace
}  // namespace penstock::intake
