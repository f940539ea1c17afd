#include "agent/ops/service_manager.h"

#include <systemd/sd-daemon.h>

namespace penstock::ops {

void ServiceManager::starting(const std::string& status, Millis more) {
  const auto more_us = std::to_string(std::chrono::microseconds(more).count());
  sd_notify(0, ("EXTEND_TIMEOUT_USEC=" + more_us + "\nSTATUS=" + status).c_str());
}
void ServiceManager::ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}
void ServiceManager::status(const std::string& status) {
  sd_notify(0, ("STATUS=" + status).c_str());
}
void ServiceManager::stopping() { sd_notify(0, "STOPPING=1\nSTATUS=stopping"); }
void ServiceManager::alive() { sd_notify(0, "WATCHDOG=1"); }

std::optional<Millis> ServiceManager::watchdog_interval() const {
  uint64_t limit_us = 0;
  if (sd_watchdog_enabled(0, &limit_us) <= 0) return std::nullopt;
  return Millis(static_cast<int64_t>(limit_us / 2000));
}

}  // namespace penstock::ops
