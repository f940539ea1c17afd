// Framings as tables: the same frames and counts at every split, noise and endless frames included.
#include <iostream>
#include <random>

#include <gtest/gtest.h>

#include "plugins/serial/framing.h"

namespace penstock::serial {
namespace {

using namespace std::string_literals;

struct Case {
  std::string name;
  FramingSettings settings;
  std::string input;
  std::vector<std::string> frames;
  FramingCounts counts;
};

FramingSettings type(std::string name, size_t max_frame_bytes = 8) {
  FramingSettings settings;
  settings.type = std::move(name);
  settings.max_frame_bytes = max_frame_bytes;
  return settings;
}

FramingSettings delimited(std::string name, std::string delimiter) {
  auto settings = type(std::move(name));
  settings.delimiter = std::move(delimiter);
  return settings;
}

FramingSettings fixed(size_t length) {
  auto settings = type("fixed");
  settings.length_bytes = length;
  return settings;
}

FramingSettings prefixed(int bytes, bool little_endian = false) {
  auto settings = type("length_prefix");
  settings.prefix_bytes = bytes;
  settings.prefix_little_endian = little_endian;
  return settings;
}

FramingCounts counts(uint64_t resyncs, uint64_t oversize, uint64_t checksum = 0) {
  return {resyncs, oversize, checksum, 0};
}

const std::string kEndless(20'000, 'x');

std::vector<Case> line_cases() {
  return {
      {"line takes both line ends", type("line"), "a\nbc\r\nd\n", {"a", "bc", "d"}, {}},
      {"line: the end is not here yet", type("line"), "a\nbc", {"a"}, {}},
      {"line: blank lines are no records", type("line"), "\n\r\n\na\n", {"a"}, {}},
      {"line: a carriage return inside stays", type("line"), "a\rb\r\r\n", {"a\rb\r"}, {}},
      {"line: any byte is data", type("line"), "\0\xff\n"s, {"\0\xff"s}, {}},
      {"line: exactly max_frame",
       type("line"),
       "12345678\n12345678\r\n",
       {"12345678", "12345678"},
       {}},
      {"line: one byte over", type("line"), "123456789\nok\n", {"ok"}, counts(0, 1)},
      {"line: one byte over, long end", type("line"), "123456789\r\nok\n", {"ok"}, counts(0, 1)},
      {"line: far over, twice",
       type("line"),
       kEndless + "\nok\n" + kEndless + "\nok2\n",
       {"ok", "ok2"},
       counts(0, 2)},
      {"line: never ends", type("line"), "ok\n" + kEndless, {"ok"}, counts(0, 1)},
      {"line with its own delimiter means exactly that",
       delimited("line", "\r\n"),
       "a\nb\r\nc\r\n",
       {"a\nb", "c"},
       {}},
      {"delimiter: a line feed does not take the carriage return",
       delimited("delimiter", "\n"),
       "a\r\n",
       {"a\r"},
       {}},
      {"delimiter of several bytes",
       delimited("delimiter", "END"),
       "aENDEENDbENEND",
       {"a", "E", "bEN"},
       {}},
      {"delimiter that repeats itself",
       delimited("delimiter", "aab"),
       "xaaabyaab",
       {"xa", "y"},
       {}},
      {"delimiter: max_frame and its end",
       delimited("delimiter", "END"),
       "12345678ENDxEND",
       {"12345678", "x"},
       {}},
      {"delimiter: the end of a skipped frame",
       delimited("delimiter", "END"),
       kEndless + "ENDokEND",
       {"ok"},
       counts(0, 1)},
      {"delimiter: one byte over, end half there",
       delimited("delimiter", "END"),
       "123456789ENDok2END",
       {"ok2"},
       counts(0, 1)},
  };
}

std::vector<Case> length_cases() {
  return {
      {"fixed", fixed(3), "abcdefgh", {"abc", "def"}, {}},
      {"fixed: zero bytes count", fixed(2), "\0\0\0a"s, {"\0\0"s, "\0a"s}, {}},
      {"prefix of 1", prefixed(1), "\1a\3bcd\0\1e"s, {"a", "bcd", "e"}, {}},
      {"prefix of 2, big endian", prefixed(2), "\0\1a\0\3bcd"s, {"a", "bcd"}, {}},
      {"prefix of 2, little endian", prefixed(2, true), "\1\0a\3\0bcd"s, {"a", "bcd"}, {}},
      {"prefix of 4, big endian", prefixed(4), "\0\0\0\2ab\0\0\0\0\0\0\0\1c"s, {"ab", "c"}, {}},
      {"prefix of 4, little endian", prefixed(4, true), "\2\0\0\0ab"s, {"ab"}, {}},
      {"prefix: exactly max_frame",
       prefixed(1),
       "\10"
       "12345678\1a"s,
       {"12345678", "a"},
       {}},
      {"prefix: over max_frame is skipped whole",
       prefixed(1),
       "\11"
       "123456789\1a"s,
       {"a"},
       counts(0, 1)},
      {"prefix: the longest that is believed",
       prefixed(1),
       "\x80" + std::string(128, '\2') + "\1a",
       {"a"},
       counts(0, 1)},
      {"prefix: an unbelievable length is a lost place",
       prefixed(4),
       "zzzz\0\0\0\2ab"s,
       {"ab"},
       counts(1, 0)},
      {"prefix: noise that never ends", prefixed(4), "\0\0\0\1a"s + kEndless, {"a"}, counts(1, 0)},
  };
}

std::vector<Case> marked_cases() {
  return {
      {"stx", type("stx_etx"), "\2a\3\2bc\3", {"a", "bc"}, {}},
      {"stx: line ends between frames are usual",
       type("stx_etx"),
       "\2a\3\r\n\2b\3\r\n",
       {"a", "b"},
       {}},
      {"stx: noise is one resync a run",
       type("stx_etx"),
       "zz\2a\3qq\3q\2b\3",
       {"a", "b"},
       counts(2, 0)},
      {"stx: a frame without its end", type("stx_etx"), "\2lost\2b\3", {"b"}, counts(1, 0)},
      {"stx: empty", type("stx_etx"), "\2\3\2b\3", {"b"}, {}},
      {"stx: exactly max_frame, then one over",
       type("stx_etx"),
       "\2"
       "12345678\3\2"
       "123456789\3\2b\3",
       {"12345678", "b"},
       counts(0, 1)},
      {"stx: never ends", type("stx_etx"), "\2" + kEndless + "\2b\3", {"b"}, counts(0, 1)},
      {"slip",
       type("slip"),
       "\xc0"
       "a\xc0\xc0"
       "bc\xc0",
       {"a", "bc"},
       {}},
      {"slip: escapes", type("slip"), "\xdb\xdc\xdb\xdd\xc0", {"\xc0\xdb"}, {}},
      {"slip: a wrong escape loses that frame only",
       type("slip"),
       "a\xdb"
       "b\xc0"
       "c\xc0",
       {"c"},
       counts(1, 0)},
      {"slip: an escape cut by the end",
       type("slip"),
       "a\xdb\xc0"
       "c\xc0",
       {"c"},
       counts(1, 0)},
      {"slip: exactly max_frame, then one over",
       type("slip"),
       "12345678\xc0"
       "123456789\xc0"
       "b\xc0",
       {"12345678", "b"},
       counts(0, 1)},
      {"slip: never ends",
       type("slip"),
       kEndless + "\xc0"
                  "b\xc0",
       {"b"},
       counts(0, 1)},
      {"cobs", type("cobs"), "\3ab\0\1\2c\0"s, {"ab", "\0c"s}, {}},
      {"cobs: zeros inside and at the end",
       type("cobs"),
       "\1\1\1\0\2a\1\0"s,
       {"\0\0"s, "a\0"s},
       {}},
      {"cobs: a full block has no zero after it",
       type("cobs", 300),
       "\xff" + std::string(254, 'x') + "\2y\0"s,
       {std::string(254, 'x') + "y"},
       {}},
      {"cobs: bytes missing", type("cobs"), "\5ab\0\2c\0"s, {"c"}, counts(1, 0)},
      {"cobs: exactly max_frame, then one over",
       type("cobs"),
       "\11"
       "12345678\0\12"
       "123456789\0\2b\0"s,
       {"12345678", "b"},
       counts(0, 1)},
      {"cobs: never ends", type("cobs"), kEndless + "\0\2b\0"s, {"b"}, counts(0, 1)},
      {"cobs: idle zeros", type("cobs"), "\0\0\2b\0"s, {"b"}, {}},
  };
}

std::vector<Case> nmea_cases() {
  const auto nmea = type("nmea0183", 100);
  const std::string gga = "$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,*76";
  const std::string ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C";
  auto small = type("nmea0183", 16);
  return {
      {"nmea", nmea, gga + "\r\n" + ais + "\n", {gga, ais}, {}},
      {"nmea: lower case checksum", nmea, "$A*41\r\n$z*7a\r\n", {"$A*41", "$z*7a"}, {}},
      {"nmea: one bit wrong", nmea, "$A*40\r\n$A*41\r\n", {"$A*41"}, counts(0, 0, 1)},
      {"nmea: no checksum, half a checksum",
       nmea,
       "$A\r\n$A*4\r\n$\r\n$*\r\n$A*4g\r\n$A*41\r\n",
       {"$A*41"},
       counts(0, 0, 5)},
      {"nmea: starts in the middle", nmea, "00*47\r\n$A*41\r\n", {"$A*41"}, counts(1, 0)},
      {"nmea: two sentences run together", nmea, "$GPG$A*41\r\n", {"$A*41"}, counts(1, 0)},
      {"nmea: never ends", small, "$" + kEndless + "\r\n$A*41\r\n", {"$A*41"}, counts(0, 1)},
      {"nmea: the next start ends an endless one",
       small,
       "$" + kEndless + "$A*41\r\n",
       {"$A*41"},
       counts(0, 1)},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& part : {line_cases(), length_cases(), marked_cases(), nmea_cases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

void expect_counts(const FramingCounts& got, const FramingCounts& want) {
  EXPECT_EQ(got.resyncs, want.resyncs);
  EXPECT_EQ(got.oversize_frames, want.oversize_frames);
  EXPECT_EQ(got.checksum_errors, want.checksum_errors);
  EXPECT_EQ(got.partial_discarded, want.partial_discarded);
}

// `cuts`: ascending positions at which the input is split.
void check(const Case& test, const std::vector<size_t>& cuts) {
  auto framing = make_framing(test.settings);
  std::vector<Frame> frames;
  size_t from = 0;
  int64_t now_us = 0;
  for (const size_t to : cuts) {
    framing->feed(std::string_view(test.input).substr(from, to - from), {++now_us, now_us}, frames);
    from = to;
  }
  framing->feed(std::string_view(test.input).substr(from), {++now_us, now_us}, frames);
  std::vector<std::string> got;
  for (const auto& frame : frames) got.push_back(frame.bytes);
  EXPECT_EQ(got, test.frames);
  expect_counts(framing->counts(), test.counts);
}

TEST(SerialFraming, EveryCaseAtEverySplitInTwo) {
  for (const auto& test : all_cases()) {
    SCOPED_TRACE(test.name);
    check(test, {});
    const size_t step = std::max<size_t>(1, test.input.size() / 100);
    for (size_t cut = 0; cut <= test.input.size();
         cut += cut < 200 || cut + 200 > test.input.size() ? 1 : step) {
      check(test, {cut});
      if (testing::Test::HasFailure()) FAIL() << "split at " << cut;
    }
  }
}

TEST(SerialFraming, EveryCaseByteByByte) {
  for (const auto& test : all_cases()) {
    SCOPED_TRACE(test.name);
    std::vector<size_t> cuts;
    for (size_t cut = 1; cut < test.input.size(); ++cut) cuts.push_back(cut);
    check(test, cuts);
  }
}

TEST(SerialFraming, EveryCaseAtRandomSplits) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  for (const auto& test : all_cases()) {
    SCOPED_TRACE(test.name);
    for (int round = 0; round < 20; ++round) {
      std::vector<size_t> cuts(random() % 9);
      for (auto& cut : cuts) cut = random() % (test.input.size() + 1);
      std::sort(cuts.begin(), cuts.end());
      check(test, cuts);
    }
  }
}

TEST(SerialFraming, FrameCarriesTheTimeOfItsLastByte) {
  auto framing = make_framing(type("line"));
  std::vector<Frame> frames;
  framing->feed("a", {1, 1001}, frames);
  framing->feed("b\nc", {2, 1002}, frames);
  framing->feed("\n", {3, 1003}, frames);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].received_at_us, 1002);
  EXPECT_EQ(frames[1].received_at_us, 1003);
}

TEST(SerialFraming, CutDiscardsAndCountsTheUnfinishedFrameOnly) {
  struct Cut {
    FramingSettings settings;
    std::string unfinished;  // leaves a frame begun
    std::string whole;       // is one complete frame
  };
  const Cut cuts[] = {
      {type("line"), "ab", "cd\n"},        {fixed(3), "ab", "cde"},
      {prefixed(2), "\0\2a"s, "\0\2cd"s},  {prefixed(2), "\0"s, "\0\2cd"s},
      {type("stx_etx"), "\2ab", "\2cd\3"}, {type("slip"), "ab", "cd\xc0"},
      {type("cobs"), "\3a", "\3cd\0"s},    {type("nmea0183"), "$A*4", "$A*41\n"},
      {type("slip"), "\xdb", "cd\xc0"},
  };
  for (const auto& [settings, unfinished, whole] : cuts) {
    SCOPED_TRACE(settings.type);
    auto framing = make_framing(settings);
    std::vector<Frame> frames;
    framing->cut();
    framing->feed(whole, {1, 1}, frames);
    framing->cut();
    EXPECT_EQ(framing->counts().partial_discarded, 0u) << "nothing was unfinished";
    framing->feed(unfinished, {2, 2}, frames);
    framing->cut();
    framing->feed(whole, {3, 3}, frames);
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(frames[0].bytes, frames[1].bytes) << "the rest of the cut frame got into the next";
    expect_counts(framing->counts(), {0, 0, 0, 1});
  }
}

TEST(SerialFraming, CutOfAnOversizeFrameIsNotCountedTwice) {
  for (const char* name : {"line", "stx_etx", "slip", "cobs"}) {
    auto framing = make_framing(type(name));
    std::vector<Frame> frames;
    framing->feed("\2" + std::string(400, '\x7e'), {1, 1}, frames);
    framing->cut();
    expect_counts(framing->counts(), {0, 1, 0, 0});
  }
}

TEST(SerialFraming, WrongSettingsAreRefusedByTheNameOfTheKey) {
  const auto refused = [](const FramingSettings& settings, const std::string& fragment) {
    try {
      make_framing(settings);
      ADD_FAILURE() << "accepted: " << fragment;
    } catch (const std::invalid_argument& problem) {
      EXPECT_NE(std::string(problem.what()).find(fragment), std::string::npos) << problem.what();
    }
  };
  refused(type("morse"), "framing.type: 'morse'");
  refused(type("fixed"), "framing.length");
  refused(fixed(9), "framing.max_frame");
  refused(prefixed(3), "framing.prefix_bytes");
  refused(delimited("delimiter", ""), "framing.delimiter");
  refused(type("line", 0), "framing.max_frame");
  auto no_gap = type("idle_gap");
  no_gap.gap_us = 0;
  refused(no_gap, "framing.gap");
}

}  // namespace
}  // namespace penstock::serial
