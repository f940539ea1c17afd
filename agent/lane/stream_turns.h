// StreamTurns: which lanes of a destination have a stream when there may be fewer streams than
// lanes.
//
// A lane asks for each stream it wants to open and gives it back when that stream has ended. While
// all are taken, the others wait in the order they asked, and for each of them one stream is called
// back: of those at rest the one that was used last the longest ago; else the one that has been
// open the longest, if that is at least a turn. So a busy table never keeps others waiting for
// good, and tables in use keep their streams while idle ones are closed. One that was called back
// and has not gone within a turn, because its acknowledgement does not come, does not keep those at
// rest: one of them goes in its place as soon as any stream is used or asked for, or at a look.
//
// Owner: the destination; everything on the agent thread. Time comes in as a value. `granted` and
// `called_back` are called from within ask, used, look and give_back, possibly of another lane:
// they must only leave a note.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "agent/base/clock.h"

namespace penstock::lane {

class StreamTurns {
 public:
  using Ticket = uint64_t;  // of one stream, from asking for it to its end
  struct Callbacks {
    std::function<void()> granted;      // at most once; not when ask() said so
    std::function<void()> called_back;  // at most once, after opened(): end it in order, soon
  };

  explicit StreamTurns(size_t max_streams, Millis turn = Millis(2'000))
      : max_(max_streams), turn_(turn) {}

  // has(ticket) says whether the stream may be opened now.
  Ticket ask(Callbacks callbacks, MonoTime now);
  bool has(Ticket ticket) const { return held_.contains(ticket); }
  // The stream is open: its turn begins.
  void opened(Ticket ticket, MonoTime now);
  // Something was sent or acknowledged on it, or it came to rest.
  void used(Ticket ticket, bool at_rest, MonoTime now);
  // Time has passed. Who waits says so every turn(): streams on which nothing happens do not.
  void look(MonoTime now);
  Millis turn() const { return turn_; }
  // The stream has ended, or is not wanted any more.
  void give_back(Ticket ticket, MonoTime now);

  size_t in_use() const { return held_.size(); }
  size_t waiting() const { return queue_.size(); }

 private:
  struct Held {
    Callbacks callbacks;
    bool open = false;
    bool at_rest = false;
    std::optional<MonoTime> called_back{};
    MonoTime since{};
    MonoTime last_used{};
  };
  struct Waiting {
    Ticket ticket;
    Callbacks callbacks;
  };

  void call_back(MonoTime now);
  Held* next_to_go(MonoTime now, bool only_at_rest);

  const size_t max_;
  const Millis turn_;
  Ticket last_ = 0;
  std::map<Ticket, Held> held_;
  std::deque<Waiting> queue_;
};

}  // namespace penstock::lane
