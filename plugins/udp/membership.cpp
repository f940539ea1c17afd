#include "plugins/udp/membership.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace penstock::udp {
namespace {

sockaddr_storage socket_address(const IpAddress& address) {
  sockaddr_storage storage{};
  if (address.v4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, address.bytes.data(), 4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, address.bytes.data(), 16);
  }
  return storage;
}

// RFC 3678. 0, or errno.
int change(int fd, const Group& group, unsigned interface, bool join) {
  const int level = group.group.v4 ? IPPROTO_IP : IPPROTO_IPV6;
  if (group.source) {
    group_source_req request{};
    request.gsr_interface = interface;
    request.gsr_group = socket_address(group.group);
    request.gsr_source = socket_address(*group.source);
    const int option = join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP;
    return ::setsockopt(fd, level, option, &request, sizeof request) == 0 ? 0 : errno;
  }
  group_req request{};
  request.gr_interface = interface;
  request.gr_group = socket_address(group.group);
  const int option = join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP;
  return ::setsockopt(fd, level, option, &request, sizeof request) == 0 ? 0 : errno;
}

// How often the link's carrier came or went; 0 before Linux 3.15, which does not count.
uint32_t carrier_changes(const nlmsghdr& header, const ifinfomsg& link) {
  auto left = static_cast<size_t>(IFLA_PAYLOAD(&header));
  for (const rtattr* at = IFLA_RTA(&link); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    if (at->rta_type != IFLA_CARRIER_CHANGES || RTA_PAYLOAD(at) < sizeof(uint32_t)) continue;
    uint32_t count = 0;
    std::memcpy(&count, RTA_DATA(at), sizeof count);
    return count;
  }
  return 0;
}

std::string advice(int error) {
  switch (error) {
    case ENODEV:
      return "; no interface has a route to it, name one in multicast.interface";
    case ENOBUFS:
      return "; allow more with: sysctl -w net.ipv4.igmp_max_memberships=100";
    default:
      return "";
  }
}

}  // namespace

std::optional<Group> Group::parse(std::string_view text) {
  const size_t at = text.find('@');
  const auto group = IpAddress::parse(text.substr(0, at));
  if (!group || !group->is_multicast()) return std::nullopt;
  Group result{*group, std::nullopt};
  if (at == text.npos) return result;
  result.source = IpAddress::parse(text.substr(at + 1));
  const bool usable =
      result.source && result.source->v4 == group->v4 && !result.source->is_multicast();
  return usable ? std::optional(result) : std::nullopt;
}

std::string Group::text() const {
  return source ? group.text() + "@" + source->text() : group.text();
}

std::string Membership::text() const {
  const auto count = std::to_string(settings_.groups.size());
  const std::string where = settings_.interface.empty() ? "" : " on " + settings_.interface;
  return count + (settings_.groups.size() == 1 ? " group" : " groups") + where;
}

const std::string& Membership::join(int fd) {
  missing_.clear();
  const std::string where = settings_.interface.empty() ? "" : " on " + settings_.interface;
  unsigned interface = 0;
  if (!settings_.interface.empty()) {
    interface = ::if_nametoindex(settings_.interface.c_str());
    if (interface == 0) return missing_ = "there is no interface " + settings_.interface + " now";
  }
  for (const auto& group : settings_.groups) {
    // A membership of an interface that is gone still counts against the kernel's limit.
    (void)change(fd, group, joined_on_, false);
    const int error = change(fd, group, interface, true);
    if (error != 0 && missing_.empty())
      missing_ =
          "cannot join " + group.text() + where + ": " + std::strerror(error) + advice(error);
  }
  joined_on_ = interface;
  return missing_;
}

bool Membership::wants_join(const LinkNews& news) const {
  if (!complete()) return news.any;
  if (news.unsure) return true;
  if (settings_.interface.empty()) return !news.back.empty();
  const unsigned now = news.any ? ::if_nametoindex(settings_.interface.c_str()) : joined_on_;
  return now != joined_on_ ||
         std::find(news.back.begin(), news.back.end(), static_cast<int>(now)) != news.back.end();
}

bool LinkStates::report(int index, bool running, uint32_t carrier_changes) {
  const Link now{running, carrier_changes};
  const auto [known, fresh] = links_.try_emplace(index, now);
  const Link& before = known->second;
  const bool was_away =
      fresh ? gone_ > 0 : !before.running || before.carrier_changes != carrier_changes;
  known->second = now;
  if (!running || !was_away) return false;
  gone_ = std::max(gone_ - 1, 0);
  return true;
}

void LinkStates::gone(int index) {
  links_.erase(index);
  ++gone_;
}

LinkWatch::LinkWatch()
    : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (fd_ >= 0 && ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
  missing_ = std::string("netlink: ") + std::strerror(errno);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

LinkWatch::~LinkWatch() {
  if (fd_ >= 0) ::close(fd_);
}

LinkNews LinkWatch::take() {
  LinkNews news;
  alignas(nlmsghdr) char buffer[16384];
  for (;;) {
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && errno == ENOBUFS) {  // one that is lost may have been ours
      news.any = news.unsure = true;
      continue;
    }
    if (got <= 0) return news;
    auto left = static_cast<size_t>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left))
      take_report(*header, news);
  }
}

void LinkWatch::take_report(const nlmsghdr& header, LinkNews& news) {
  news.any = news.any || header.nlmsg_type == RTM_NEWADDR;
  if (header.nlmsg_type != RTM_NEWLINK && header.nlmsg_type != RTM_DELLINK) return;
  const auto& link = *static_cast<const ifinfomsg*>(NLMSG_DATA(&header));
  if (link.ifi_family != AF_UNSPEC) return;  // a bridge's ports
  news.any = true;
  if (header.nlmsg_type == RTM_DELLINK) {
    links_.gone(link.ifi_index);
  } else if (links_.report(link.ifi_index, (link.ifi_flags & IFF_RUNNING) != 0,
                           carrier_changes(header, link))) {
    news.back.push_back(link.ifi_index);
  }
}

}  // namespace penstock::udp
