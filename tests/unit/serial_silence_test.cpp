// Framings for which time matters: what silence ends, and what it gives up.
#include <gtest/gtest.h>

#include "plugins/serial/framing.h"

namespace penstock::serial {
namespace {

using namespace std::string_literals;

constexpr int64_t kGapUs = 1000;
constexpr int64_t kWallUs = 5'000'000;  // difference of the clocks

Instant at(int64_t mono_us) { return {mono_us, mono_us + kWallUs}; }

FramingSettings with_gap(std::string type) {
  FramingSettings settings;
  settings.type = std::move(type);
  settings.gap_us = kGapUs;
  settings.max_frame_bytes = 8;
  settings.length_bytes = 4;
  return settings;
}

struct Silence : testing::Test {
  std::vector<std::string> texts() const {
    std::vector<std::string> result;
    for (const auto& frame : frames) result.push_back(frame.bytes);
    return result;
  }
  std::vector<Frame> frames;
};

using Texts = std::vector<std::string>;

TEST_F(Silence, IdleGapEndsAFrameAtTheDeadlineNotBefore) {
  auto framing = make_framing(with_gap("idle_gap"));
  EXPECT_FALSE(framing->deadline_us());
  framing->feed("ab", at(100), frames);
  framing->feed("cd", at(100 + kGapUs - 1), frames);
  EXPECT_EQ(framing->deadline_us(), 100 + kGapUs - 1 + kGapUs);
  framing->on_time(at(*framing->deadline_us() - 1), frames);
  EXPECT_EQ(texts(), Texts{});
  framing->on_time(at(*framing->deadline_us()), frames);
  EXPECT_EQ(texts(), Texts{"abcd"});
  EXPECT_EQ(frames[0].received_at_us, 100 + kGapUs - 1 + kWallUs)
      << "the time of the last byte, not of the silence";
  EXPECT_FALSE(framing->deadline_us());
  framing->on_time(at(99'999), frames);
  EXPECT_EQ(frames.size(), 1u) << "silence alone is no frame";
}

TEST_F(Silence, IdleGapAlsoEndsAFrameWhenTheTimerComesTooLate) {
  auto framing = make_framing(with_gap("idle_gap"));
  framing->feed("ab", at(100), frames);
  framing->feed("cd", at(100 + kGapUs), frames);
  framing->on_time(at(100 + 2 * kGapUs), frames);
  EXPECT_EQ(texts(), (Texts{"ab", "cd"}));
}

TEST_F(Silence, IdleGapOversizeIsSkippedUpToTheNextGap) {
  auto framing = make_framing(with_gap("idle_gap"));
  framing->feed("12345678", at(1), frames);
  framing->on_time(at(1 + kGapUs), frames);
  framing->feed("12345678", at(5000), frames);
  framing->feed("9", at(5001), frames);
  framing->feed("tail", at(5002), frames);
  framing->on_time(at(5002 + kGapUs), frames);
  framing->feed("ok", at(9000), frames);
  framing->on_time(at(9000 + kGapUs), frames);
  EXPECT_EQ(texts(), (Texts{"12345678", "ok"}));
  EXPECT_EQ(framing->counts().oversize_frames, 1u);
}

TEST_F(Silence, IdleGapWithoutAnyGapStaysBounded) {
  auto framing = make_framing(with_gap("idle_gap"));
  for (int i = 0; i < 100'000; ++i) framing->feed("x", at(i), frames);
  EXPECT_EQ(texts(), Texts{});
  EXPECT_EQ(framing->counts().oversize_frames, 1u);
}

TEST_F(Silence, IdleGapCutCountsTheUnfinishedFrame) {
  auto framing = make_framing(with_gap("idle_gap"));
  framing->feed("ab", at(1), frames);
  framing->cut();
  framing->feed("cd", at(2), frames);
  framing->on_time(at(2 + kGapUs), frames);
  EXPECT_EQ(texts(), Texts{"cd"});
  EXPECT_EQ(framing->counts().partial_discarded, 1u);
}

TEST_F(Silence, FixedFindsItsPlaceAgainInAPause) {
  auto framing = make_framing(with_gap("fixed"));
  framing->feed("abc", at(1), frames);  // a byte was lost on the line
  framing->on_time(at(kGapUs), frames);
  EXPECT_EQ(framing->counts().resyncs, 0u) << "too early to give up";
  framing->on_time(at(1 + kGapUs), frames);
  framing->feed("efgh", at(5000), frames);
  EXPECT_EQ(texts(), Texts{"efgh"});
  EXPECT_EQ(framing->counts().resyncs, 1u);
  EXPECT_FALSE(framing->deadline_us());
}

TEST_F(Silence, FixedDoesNotTakeALateReadForSilence) {
  auto framing = make_framing(with_gap("fixed"));
  framing->feed("ab", at(1), frames);
  framing->feed("cd", at(999'999), frames);  // our thread was late, the bytes were not
  EXPECT_EQ(texts(), Texts{"abcd"});
}

TEST_F(Silence, LengthPrefixGivesUpAnUnfinishedFrameInAPause) {
  for (const auto& unfinished : {"\0"s, "\0\4ab"s}) {
    frames.clear();
    auto framing = make_framing(with_gap("length_prefix"));
    framing->feed(unfinished, at(1), frames);
    ASSERT_TRUE(framing->deadline_us());
    framing->on_time(at(*framing->deadline_us()), frames);
    framing->feed("\0\2ok"s, at(5000), frames);
    EXPECT_EQ(texts(), Texts{"ok"});
    EXPECT_EQ(framing->counts().resyncs, 1u);
  }
}

TEST_F(Silence, LengthPrefixEndsASkippedFrameInAPause) {
  auto framing = make_framing(with_gap("length_prefix"));
  framing->feed("\0\100only these bytes come"s, at(1), frames);
  framing->on_time(at(*framing->deadline_us()), frames);
  framing->feed("\0\2ok"s, at(5000), frames);
  EXPECT_EQ(texts(), Texts{"ok"});
  EXPECT_EQ(framing->counts().oversize_frames, 1u);
  EXPECT_EQ(framing->counts().resyncs, 0u) << "one frame is counted once";
}

}  // namespace
}  // namespace penstock::serial
