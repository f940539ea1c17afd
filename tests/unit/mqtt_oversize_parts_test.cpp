// The parts behind messages set aside and filters that are ended, without a connection.
#include <algorithm>

#include <gtest/gtest.h>

#include "plugins/mqtt/filter_note.h"
#include "plugins/mqtt/publish_head.h"
#include "plugins/mqtt/topic_text.h"

namespace penstock::mqtt {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes publish(uint8_t first, const std::string& body) {
  Bytes bytes{first};
  append_length(static_cast<uint32_t>(body.size()), bytes);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

// Fed in pieces of that many bytes.
std::optional<Bytes> substitute(const Bytes& packet, size_t step, bool v5,
                                const SetAsideMark& mark) {
  FrameScan scan;
  PublishHead head;
  FramePiece piece;
  for (size_t at = 0; at < packet.size(); at += step) {
    auto in = std::span(packet).subspan(at, std::min(step, packet.size() - at));
    while (scan.next(in, piece) == FrameScan::Status::kPiece) head.take(piece);
  }
  EXPECT_FALSE(head.under_way());
  Bytes out;
  if (!head.append_substitute(mark, v5, out)) return std::nullopt;
  return out;
}

TEST(MqttPublishHead, KeepsFlagsTopicAndIdentifierHoweverThePacketWasCut) {
  const SetAsideMark mark;
  const std::string topic_and_id("\0\3a/b\1\2", 7);
  const std::string payload(5000, 'p');
  const std::string properties("\7\x26\0\1u\0\1v", 8);
  for (const bool v5 : {false, true}) {
    const auto packet = publish(0x3B, topic_and_id + (v5 ? properties : "") + payload);
    std::string head(SetAsideMark::kBytes + PublishHead::kPayloadBytes, 'p');
    Bytes marked;
    mark.append(static_cast<uint32_t>(packet.size()), marked);
    std::copy(marked.begin(), marked.end(), head.begin());
    const auto expected = publish(0x3B, topic_and_id + (v5 ? std::string(1, '\0') : "") + head);
    for (const size_t step : {1, 2, 3, 7, 9, 100, 6000}) {
      EXPECT_EQ(substitute(packet, step, v5, mark), expected) << step;
    }
  }
}

TEST(MqttPublishHead, PropertiesLongerThanWhatIsKeptLeaveAnEmptyHead) {
  const SetAsideMark mark;
  std::string body("\0\1t\xff\xff\x7f", 6);  // two million bytes of properties
  body.resize(6 + 2097151 + 50, 'p');
  const auto out = substitute(publish(0x30, body), 4096, true, mark);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->size(), 2 + 3 + 1 + SetAsideMark::kBytes);
}

TEST(MqttPublishHead, WithoutAReadableTopicNothingStandsForIt) {
  const SetAsideMark mark;
  EXPECT_FALSE(substitute(publish(0x32, "\x01"), 1, false, mark));
  EXPECT_FALSE(substitute(publish(0x32, std::string("\0\4abcd\1", 7)), 1, false, mark));
  EXPECT_FALSE(substitute(publish(0x36, std::string("\0\1a\0\1xyz", 8)), 1, false, mark));
  EXPECT_TRUE(substitute(publish(0x32, std::string("\0\4abcd\1\2", 8)), 1, false, mark));
}

TEST(MqttSetAsideMark, OnlyTheOwnSessionsMarkIsFound) {
  const SetAsideMark mark;
  const SetAsideMark other;
  Bytes bytes;
  mark.append(300000, bytes);
  std::string payload(bytes.begin(), bytes.end());
  payload += "head";
  ASSERT_TRUE(mark.find(payload));
  EXPECT_EQ(mark.find(payload)->packet_bytes, 300000U);
  EXPECT_EQ(mark.find(payload)->head, "head");
  EXPECT_FALSE(other.find(payload));
  EXPECT_FALSE(mark.find(payload.substr(0, SetAsideMark::kBytes - 1)));
  EXPECT_FALSE(mark.find(""));
}

TEST(MqttTopicText, SaysWhatIsWrongAndShowsItReadable) {
  EXPECT_EQ(topic_problem("plant/\xC3\xA4/\xF0\x9F\x98\x80"), "");
  EXPECT_EQ(topic_problem(""), "the topic is empty");
  EXPECT_EQ(topic_problem(std::string_view("a\0b", 3)), "the topic contains a NUL character");
  for (const auto* bad : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF5\x80\x80\x80", "\xF4\x90\x80\x80", "\xE2\x82", "a\xFF"}) {
    EXPECT_EQ(topic_problem(bad), "the topic is not valid UTF-8") << escaped_topic(bad);
  }
  EXPECT_EQ(escaped_topic(std::string_view("a/\xFF\0b", 5)), "a/\\xff\\x00b");
}

TEST(MqttFilterNote, AnyFilterComesBackAsItWas) {
  const FilterNote note{"gw:1\n", "mqtt://plc7:1883", {"plant/#", "", "3:abc\n", "$share/g/+/t"}};
  const auto bytes = encode_filter_note(note);
  EXPECT_EQ(decode_filter_note(bytes), note);
  const size_t first_filter = encode_filter_note({"gw:1\n", "mqtt://plc7:1883", {}}).size();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto part = decode_filter_note(bytes.substr(0, size));
    EXPECT_TRUE(!part || size >= first_filter) << size;
    EXPECT_NE(part, note);
  }
  EXPECT_FALSE(decode_filter_note("something else"));
  EXPECT_EQ(decode_filter_note("penstock-mqtt-filters 1\n2:gw\n1:a\n"),
            (FilterNote{"gw", "", {"a"}}));
  EXPECT_EQ(without({"a", "b", "c"}, {"b", "d"}), (std::vector<std::string>{"a", "c"}));
}

}  // namespace
}  // namespace penstock::mqtt
