// The local Zerobus server (tests/zerobus_local) as a child process that can be cut and brought
// back on the same port.
//
// Owned by one scope, main thread (see process.h). Throws std::runtime_error when the server does
// not come up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/lakehouse.h"
#include "tests/support/process.h"

namespace penstock::test {

class LocalServer {
 public:
  // `dir` takes the data directory and the log. Chooses a port; does not start the server yet.
  // `options` go to its command line as they are.
  LocalServer(std::filesystem::path binary, std::filesystem::path tables,
              const std::filesystem::path& dir, std::vector<std::string> options = {});

  // Returns when it accepts streams. What landed before is still there.
  void start();
  // Orderly.
  void stop();
  // SIGKILL, as a power cut of the far end would look.
  void kill_now();
  bool running() { return process_ && process_->running(); }

  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  uint16_t port() const { return port_; }
  uint16_t admin_port() const { return admin_port_; }  // of the current start
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  const std::filesystem::path& data() const { return data_; }
  Lakehouse lakehouse() const { return Lakehouse(data_ / "lakehouse.db"); }

 private:
  std::filesystem::path binary_;
  std::filesystem::path tables_;
  std::vector<std::string> options_;
  std::filesystem::path log_;
  std::filesystem::path data_;
  uint16_t port_;
  uint16_t admin_port_ = 0;
  std::unique_ptr<Process> process_;
};

}  // namespace penstock::test
