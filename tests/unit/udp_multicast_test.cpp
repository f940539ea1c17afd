// UDP multicast: only what was joined comes in, SSM takes one source, and a group is joined again
// when its interface comes back.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/udp/udp_input.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/wait.h"

namespace penstock::udp {
namespace {

using test::stat;
using test::wait_until;
using namespace std::chrono_literals;

constexpr auto kDeadline = 30s;

TEST(MulticastGroup, IsAGroupAndPerhapsItsSource) {
  EXPECT_EQ(Group::parse("239.1.2.3")->text(), "239.1.2.3");
  EXPECT_EQ(Group::parse("ff15::5")->text(), "ff15::5");
  EXPECT_EQ(Group::parse("232.1.2.3@10.0.5.7")->text(), "232.1.2.3@10.0.5.7");
  for (const char* wrong : {"", "10.0.0.1", "239.1.2", "232.1.1.1@", "232.1.1.1@ff15::5", "fd00::1",
                            "232.1.1.1@239.1.1.1", "232.1.1.1@10.0.0.1@10.0.0.2", "@10.0.0.1"})
    EXPECT_FALSE(Group::parse(wrong)) << wrong;
}

TEST(LinkStates, SaysWhenALinkIsBack) {
  LinkStates links;
  EXPECT_FALSE(links.report(2, true, 1)) << "never heard of it: it may have run all the time";
  EXPECT_FALSE(links.report(2, true, 1)) << "no news";
  EXPECT_FALSE(links.report(2, false, 2));
  EXPECT_TRUE(links.report(2, true, 3));
  EXPECT_FALSE(links.report(3, false, 0));
  links.gone(2);
  EXPECT_TRUE(links.report(2, true, 1)) << "plugged in again under the same number";
  links.gone(2);
  EXPECT_TRUE(links.report(4, true, 1)) << "plugged in again under another";
  EXPECT_FALSE(links.report(5, true, 1)) << "and one more that replaces nothing";
}

TEST(LinkStates, SeeACableThatWasPulledBetweenTwoReports) {
  LinkStates links;
  EXPECT_FALSE(links.report(2, true, 3));
  EXPECT_TRUE(links.report(2, true, 5)) << "down and up: the kernel told of neither";
  EXPECT_FALSE(links.report(2, true, 5));
  EXPECT_FALSE(links.report(2, false, 7)) << "up and down again: it is not back";
  EXPECT_TRUE(links.report(2, true, 8));
}

TEST(Membership, IsRenewedOnlyForItsOwnLinkOnceItIsComplete) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int lo = static_cast<int>(::if_nametoindex("lo"));
  const LinkNews nothing, address{true, false, {}}, unsure{true, true, {}};
  const LinkNews ours{true, false, {lo}}, another{true, false, {lo + 1000}};
  Membership named({{*Group::parse("239.255.77.9")}, "lo"});
  ASSERT_EQ(named.join(fd), "");
  EXPECT_FALSE(named.wants_join(nothing));
  EXPECT_FALSE(named.wants_join(address)) << "a healthy flow would be cut";
  EXPECT_FALSE(named.wants_join(another));
  EXPECT_TRUE(named.wants_join(ours));
  EXPECT_TRUE(named.wants_join(unsure));
  Membership absent({{*Group::parse("239.255.77.9")}, "nowhere0"});
  ASSERT_NE(absent.join(fd), "");
  EXPECT_FALSE(absent.wants_join(nothing));
  EXPECT_TRUE(absent.wants_join(address)) << "it may be there now";
  ::close(fd);
}

// Sends to a group over the loopback interface.
void send_to(const std::string& group, const std::string& port, const std::string& from,
             std::string_view payload) {
  const auto to = *Endpoint::parse(group + ":" + port);
  const auto own = *Endpoint::parse(from + ":0");
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ip_mreqn interface {};
  interface.imr_ifindex = static_cast<int>(::if_nametoindex("lo"));
  ::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&own.address), own.size), 0);
  EXPECT_EQ(::sendto(fd, payload.data(), payload.size(), 0,
                     reinterpret_cast<const sockaddr*>(&to.address), to.size),
            static_cast<ssize_t>(payload.size()));
  ::close(fd);
}

// Behind the last colon of the report.
std::string port_in(const std::string& text) {
  const auto colon = text.rfind(':');
  return text.substr(colon + 1, text.find_first_not_of("0123456789", colon + 1) - colon - 1);
}

struct Multicast : testing::Test {
  // The port.
  std::string start(const std::string& group, const std::string& interface = "lo") {
    values.text("listen", "0.0.0.0:0").text("multicast.groups[0]", group);
    values.text("multicast.interface", interface);
    return start(read_settings(values.options()));
  }
  std::string start(UdpSettings settings) {
    input.emplace(host.face(), std::move(settings));
    input->start();
    EXPECT_TRUE(wait_until([&] { return !host.states().empty(); }, kDeadline));
    const auto text = host.last_state_text();
    const auto colon = text.find(':');
    return text.substr(colon + 1, text.find(',') - colon - 1);
  }
  void keeps_its_groups_while_addresses_come();
  void joins_again_while_datagrams_flow();
  std::string refusal(test::OptionValues& wrong) {
    try {
      UdpInput made(host.face(), read_settings(wrong.options()));
      return "";
    } catch (const std::invalid_argument& problem) {
      return problem.what();
    }
  }

  test::FakePluginHost host;
  test::OptionValues values;
  std::optional<UdpInput> input;
  std::string flow_port;
};

TEST_F(Multicast, OnlyWhatWasJoinedComesIn) {
  const auto port = start("239.255.77.1");
  EXPECT_NE(host.last_state_text().find("1 group on lo"), std::string::npos);
  // Another socket of this machine joins another group of the same port: not ours.
  const int other = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ip_mreqn join{};
  join.imr_multiaddr.s_addr = htonl(0xEFFF4D02);  // 239.255.77.2
  join.imr_ifindex = static_cast<int>(::if_nametoindex("lo"));
  ASSERT_EQ(::setsockopt(other, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join), 0);
  send_to("239.255.77.2", port, "127.0.0.1", "another group");
  send_to("239.255.77.1", port, "127.0.0.1", "ours");
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads(), std::vector<std::string>{"ours"});
  ::close(other);
}

TEST_F(Multicast, ASourceSpecificGroupTakesThatSourceOnly) {
  const auto port = start("232.255.77.1@127.0.0.2");
  send_to("232.255.77.1", port, "127.0.0.1", "stranger");
  send_to("232.255.77.1", port, "127.0.0.2", "the one");
  ASSERT_TRUE(host.wait_records(1));
  EXPECT_EQ(host.payloads(), std::vector<std::string>{"the one"});
  EXPECT_EQ(host.records()[0].attributes.at("source_ip"), "127.0.0.2");
}

TEST_F(Multicast, WhatCannotWorkIsRefusedWithTheReason) {
  test::OptionValues family;
  family.text("listen", "[::]:0").text("multicast.groups[0]", "239.1.1.1");
  EXPECT_NE(refusal(family).find("listen on 0.0.0.0"), std::string::npos) << refusal(family);
  test::OptionValues bound;
  bound.text("listen", "127.0.0.1:0").text("multicast.groups[0]", "239.1.1.1");
  EXPECT_NE(refusal(bound).find("does not receive 239.1.1.1"), std::string::npos);
  test::OptionValues none;
  none.text("listen", "0.0.0.0:0").text("multicast.groups[0]", "10.1.1.1");
  EXPECT_NE(refusal(none).find("'10.1.1.1' is no group"), std::string::npos);
  test::OptionValues lonely;
  lonely.text("listen", "0.0.0.0:0").text("multicast.interface", "eth0");
  EXPECT_NE(refusal(lonely).find("no multicast.groups"), std::string::npos);
  test::OptionValues acks;
  acks.text("listen", "0.0.0.0:0").text("multicast.groups[0]", "239.1.1.1").number("ack_bytes", 4);
  EXPECT_NE(refusal(acks).find("ack_bytes: "), std::string::npos);
}

TEST_F(Multicast, AnInterfaceThatIsNotThereIsSaidAndUnicastComesInAllTheSame) {
  const auto port = start("239.255.77.1", "nowhere0");
  ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_DEGRADED, "there is no interface nowhere0 now"));
  send_to("127.0.0.1", port, "127.0.0.1", "unicast");
  EXPECT_TRUE(host.wait_records(1));
}

TEST_F(Multicast, AnInterfaceOfAListenAddressThatIsNotThereIsSaid) {
  values.text("listen", "[fe80::1%nowhere0]:0");
  start(read_settings(values.options()));
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN,
                              "cannot listen on [fe80::1%nowhere0]:0: there is no interface "
                              "nowhere0 now"))
      << host.last_state_text();
}

bool joined(const std::string& interface, const std::string& group_hex) {
  std::ifstream file("/proc/thread-self/net/igmp");
  bool at = false;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('\t')) at = line.find(interface) != line.npos;
    if (at && line.find(group_hex) != line.npos) return true;
  }
  return false;
}

bool shell(const std::string& command) {
  return std::system((command + " 2>/dev/null").c_str()) == 0;
}

// In the namespace of the test below.
void Multicast::keeps_its_groups_while_addresses_come() {
  const auto joins = stat(*input, "joins");
  ASSERT_TRUE(shell("ip address add 10.78.0.1/24 dev va && ip address add 10.79.0.1/24 dev vb"));
  // Reports come in order: with the one of a link that was away all before it have been looked at.
  ASSERT_TRUE(shell("ip link set vb down && ip link set vb up"));
  EXPECT_TRUE(wait_until([&] { return stat(*input, "joins") > joins; }, kDeadline));
  EXPECT_EQ(stat(*input, "joins"), joins + 1);
}

void Multicast::joins_again_while_datagrams_flow() {
  std::atomic<bool> enough{false};
  std::thread flow([&] {
    while (!enough) send_to("127.0.0.1", flow_port, "127.0.0.1", "steady");
  });
  const auto records = stat(*input, "records");
  EXPECT_TRUE(wait_until([&] { return stat(*input, "records") > records + 100; }, kDeadline));
  const auto joins = stat(*input, "joins");
  EXPECT_TRUE(shell("ip link set vb down && ip link set vb up"));
  EXPECT_TRUE(wait_until([&] { return stat(*input, "joins") > joins; }, kDeadline));
  enough = true;
  flow.join();
}

// A group and how /proc/net/igmp writes it.
class MulticastAgain : public Multicast,
                       public testing::WithParamInterface<std::pair<const char*, const char*>> {};

// A network namespace of its own, in a thread of its own; the input's thread inherits it.
TEST_P(MulticastAgain, AGroupIsJoinedWhenItsInterfaceComesBack) {
  bool possible = false;
  std::thread([&] {
    possible = ::unshare(CLONE_NEWNET) == 0 && shell("ip link set lo up") &&
               shell("ip link add va type veth peer name vb && ip link set vb up");
    if (!possible) return;
    shell("ip link set va up && ip address add 10.77.0.1/24 dev va");
    flow_port = start(GetParam().first, "va");
    const auto is_joined = [] { return joined("va", GetParam().second); };
    EXPECT_TRUE(wait_until(is_joined, kDeadline));
    // Its adapter is unplugged and plugged in again.
    ASSERT_TRUE(shell("ip link del va"));
    EXPECT_FALSE(is_joined());
    ASSERT_TRUE(shell("ip link add va type veth peer name vb && ip link set vb up"));
    ASSERT_TRUE(shell("ip link set va up && ip address add 10.77.0.1/24 dev va"));
    EXPECT_TRUE(wait_until(is_joined, kDeadline)) << host.last_state_text();
    EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_UP, "1 group on va"));
    // A cable is pulled: a switch on the way may have forgotten who listens.
    const auto joins = stat(*input, "joins");
    ASSERT_TRUE(shell("ip link set vb down"));
    ASSERT_TRUE(shell("ip link set vb up"));
    EXPECT_TRUE(wait_until([&] { return stat(*input, "joins") > joins; }, kDeadline));
    keeps_its_groups_while_addresses_come();
    joins_again_while_datagrams_flow();
    input.reset();
  }).join();
  if (!possible) GTEST_SKIP() << "needs root and `ip` for a network of its own";
}

INSTANTIATE_TEST_SUITE_P(FromAllAndFromOne, MulticastAgain,
                         testing::Values(std::pair{"239.255.77.1", "014DFFEF"},
                                         std::pair{"232.255.77.1@10.77.0.9", "014DFFE8"}));

TEST_F(Multicast, ALinkLocalAddressIsListenedOnAtItsInterface) {
  bool possible = false;
  std::thread([&] {
    possible = ::unshare(CLONE_NEWNET) == 0 && shell("ip link set lo up") &&
               shell("ip address add fe80::77/64 dev lo nodad");
    if (!possible) return;
    values.text("listen", "[fe80::77%lo]:0");
    input.emplace(host.face(), read_settings(values.options()));
    input->start();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP, "listening on [fe80::77%lo]:"))
        << host.last_state_text();
    auto to = *Endpoint::parse("[fe80::77%lo]:" + port_in(host.last_state_text()));
    reinterpret_cast<sockaddr_in6&>(to.address).sin6_scope_id = ::if_nametoindex("lo");
    const int fd = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::sendto(fd, "hi", 2, 0, reinterpret_cast<const sockaddr*>(&to.address), to.size), 2);
    EXPECT_TRUE(host.wait_records(1));
    ::close(fd);
    input.reset();
  }).join();
  if (!possible) GTEST_SKIP() << "needs root and `ip` for a network of its own";
}

// As a service without AF_NETLINK in RestrictAddressFamilies= is: for this thread and those it
// starts.
void forbid_netlink() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(rules), rules};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

TEST_F(Multicast, WithoutNewsOfLinksItSaysSoOnceCollectsAndJoinsByTheClock) {
  std::thread([&] {
    ASSERT_NO_FATAL_FAILURE(forbid_netlink());
    values.text("listen", "0.0.0.0:0").text("multicast.groups[0]", "239.255.77.1");
    values.text("multicast.interface", "lo");
    auto settings = read_settings(values.options());
    settings.blind_rejoin = 5ms;
    const auto port = start(std::move(settings));
    send_to("239.255.77.1", port, "127.0.0.1", "ours");
    EXPECT_TRUE(host.wait_records(1));
    EXPECT_TRUE(wait_until([&] { return stat(*input, "joins") > 5; }, kDeadline));
    input.reset();
  }).join();
  for (const auto& state : host.states())
    EXPECT_EQ(state.text, host.states().front().text) << "that it joins is no news";
  const auto logs = host.logs();
  EXPECT_EQ(std::count_if(logs.begin(), logs.end(),
                          [](const std::string& line) {
                            return line.find("joined again by the clock only") != line.npos &&
                                   line.find("AF_NETLINK") != line.npos;
                          }),
            1);
}

}  // namespace
}  // namespace penstock::udp
