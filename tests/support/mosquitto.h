// A real Mosquitto broker on a loopback port, with its own configuration and persistence in a
// private directory.
//
// Queue limits are off and the in-flight window is wide unless told otherwise, so that an agent
// that is away loses nothing at the broker and what is measured is the agent. The port stays the
// same over stop and start. Owned by one scope, main thread (see process.h). Throws
// std::runtime_error when mosquitto is not installed or does not come up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/process.h"

namespace penstock::test {

class Mosquitto {
 public:
  // Chooses a free port and writes the configuration; does not start the broker yet.
  explicit Mosquitto(std::filesystem::path dir, int max_inflight_messages = 65535);

  // From the next start on only this user may connect; before: everyone.
  void set_login(const std::string& user, const std::string& password);
  // Returns when the broker accepts connections.
  void start();
  // Orderly: the persistence file is written first.
  void stop();
  // SIGKILL.
  void kill_now();

  uint16_t port() const { return port_; }
  std::string url() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }
  pid_t pid() const { return process_ ? process_->pid() : -1; }

 private:
  void configure(const std::string& access) const;

  std::filesystem::path dir_;
  uint16_t port_;
  int max_inflight_messages_;
  std::unique_ptr<Process> process_;
};

}  // namespace penstock::test
