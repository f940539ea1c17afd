// Goal: a password that is changed at a real broker and in the file that the configuration names
// needs nobody at the gateway. Method: the agent as a program, a mosquitto with a password file.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/agent_process.h"
#include "tests/support/mosquitto.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{60'000};

class Password : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", agent_.log().c_str());
  }
  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.path() / name) << text;
    return dir_.path() / name;
  }
  std::string configuration() const {
    return "version: 1\nagent: {id: gw}\nspool: {dir: \"" + (dir_.path() / "spool").string() +
           "\", max_size: 64MiB, min_free: 1MiB}\ncontrol: {socket: \"" +
           (dir_.path() / "control.sock").string() +
           "\"}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:" +
           std::to_string(test::free_tcp_port()) +
           "\", auth: {token: t}, schema: none}\ninputs:\n  m: {plugin: mqtt, server: \"" +
           broker_.url() + "\", protocol: \"" + GetParam() +
           "\", username: gw, password: \"${file:broker.password}\", "
           "subscribe: [{filter: \"plant/#\"}]}\nroutes:\n"
           "  - {name: m, match: {input: m}, table: a.b.c}\n";
  }

  test::TempDir dir_{"password"};
  test::Mosquitto broker_{dir_.path() / "broker"};
  test::AgentProcess agent_{{test::build_dir() + "/agent/penstock",
                             file("penstock.yaml", configuration()),
                             test::build_dir() + "/plugins",
                             dir_.path() / "agent.log",
                             {}}};
};

TEST_P(Password, ThatIsChangedAtTheBrokerAndInItsFileIsUsedWithoutARestart) {
  file("broker.password", "first\n");
  broker_.set_login("gw", "first");
  broker_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  ASSERT_TRUE(agent_.wait_for_log("new session", kGenerous));
  broker_.stop();
  broker_.set_login("gw", "zw3i");
  broker_.start();
  ASSERT_TRUE(agent_.wait_for_log("the broker refuses: not authorised", kGenerous));
  file("broker.password", "zw3i\n");
  EXPECT_TRUE(agent_.wait_for_log("session present", kGenerous));
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_THAT(agent_.log(), testing::Not(testing::HasSubstr("zw3i")));
}

INSTANTIATE_TEST_SUITE_P(Versions, Password, testing::Values("3.1.1", "5"), [](const auto& tested) {
  return std::string(tested.param) == "5" ? "v5" : "v311";
});

}  // namespace
}  // namespace penstock::e2e
