#include "tests/support/local_server.h"

#include <stdexcept>
#include <utility>

#include "tests/support/ports.h"

namespace penstock::test {
namespace {

// The number behind `key` in a line like "ready grpc=127.0.0.1:4711 admin=127.0.0.1:4712".
uint16_t port_after(const std::string& line, const std::string& key) {
  const auto at = line.find(key);
  if (at == std::string::npos) throw std::runtime_error("no " + key + " in: " + line);
  const auto colon = line.find(':', at);
  return static_cast<uint16_t>(std::stoul(line.substr(colon + 1)));
}

}  // namespace

LocalServer::LocalServer(std::filesystem::path binary, std::filesystem::path tables,
                         const std::filesystem::path& dir, std::vector<std::string> options)
    : binary_(std::move(binary)),
      tables_(std::move(tables)),
      options_(std::move(options)),
      log_(dir / "server.log"),
      data_(dir / "data"),
      port_(free_tcp_port()) {
  std::filesystem::create_directories(data_);
}

void LocalServer::start() {
  process_.reset();
  std::vector<std::string> command{binary_.string(),
                                   "--tables",
                                   tables_.string(),
                                   "--data",
                                   data_.string(),
                                   "--listen",
                                   "127.0.0.1:" + std::to_string(port_),
                                   "--admin",
                                   "127.0.0.1:0"};
  command.insert(command.end(), options_.begin(), options_.end());
  process_ = std::make_unique<Process>(ProcessSpec{std::move(command), {}, log_});
  const auto ready = process_->wait_for_line("ready grpc=", std::chrono::seconds(30));
  if (!ready)
    throw std::runtime_error("the local Zerobus server did not start:\n" + process_->output());
  admin_port_ = port_after(*ready, "admin=");
}

void LocalServer::stop() {
  if (process_) process_->terminate(std::chrono::seconds(10));
  process_.reset();
}

void LocalServer::kill_now() { process_.reset(); }

}  // namespace penstock::test
