// Goal: everything that leaves for a destination takes the configured proxy, or the environment's.
// Method: a configuration as it is read, a proxy that notes where it is asked to lead and refuses.
#include <cstdlib>
#include <fstream>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/app/check.h"
#include "agent/app/compose.h"
#include "agent/app/destinations.h"
#include "agent/app/table_schemas.h"
#include "tests/support/connect_proxy.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {
namespace {

using testing::HasSubstr;

constexpr const char* kEndpoint = "1234.zerobus.invalid";

config::Config load(const std::string& more) {
  const auto loaded = config::load_text(
      "version: 1\nagent: {id: gw}\ndestinations:\n  d:\n"
      "    endpoint: https://" +
          std::string(kEndpoint) +
          "\n"
          "    workspace_url: https://ws.invalid\n"
          "    auth: {client_id: id, client_secret: \"${env:HOME}-long-enough\"}\n" +
          more,
      "c.yaml", "/tmp", config::system_environment());
  for (const auto& problem : loaded.problems) {
    if (!problem.warning) ADD_FAILURE() << config::to_string(problem);
  }
  return loaded.config;
}

// One variable of the environment, for a scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

struct Ended : zerobus::StreamEvents {
  std::promise<zerobus::Status> status;
  void on_response(uint64_t, zerobus::Response) override {}
  void on_bad_response(uint64_t, Error) override {}
  void on_writes_done(uint64_t, size_t) override {}
  void on_closed(uint64_t, zerobus::Status end) override { status.set_value(std::move(end)); }
};

// What the three ways out say when they cannot get through: stream, token, table.
std::vector<std::string> said(const config::Config& config) {
  const auto destinations = make_destinations(config, "test", Log::none());
  const auto& destination = destinations.at("d");
  const auto events = std::make_shared<Ended>();
  auto stream = destination->transport->open(
      {1, "a.b.c", zerobus::Encoding::kJson, "", "token-of-the-test"}, events);
  EXPECT_TRUE(stream) << stream.error().what;
  auto token = std::make_shared<std::promise<std::string>>();
  destination->bearer("a.b.c", false, [token](Result<std::string> got) {
    token->set_value(got ? "a token" : got.error().what);
  });
  auto tables = TableSchemas::start(config, config.destinations[0], "test", Log::none());
  EXPECT_TRUE(tables);
  auto table = std::make_shared<std::promise<std::string>>();
  (*tables)->ask("a.b.c", [table](Result<codec::UnityTable> got) {
    table->set_value(got ? "a table" : got.error().what);
  });
  return {events->status.get_future().get().message, token->get_future().get(),
          table->get_future().get()};
}

TEST(AppProxy, StreamsTokensAndTablesTakeTheConfiguredProxy) {
  const test::ConnectProxy proxy({}, 503);
  const std::string address = "127.0.0.1:" + std::to_string(proxy.port());
  const auto texts = said(load("    proxy: http://" + address + "\n"));
  for (const auto& text : texts) EXPECT_THAT(text, HasSubstr("through the proxy " + address));
  EXPECT_THAT(proxy.asked(), testing::UnorderedElementsAre(std::string(kEndpoint) + ":443",
                                                           "ws.invalid:443", "ws.invalid:443"));
}

TEST(AppProxy, StreamsTokensAndTablesTakeTheEnvironmentsProxy) {
  const test::ConnectProxy proxy({}, 503);
  const std::string address = "127.0.0.1:" + std::to_string(proxy.port());
  const Variable variable("https_proxy", "http://" + address);
  for (const auto& text : said(load("")))
    EXPECT_THAT(text, HasSubstr("through the proxy " + address));
  EXPECT_EQ(proxy.asked().size(), 3u);
}

TEST(AppProxy, NoProxyOfTheEnvironmentHolds) {
  const Variable variable("https_proxy", "http://127.0.0.1:1");
  const auto config = load("");
  EXPECT_TRUE(workspace_options(config.destinations[0], "test")->proxy.has_value());
  const Variable except("no_proxy", "x, .invalid");
  EXPECT_FALSE(workspace_options(config.destinations[0], "test")->proxy.has_value());
}

TEST(AppProxy, AProxyThatIsNoneIsAProblemOfTheConfiguration) {
  const auto config = load("    proxy: socks5://user:s3cret@p:1\n");
  std::vector<config::Problem> problems;
  check_composition(config, problems);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_THAT(problems[0].what, HasSubstr("destinations.d.proxy: a proxy has a scheme"));
  EXPECT_THAT(problems[0].what, testing::Not(HasSubstr("s3cret")));
}

TEST(AppProxy, TheEnvironmentsProxyThatIsNoneIsNamedByTheCheck) {
  const Variable variable("https_proxy", "socks5://user:s3cret@p:1");
  config::Loaded loaded;
  loaded.config = load("");
  check_loaded(loaded, "/nonexistent", false);
  std::vector<std::string> said;
  for (const auto& problem : loaded.problems) {
    EXPECT_TRUE(problem.warning) << "the agent's environment may be another";
    said.push_back(problem.what);
  }
  ASSERT_THAT(said,
              testing::ElementsAre(HasSubstr("destinations.d: environment variable https_proxy: "
                                             "a proxy has a scheme")));
  EXPECT_THAT(said[0], testing::Not(HasSubstr("s3cret")));
}

// --- the CA file

// Of `check` and of `run`: what they say of a destination with this CA file, and whether as an
// error.
std::vector<std::pair<std::string, bool>> check_ca(const std::string& file, bool running) {
  config::Loaded loaded;
  loaded.config = load("    tls: {ca: " + file + "}\n");
  check_loaded(loaded, "/nonexistent", running);
  std::vector<std::pair<std::string, bool>> said;
  for (const auto& problem : loaded.problems) said.emplace_back(problem.what, !problem.warning);
  return said;
}

TEST(AppCaFile, OneThatCannotBeUsedIsAnErrorOfTheCheckAndStopsNothing) {
  const test::TempDir dir("ca");
  const std::string file = dir.path() / "ca.pem";
  const auto expect = [&](const std::string& what) {
    EXPECT_THAT(check_ca(file, false), testing::ElementsAre(testing::Pair(HasSubstr(what), true)));
    EXPECT_THAT(check_ca(file, true), testing::ElementsAre(testing::Pair(HasSubstr(what), false)));
  };
  expect("destinations.d: CA file " + file + " (tls.ca) cannot be read");
  std::ofstream(file) << "-----BEGIN PRIVATE KEY-----";
  expect("holds no PEM certificate");
  std::ofstream(file) << "-----BEGIN CERTIFICATE-----";
  EXPECT_TRUE(check_ca(file, false).empty());
}

// It is there later: the destination is used, and each of its streams says why it fails.
TEST(AppCaFile, OneThatIsNotThereYetDoesNotDisableItsDestination) {
  const auto made =
      make_destinations(load("    tls: {ca: /nonexistent/ca.pem}\n"), "test", Log::none());
  ASSERT_EQ(made.count("d"), 1u);
  const auto stream = made.at("d")->transport->open({1, "a.b.c", zerobus::Encoding::kJson, "", "t"},
                                                    std::make_shared<Ended>());
  ASSERT_FALSE(stream);
  EXPECT_THAT(stream.error().what, HasSubstr("/nonexistent/ca.pem"));
  EXPECT_EQ(stream.error().kind, ErrorKind::kTransient);
}

}  // namespace
}  // namespace penstock::app
