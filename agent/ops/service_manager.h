// ServiceManager: what systemd is told (sd_notify). Without systemd ($NOTIFY_SOCKET unset) every
// call does nothing.
//
// Any thread. Watchdog pings are the caller's: it sends them only while the agent makes progress.
#pragma once

#include <optional>
#include <string>

#include "agent/base/clock.h"

namespace penstock::ops {

class ServiceManager {
 public:
  // The start takes longer: at least `more` from now on.
  void starting(const std::string& status, Millis more);
  void ready(const std::string& status);
  void status(const std::string& status);
  void stopping();
  void alive();  // one watchdog ping
  // How often alive() is wanted: half of the unit's WatchdogSec; nothing when there is no watchdog.
  std::optional<Millis> watchdog_interval() const;
};

}  // namespace penstock::ops
