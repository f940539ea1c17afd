// One agent between a generator and the local server, and what landed there.
//
// One scope, main thread (tests/support/process.h). Throws std::runtime_error when a part does not
// come up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "tests/support/agent_process.h"
#include "tests/support/local_server.h"
#include "tests/support/mqtt_certificates.h"

namespace penstock::bench {

// A stream is paced to the service's 15,000 rows a second.
inline constexpr int kTables = 16;

// What the server's files hold.
struct Landed {
  uint64_t rows = 0;
  uint64_t different = 0;     // values of n
  uint64_t out_of_order = 0;  // rows of a table whose n is below one that came first before
  uint64_t repeated() const { return rows - different; }
};

struct E2eSetup {
  std::string inputs;  // lines of YAML below `inputs:`; topics are bench/K, K one of up to kTables
                       // words
  bool tls = false;
};

class E2eRig {
 public:
  // `input`: the options of the only one, in YAML's flow form.
  E2eRig(const std::filesystem::path& dir, const std::string& input)
      : E2eRig(dir, E2eSetup{"  in: {" + input + "}\n"}) {}
  E2eRig(const std::filesystem::path& dir, const E2eSetup& setup);

  test::AgentProcess& agent() { return agent_; }
  void cut_server() { server_.kill_now(); }
  void restore_server() { server_.start(); }

  // Rows the server says it has, repeated ones too; 0 while it is cut.
  uint64_t rows() const;
  // Throws with the agent's log when it does not have them in time.
  void wait_rows(uint64_t rows, Millis within) const;
  // Reads all files.
  Landed landed() const;
  double agent_cpu_s();
  std::filesystem::path data() const { return server_.data(); }
  std::filesystem::path spool() const { return dir_ / "spool"; }

 private:
  std::filesystem::path dir_;
  std::optional<test::TestAuthority> authority_;
  test::LocalServer server_;
  test::AgentProcess agent_;
};

// Rows as they land, for how long each took from its `t` until it was seen in a file.
class LandingWatch {
 public:
  explicit LandingWatch(std::filesystem::path data) : data_(std::move(data)) {}
  // Reads what is new and notes its age.
  void look();
  const std::vector<double>& ages_ms() const { return ages_ms_; }

 private:
  struct File {
    uint64_t read = 0;
    std::string rest;
  };
  std::filesystem::path data_;
  std::map<std::string, File> files_;
  std::vector<double> ages_ms_;
};

// A UDP input at this port for which each port of a sender is a table of its own, in YAML's flow
// form.
std::string udp_options(uint16_t port);
// Free ports for that many tables.
std::vector<uint16_t> sender_ports(size_t count);

}  // namespace penstock::bench
