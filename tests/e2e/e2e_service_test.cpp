// What systemd is told: that the agent is ready, that it makes progress, and what needs a person.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/agent_process.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"

namespace penstock::e2e {
namespace {

using ::testing::HasSubstr;

// The other end of $NOTIFY_SOCKET. A short name of its own: a path of a build tree may be too long.
class NotifySocket {
 public:
  NotifySocket() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_ = "penstock-test-" + std::to_string(getpid());
    name_.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    const auto size = offsetof(sockaddr_un, sun_path) + 1 + name_.size();
    good_ = bind(fd_, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)) == 0;
  }
  ~NotifySocket() { close(fd_); }
  NotifySocket(const NotifySocket&) = delete;

  bool good() const { return good_; }
  std::string name() const { return "@" + name_; }
  // The next message; empty when none comes.
  std::string next() {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, 60'000) != 1) return {};
    char text[4096];
    const ssize_t size = recv(fd_, text, sizeof text, 0);
    return {text, size > 0 ? static_cast<size_t>(size) : 0};
  }
  std::string next_with(const std::string& part) {
    for (;;) {
      std::string message = next();
      if (message.empty() || message.find(part) != std::string::npos) return message;
    }
  }

 private:
  int fd_;
  std::string name_;
  bool good_ = false;
};

class Service : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(systemd_.good()); }

  std::unique_ptr<test::AgentProcess> agent(const std::string& more_inputs = "") {
    std::ofstream(dir_.path() / "penstock.yaml")
        << "version: 1\nagent: {id: gw}\nspool: {dir: spool, max_size: 64MiB, min_free: 1MiB}\n"
           "inputs:\n  u: {plugin: udp, listen: \"127.0.0.1:"
        << port_ << "\", topic: v}\n"
        << more_inputs;
    auto one = std::make_unique<test::AgentProcess>(
        test::AgentSetup{test::build_dir() + "/agent/penstock",
                         dir_.path() / "penstock.yaml",
                         plugins(),
                         dir_.path() / "agent.log",
                         {{"NOTIFY_SOCKET", systemd_.name()}, {"WATCHDOG_USEC", "200000"}}});
    one->start();
    return one;
  }

  // The real ones, and one that refuses to start.
  std::filesystem::path plugins() const {
    const auto folder = dir_.path() / "plugins";
    std::filesystem::create_directories(folder);
    for (const char* plugin : {"plugins/udp.so", "test_plugins/misfit.so"}) {
      const auto file = std::filesystem::path(test::build_dir()) / plugin;
      std::filesystem::create_symlink(file, folder / file.filename());
    }
    return folder;
  }

  const uint16_t port_ = test::free_udp_port();
  test::TempDir dir_{"service"};
  NotifySocket systemd_;
};

TEST_F(Service, SaysWhenItIsReadyThatItGoesOnAndThatItStops) {
  auto one = agent();
  EXPECT_THAT(systemd_.next_with("READY=1"), HasSubstr("STATUS=collecting")) << one->log();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(systemd_.next(), "WATCHDOG=1") << one->log();
  EXPECT_EQ(one->stop(), 0) << one->log();
  EXPECT_THAT(systemd_.next_with("STOPPING=1"), HasSubstr("STOPPING=1"));
}

TEST_F(Service, AnInputThatDoesNotRunIsAnAlarm) {
  auto one = agent("  s: {plugin: misfit, mode: refuse_start, topic: v}\n");
  const std::string ready = systemd_.next_with("READY=1");
  EXPECT_THAT(ready, HasSubstr("ALARM: 1 of the inputs not running: input s: ")) << one->log();
  EXPECT_EQ(one->stop(), 0) << one->log();
}

}  // namespace
}  // namespace penstock::e2e
