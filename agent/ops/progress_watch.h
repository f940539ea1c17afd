// Decides whether the agent still makes progress, from what its threads show: the watchdog is fed
// only then.
//
// A thread inside a file operation is alive although it shows nothing: a worn card can take many
// seconds for one sync. Above kStallShown that is a stall, to be shown; above the limit the file
// system is taken for hung, and a restart is tried. Pure; one thread.
#pragma once

#include <optional>

#include "agent/base/clock.h"

namespace penstock::ops {

struct Health {
  MonoTime now;
  bool agent_thread_answers = true;  // what it was asked at the look before
  // When the spool's thread began what it is at; none while it waits for work.
  std::optional<MonoTime> spool_busy_since;
};

class ProgressWatch {
 public:
  static constexpr Millis kStallShown{10'000};
  static constexpr Millis kIoStallLimit{120'000};

  enum class News { kNone, kStalled, kOver };
  struct Verdict {
    bool is_alive;
    News news = News::kNone;
    Millis stalled{0};  // with news: for how long, as far as is known
  };
  Verdict look(const Health& health);

 private:
  std::optional<MonoTime> stalled_since_;  // shown already
};

}  // namespace penstock::ops
