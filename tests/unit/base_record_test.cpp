#include <limits>

#include <gtest/gtest.h>

#include "agent/base/record.h"
#include "agent/base/varint.h"

namespace penstock {
namespace {

std::string encoded(const RecordView& record) {
  std::string bytes;
  encode_record(record, bytes);
  return bytes;
}

struct Sample {
  std::string binary = std::string("\x00\xFF\x80{}", 5);
  std::vector<AttributeView> attributes{{"qos", "1"}, {"", ""}, {"unit", binary}};
  RecordView view{"plc",      "plant/3/telemetry", binary,
                  attributes, -1234567890123,      TimeQuality::kUnset};
};

TEST(Record, ComesBackAsItWas) {
  const Sample sample;
  const std::string bytes = encoded(sample.view);
  EXPECT_LE(bytes.size(), encoded_record_bound(sample.view));
  std::vector<AttributeView> storage{{"left", "over"}};
  const auto back = decode_record(bytes, storage);
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->source, sample.view.source);
  EXPECT_EQ(back->topic, sample.view.topic);
  EXPECT_EQ(back->payload, sample.binary);
  EXPECT_EQ(back->received_at_us, sample.view.received_at_us);
  EXPECT_EQ(back->time_quality, TimeQuality::kUnset);
  ASSERT_EQ(back->attributes.size(), 3U);
  EXPECT_EQ(back->attributes[2].key, "unit");
  EXPECT_EQ(back->attributes[2].value, sample.binary);
}

TEST(Record, EmptyFieldsComeBackEmpty) {
  std::vector<AttributeView> storage;
  const std::string bytes = encoded({});
  const auto back = decode_record(bytes, storage);
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->source.empty() && back->topic.empty() && back->payload.empty() &&
              back->attributes.empty());
  EXPECT_EQ(back->time_quality, TimeQuality::kSet);
}

TEST(Record, ExtremeTimesComeBack) {
  for (const int64_t time :
       {std::numeric_limits<int64_t>::min(), int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    RecordView record;
    record.received_at_us = time;
    const std::string bytes = encoded(record);
    std::vector<AttributeView> storage;
    const auto back = decode_record(bytes, storage);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->received_at_us, time);
  }
}

TEST(Record, EveryTruncationIsCorrupt) {
  const std::string bytes = encoded(Sample().view);
  std::vector<AttributeView> storage;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto back = decode_record(std::string(bytes, 0, size), storage);
    ASSERT_FALSE(back) << size;
    EXPECT_EQ(back.error().kind, ErrorKind::kCorrupt) << size;
  }
}

TEST(Record, TrailingByteIsCorrupt) {
  std::vector<AttributeView> storage;
  const auto back = decode_record(encoded(Sample().view) + "x", storage);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().kind, ErrorKind::kCorrupt);
}

TEST(Record, AnyByteChangedNeverCrashes) {
  const std::string good = encoded(Sample().view);
  std::vector<AttributeView> storage;
  for (size_t at = 0; at < good.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(value);
      const auto back = decode_record(bytes, storage);
      if (!back) {
        EXPECT_EQ(back.error().kind, ErrorKind::kCorrupt);
      }
    }
  }
}

TEST(Record, UnknownVersionAndTimeQualityAreCorrupt) {
  std::vector<AttributeView> storage;
  std::string bytes = encoded({});
  bytes[0] = 2;
  EXPECT_FALSE(decode_record(bytes, storage));
  bytes[0] = 1;
  bytes[1] = 2;
  EXPECT_FALSE(decode_record(bytes, storage));
}

TEST(Record, AttributeCountBeyondTheBytesIsCorruptAndCheap) {
  std::string bytes = encoded({});
  bytes.resize(10);
  append_bytes("s", bytes);
  append_bytes("t", bytes);
  append_varint(uint64_t{1} << 40, bytes);
  std::vector<AttributeView> storage;
  EXPECT_FALSE(decode_record(bytes, storage));
}

TEST(Varint, EveryWidthComesBack) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t value :
         {uint64_t{1} << bit, (uint64_t{1} << bit) - 1, ~uint64_t{0} >> bit}) {
      std::string bytes;
      append_varint(value, bytes);
      EXPECT_EQ(bytes.size(), varint_size(value));
      std::string_view in = bytes;
      EXPECT_EQ(take_varint(in), value);
      EXPECT_TRUE(in.empty());
      for (size_t size = 0; size < bytes.size(); ++size) {
        std::string_view cut = std::string_view(bytes).substr(0, size);
        EXPECT_EQ(take_varint(cut), std::nullopt);
        EXPECT_EQ(cut.size(), size) << "nothing may be taken on failure";
      }
    }
  }
}

TEST(Varint, WhatDoesNotFit64BitsIsRefused) {
  std::string bytes(9, '\xFF');
  bytes.push_back('\x02');
  std::string_view in = bytes;
  EXPECT_EQ(take_varint(in), std::nullopt);
  bytes.assign(11, '\x80');
  in = bytes;
  EXPECT_EQ(take_varint(in), std::nullopt);
}

TEST(Varint, BytesThatAreCutShortAreNotTaken) {
  std::string bytes;
  append_bytes("hello", bytes);
  std::string_view cut = std::string_view(bytes).substr(0, bytes.size() - 1);
  EXPECT_EQ(take_bytes(cut), std::nullopt);
  EXPECT_EQ(cut.size(), bytes.size() - 1);
}

}  // namespace
}  // namespace penstock
