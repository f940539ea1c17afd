// Multicast groups of one socket: joined when their interface is there, and again after its link
// was away.
//
// Groups are values. Membership keeps what is joined; LinkWatch is a netlink socket that tells of
// links that came back. One thread: the input's. A membership ends with its interface (a replugged
// adapter is a new one), and a switch that was cut off has forgotten it: hence the second join. It
// is preceded by a leave, which may cut a flow for a moment: therefore only for a link that was
// away.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/udp/address.h"

struct nlmsghdr;

namespace penstock::udp {

// "239.1.2.3", "ff15::5", or with the only source wanted (SSM, RFC 4607): "232.1.2.3@10.0.5.7".
struct Group {
  IpAddress group;
  std::optional<IpAddress> source;

  static std::optional<Group> parse(std::string_view text);
  std::string text() const;
};

struct MulticastSettings {
  std::vector<Group> groups;
  std::string interface;  // "eth1"; empty: the kernel chooses by route
};

// What became of the links since the last look.
struct LinkNews {
  bool any = false;       // something came: a link, an address
  bool unsure = false;    // some reports were lost
  std::vector<int> back;  // links that run and did not before, by index
};

class Membership {
 public:
  explicit Membership(MulticastSettings settings) : settings_(std::move(settings)) {}

  bool wanted() const { return !settings_.groups.empty(); }
  bool complete() const { return missing_.empty(); }
  const std::string& missing() const { return missing_; }
  // Whether the news is a reason to join again: when a group is missing any is, else only that the
  // groups' own link was away; with no interface named, any link may be theirs.
  bool wants_join(const LinkNews& news) const;
  // Joins every group on `fd`, leaving it before where it is joined already. What could not be
  // joined, why and on which interface; empty when all are.
  const std::string& join(int fd);
  // "2 groups on eth1"
  std::string text() const;

 private:
  MulticastSettings settings_;
  unsigned joined_on_ = 0;  // interface index; it may be gone, and is to be left all the same
  std::string missing_;
};

// Which links run, from what the kernel reports. Pure.
class LinkStates {
 public:
  // True when link `index` runs now and was away since its last report: it did not run then, or its
  // carrier came or went in between (`carrier_changes`; the kernel reports a link once a second,
  // and a cable pulled for less is told by this count only). Also for a link never heard of, if it
  // stands for one that is gone: a replugged adapter has another number.
  bool report(int index, bool running, uint32_t carrier_changes);
  void gone(int index);

 private:
  struct Link {
    bool running;
    uint32_t carrier_changes;
  };
  std::map<int, Link> links_;
  int gone_ = 0;  // and not replaced yet
};

class LinkWatch {
 public:
  LinkWatch();
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Readable when there is something to take; -1: this system does not tell, see missing().
  int fd() const { return fd_; }
  const std::string& missing() const { return missing_; }
  // Takes what waits, without blocking.
  LinkNews take();

 private:
  void take_report(const nlmsghdr& header, LinkNews& news);

  int fd_ = -1;
  std::string missing_;
  LinkStates links_;
};

}  // namespace penstock::udp
