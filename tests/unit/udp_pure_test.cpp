// The parts of the UDP input that only compute: addresses, networks, splitting, drop counts,
// advice.
#include <stdexcept>

#include <gtest/gtest.h>

#include "plugins/udp/address.h"
#include "plugins/udp/drop_meter.h"
#include "plugins/udp/record_builder.h"
#include "plugins/udp/settings.h"
#include "plugins/udp/socket.h"
#include "tests/support/fake_plugin_host.h"

namespace penstock::udp {
namespace {

using Texts = std::vector<std::string>;

bool allowed(const std::vector<std::string>& networks, const char* address) {
  return AllowList(networks).allows(*IpAddress::parse(address));
}

TEST(UdpAllowList, Networks) {
  EXPECT_TRUE(allowed({}, "192.0.2.1")) << "no list: everyone";
  EXPECT_TRUE(allowed({"10.0.5.0/24"}, "10.0.5.255"));
  EXPECT_FALSE(allowed({"10.0.5.0/24"}, "10.0.6.0"));
  EXPECT_TRUE(allowed({"10.0.5.77/24"}, "10.0.5.1")) << "host bits do not matter";
  EXPECT_TRUE(allowed({"10.0.4.0/23"}, "10.0.5.9"));
  EXPECT_FALSE(allowed({"10.0.4.0/23"}, "10.0.6.9"));
  EXPECT_TRUE(allowed({"10.0.5.7"}, "10.0.5.7"));
  EXPECT_FALSE(allowed({"10.0.5.7"}, "10.0.5.6"));
  EXPECT_TRUE(allowed({"0.0.0.0/0"}, "192.0.2.1"));
  EXPECT_FALSE(allowed({"0.0.0.0/0"}, "2001:db8::1"));
  EXPECT_FALSE(allowed({"::/0"}, "192.0.2.1")) << "each family is named by its own networks";
  EXPECT_TRUE(allowed({"fd00::/8"}, "fdff::1"));
  EXPECT_FALSE(allowed({"fd00::/8"}, "fe00::1"));
  EXPECT_TRUE(allowed({"2001:db8::/33"}, "2001:db8:7fff::1"));
  EXPECT_FALSE(allowed({"2001:db8::/33"}, "2001:db8:8000::1"));
  EXPECT_TRUE(allowed({"10.0.0.0/8", "fd00::/8"}, "fd00::1")) << "any of them";
}

TEST(UdpAllowList, AnIPv4SourceInsideIPv6IsItsIPv4Address) {
  EXPECT_TRUE(allowed({"10.0.5.0/24"}, "::ffff:10.0.5.3"));
  EXPECT_TRUE(allowed({"::ffff:10.0.5.0/120"}, "10.0.5.3"));
  EXPECT_FALSE(allowed({"::ffff:10.0.5.0/120"}, "10.0.6.3"));
  EXPECT_EQ(IpAddress::parse("::ffff:10.0.5.3")->text(), "10.0.5.3");
}

TEST(UdpAllowList, WrongEntriesAreNamed) {
  for (const char* wrong : {"10.0.5.0/33", "fd00::/129", "10.0.5", "gateway", "10.0.5.0/",
                            "10.0.5.0/-1", "", "/8", "10.0.5.0/24 ", "::ffff:10.0.5.0/24"}) {
    try {
      AllowList list({"10.0.0.0/8", wrong});
      ADD_FAILURE() << "accepted " << wrong;
    } catch (const std::invalid_argument& problem) {
      EXPECT_NE(std::string(problem.what()).find("allow: '" + std::string(wrong) + "'"),
                std::string::npos);
    }
  }
}

TEST(UdpEndpoint, ReadsAndWritesBothFamilies) {
  for (const char* text : {"0.0.0.0:5140", "127.0.0.1:0", "[::]:5140", "[::1]:65535",
                           "[2001:db8::1]:1", "[fe80::1%eth0]:5140"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->text(), text);
  }
  for (const char* wrong : {"", "5140", ":5140", "localhost:5140", "::1:5140", "[127.0.0.1]:5140",
                            "[::1]", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x", "[]:1", "1.2.3.4:+5",
                            "[fe80::1%]:1", "1.2.3.4%eth0:1"}) {
    EXPECT_FALSE(Endpoint::parse(wrong)) << wrong;
  }
}

TEST(UdpDropMeter, CountsOverWrapAndNewSocketsAndIgnoresOldReports) {
  DropMeter meter;
  meter.observe(5);
  meter.observe(3);  // a datagram that waited since before
  meter.observe(5);
  EXPECT_EQ(meter.total(), 5u);
  meter.new_socket();
  meter.observe(2);
  EXPECT_EQ(meter.total(), 7u);
  meter.new_socket();
  meter.observe(0x7000'0000u);
  meter.observe(0xE000'0000u);
  meter.observe(0x0000'0010u);
  EXPECT_EQ(meter.total(), 7u + 0x1'0000'0010u);
}

TEST(UdpReceiveBuffer, AdviceNamesTheSettingAndTheValue) {
  EXPECT_EQ(receive_buffer_advice(4096, 4096), "");
  EXPECT_EQ(receive_buffer_advice(4096, 8192), "");
  const auto advice = receive_buffer_advice(4 << 20, 212992);
  EXPECT_NE(advice.find("208KiB instead of 4096KiB"), std::string::npos) << advice;
  EXPECT_NE(advice.find("net.core.rmem_max=4194304"), std::string::npos) << advice;
}

Texts split(std::string_view payload, bool lines, Counters& counters) {
  UdpSettings settings;
  settings.split_lines = lines;
  RecordBuilder builder(settings, counters);
  const auto source = Endpoint::parse("192.0.2.7:99")->address;
  builder.add({payload, &source, 42, false, std::nullopt});
  Texts texts;
  for (const auto& record : builder.records()) texts.emplace_back(sdk::view(record.payload));
  return texts;
}

TEST(UdpSplit, Lines) {
  Counters counters;
  EXPECT_EQ(split("a\nb\r\nc", true, counters), (Texts{"a", "b", "c"}));
  EXPECT_EQ(split("a\n\n\r\nb\n", true, counters), (Texts{"a", "b"}))
      << "blank lines are no records";
  EXPECT_EQ(split("a\rb", true, counters), Texts{"a\rb"});
  EXPECT_EQ(counters.empty, 0u);
  EXPECT_EQ(split("\n\r\n", true, counters), Texts{});
  EXPECT_EQ(split("", true, counters), Texts{});
  EXPECT_EQ(counters.empty, 2u);
  EXPECT_EQ(split("a\nb\r\n", false, counters), Texts{"a\nb\r\n"})
      << "split none passes the datagram unchanged";
}

TEST(UdpRecords, EachSaysWhoSentIt) {
  Counters counters;
  UdpSettings settings;
  RecordBuilder builder(settings, counters);
  const Texts senders{"192.0.2.7:99",     "192.0.2.7:99",     "192.0.2.7:98", "192.0.2.8:98",
                      "[2001:db8::7]:98", "[2001:db8::8]:98", "192.0.2.7:99"};
  for (const auto& sender : senders)
    builder.add({"x", &Endpoint::parse(sender)->address, 42, false, std::nullopt});
  Texts said;
  for (const auto& record : builder.records()) {
    ASSERT_EQ(record.attribute_count, 2u);
    EXPECT_EQ(sdk::view(record.attributes[0].key), "source_ip");
    EXPECT_EQ(sdk::view(record.attributes[1].key), "source_port");
    const std::string ip(sdk::view(record.attributes[0].value));
    said.push_back((ip.find(':') == ip.npos ? ip : "[" + ip + "]") + ":" +
                   std::string(sdk::view(record.attributes[1].value)));
  }
  EXPECT_EQ(said, senders);
}

TEST(UdpSettings, WrongOptionsAreRefusedByTheNameOfTheKey) {
  const auto refused = [](const test::OptionValues& wrong, const std::string& fragment) {
    try {
      read_settings(wrong.options());
      ADD_FAILURE() << "accepted: " << fragment;
    } catch (const std::invalid_argument& problem) {
      EXPECT_NE(std::string(problem.what()).find(fragment), std::string::npos) << problem.what();
    }
  };
  refused(test::OptionValues().text("listen", "localhost:1"),
          "listen: 'localhost:1' is not ADDRESS:PORT");
  refused(test::OptionValues().text("listen", "[fe80::1]:5140"), "as in [fe80::1%eth0]:5140");
  refused(test::OptionValues().text("listen", "[fd00::1%eth0]:5140"),
          "remove %eth0 from [fd00::1%eth0]:5140");
  refused(test::OptionValues().text("listen", "239.1.1.1:25141"),
          "add multicast: {groups: [\"239.1.1.1\"]}");
  refused(test::OptionValues().text("listen", "[ff15::5]:25141"),
          "add multicast: {groups: [\"ff15::5\"]}");
  refused(test::OptionValues().text("listen", "0.0.0.0:1").text("allow[0]", "10/8"),
          "allow: '10/8'");
  refused(test::OptionValues().text("listen", "0.0.0.0:1").text("split", "word"), "split: 'word'");
  refused(test::OptionValues().text("listen", "0.0.0.0:1").text("multicast.groups[0]", "239.0.0"),
          "multicast.groups: '239.0.0' is no group");
  refused(test::OptionValues().text("listen", "0.0.0.0:1").number("max_datagram", 65537),
          "max_datagram");
}

}  // namespace
}  // namespace penstock::udp
