#include <random>

#include <gtest/gtest.h>

#include "agent/base/varint.h"
#include "agent/spool/crc32c.h"
#include "agent/spool/segment_format.h"

namespace penstock::spool {
namespace {

std::string run_of(const std::vector<std::string>& bodies) {
  std::string run;
  for (const auto& body : bodies) append_bytes(body, run);
  return run;
}

SegmentHeader header_of(uint32_t count) {
  SegmentHeader header;
  header.lane = 0x01020304;
  header.count = count;
  header.first = 0x1122334455667788;
  header.newest_us = -5;
  header.epoch = 7;
  return header;
}

TEST(Crc32c, MatchesThePublishedValues) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);  // RFC 3720 B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
}

TEST(Crc32c, GoesOnAcrossAnySplit) {
  const std::string text = "The quick brown fox jumps over the lazy dog, twice.";
  for (size_t at = 0; at <= text.size(); ++at) {
    EXPECT_EQ(crc32c(text.substr(at), crc32c(text.substr(0, at))), crc32c(text)) << at;
  }
}

// The bytes that do not fill a word, before and behind, at any address.
TEST(Crc32c, IsTheSameWithoutAnInstructionForIt) {
  std::mt19937 random(7);
  std::string bytes(4100, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  EXPECT_EQ(crc32c_by_table("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c_by_table(bytes, 1), crc32c(bytes, 1));
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; size < 40; ++size) {
      const auto part = std::string_view(bytes).substr(begin, size);
      EXPECT_EQ(crc32c_by_table(part, size), crc32c(part, size)) << begin << " " << size;
    }
  }
}

TEST(SegmentFormat, SmallRunsAreStoredPlainAndComeBack) {
  SegmentCodec codec;
  const std::string run = run_of({"a", "", std::string(200, 'x')});
  const std::string stored = codec.build(header_of(3), run);
  EXPECT_EQ(stored.size(), kSegmentHeaderBytes + run.size());
  const auto back = codec.parse(stored);
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->header, header_of(3));
  EXPECT_EQ(back->run, run);
}

TEST(SegmentFormat, RunsThatShrinkAreCompressedFrom512Bytes) {
  SegmentCodec codec;
  for (const size_t size : {509U, 510U, 100000U}) {  // plus two bytes of length
    const std::string run = run_of({std::string(size, 'x')});
    const std::string stored = codec.build(header_of(1), run);
    EXPECT_EQ(stored.size() < kSegmentHeaderBytes + run.size(), run.size() >= kCompressFromBytes)
        << size;
    const auto back = codec.parse(stored);
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(back->run, run);
  }
}

TEST(SegmentFormat, WhatWasPackedInAHurryComesBackTheSame) {
  SegmentCodec codec;
  std::vector<std::string> records;
  for (int i = 0; i < 500; ++i)
    records.push_back(R"({"sensor":)" + std::to_string(i * 7919 % 1000) + R"(,"value":21.5})");
  const std::string run = run_of(records);
  const std::string stored = codec.build(header_of(500), run, Packing::kFast);
  EXPECT_LT(stored.size(), run.size() / 2);
  EXPECT_GT(stored.size(), codec.build(header_of(500), run).size()) << "or nothing was saved";
  const auto back = codec.parse(stored);
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->run, run);
}

TEST(SegmentFormat, NoiseIsNotBlownUp) {
  SegmentCodec codec;
  std::mt19937 random(1);
  std::string noise(5000, '\0');
  for (auto& byte : noise) byte = static_cast<char>(random());
  const std::string run = run_of({noise});
  const std::string stored = codec.build(header_of(1), run);
  EXPECT_EQ(stored.size(), kSegmentHeaderBytes + run.size());
  EXPECT_TRUE(codec.parse(stored));
}

TEST(SegmentFormat, EveryBitFlipIsCaught) {
  SegmentCodec codec;
  for (const std::string& body : {std::string("short"), std::string(1000, 'x')}) {
    const std::string good = codec.build(header_of(1), run_of({body}));
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      const auto parsed = codec.parse(bad);
      ASSERT_FALSE(parsed) << "bit " << bit;
      EXPECT_EQ(parsed.error().kind, ErrorKind::kCorrupt);
    }
  }
}

TEST(SegmentFormat, EveryTruncationAndAnyAppendixIsCaught) {
  SegmentCodec codec;
  const std::string good = codec.build(header_of(2), run_of({"one", std::string(600, 'y')}));
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(codec.parse(good.substr(0, size))) << size;
  EXPECT_FALSE(codec.parse(good + '\0'));
}

TEST(SegmentFormat, RecordsThatDoNotAddUpAreCaughtBehindAGoodChecksum) {
  SegmentCodec codec;
  EXPECT_FALSE(codec.parse(codec.build(header_of(3), run_of({"a", "b"}))));
  EXPECT_FALSE(codec.parse(codec.build(header_of(1), run_of({"a", "b"}))));
  EXPECT_FALSE(codec.parse(codec.build(header_of(0), "")));
}

TEST(SegmentFormat, RecordAtFindsEachRecordAndNoOther) {
  const Segment segment(1, 10, 3, run_of({"ten", "eleven", "twelve"}));
  EXPECT_EQ(record_at(segment, 10), "ten");
  EXPECT_EQ(record_at(segment, 12), "twelve");
  EXPECT_EQ(record_at(segment, 9), std::nullopt);
  EXPECT_EQ(record_at(segment, 13), std::nullopt);
}

}  // namespace
}  // namespace penstock::spool
