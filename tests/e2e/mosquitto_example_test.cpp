// Goal: the mosquitto settings that we ship start a broker as they stand, and keep for an agent
// that is away more than the broker would by itself, also over a restart of it. Method: a real
// mosquitto that includes the file, as Debian's does what stands in its conf.d.
#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include "tests/support/net.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using namespace std::chrono_literals;

class MosquittoExample : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = dir_.path() / "conf.d";
    std::filesystem::create_directories(folder);
    std::filesystem::copy(source_dir() + "/conf/examples/mosquitto.conf", folder / "penstock.conf");
    const passwd* user = ::getpwuid(::geteuid());  // root would become `mosquitto`
    std::ofstream(dir_.path() / "mosquitto.conf")
        << "persistence_location " << dir_.path().string() << "/\nlistener " << port_
        << " 127.0.0.1\nallow_anonymous true\nuser " << (user ? user->pw_name : "root")
        << "\nlog_dest stderr\ninclude_dir " << folder.string() << "\n";
  }
  void start() {
    broker_.emplace(ProcessSpec{{"mosquitto", "-c", (dir_.path() / "mosquitto.conf").string()},
                                {},
                                dir_.path() / "mosquitto.log"});
    ASSERT_TRUE(wait_until([&] { return can_connect(port_) || !broker_->running(); }, 30s));
    ASSERT_TRUE(broker_->running()) << broker_->output();
  }
  // What a client of the broker's own has printed.
  std::string client(const std::string& command) {
    Process process(
        {{"sh", "-c", command + " -h 127.0.0.1 -q 1 -t readings -p " + std::to_string(port_)},
         {},
         dir_.path() / "client.log"});
    const auto code = process.wait(60s);
    EXPECT_TRUE(code && *code == 0) << command << ": " << process.output();
    return process.output();
  }

  TempDir dir_{"mosquitto-example"};
  const uint16_t port_ = free_tcp_port();
  std::optional<Process> broker_;
};

TEST_F(MosquittoExample, KeepsMoreThanAThousandMessagesForOneWhoIsAway) {
  ASSERT_NO_FATAL_FAILURE(start());
  client("mosquitto_sub -i agent -c -E");
  client("seq 1500 | mosquitto_pub -l");
  ASSERT_EQ(broker_->terminate(30s), 0) << broker_->output();
  ASSERT_NO_FATAL_FAILURE(start());
  const auto kept = client("mosquitto_sub -i agent -c -C 1500 -W 30");
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 1500);
}

}  // namespace
}  // namespace penstock::test
