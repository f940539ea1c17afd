// What a start with many tables asks of a workspace: the agent's side and the local server's over a
// real socket.
#include <condition_variable>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/zerobus/table_catalog.h"
#include "tests/support/wait.h"
#include "tests/zerobus_local/admin_http.h"
#include "tests/zerobus_local/tokens.h"

namespace penstock::local {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr int kTables = 150;

int open_sockets() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    count += !gone && target.string().starts_with("socket:") ? 1 : 0;
  }
  return count;
}

TEST(LocalCatalog, ManyTablesAtOnceAskForOneToken) {
  Tokens tokens({{}, "app", "s3cret", Millis(3'600'000)});
  std::promise<void> all_asked;
  const auto asked = all_asked.get_future().share();
  std::map<std::string, int> calls;  // of the server's thread
  const auto answer = [&](const HttpCall& call) -> HttpReply {
    ++calls[std::string(call.method)];
    asked.wait();
    if (call.target == "/oidc/v1/token") return tokens.give(call, read_clock().mono);
    return tokens.check_catalog(call.authorization, read_clock().mono);
  };
  auto server = AdminHttp::start("127.0.0.1", 0, answer);
  ASSERT_TRUE(server) << server.error().what;
  const auto client = [](bool) -> Result<zerobus::OAuthClient> {
    return zerobus::OAuthClient{"app", "s3cret"};
  };
  const int before = open_sockets();
  auto catalog = zerobus::TableCatalog::start(
      "http://127.0.0.1:" + std::to_string((*server)->port()), {}, {client, {}});
  ASSERT_TRUE(catalog);

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> answers;
  for (int i = 0; i < kTables; ++i) {
    (*catalog)->get("a.b.t" + std::to_string(i), Millis(30'000), [&](Result<std::string> body) {
      const std::lock_guard lock(mutex);
      ++answers[body ? "described" : body.error().what];
      changed.notify_all();
    });
  }
  all_asked.set_value();
  {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(60), [&] {
      int count = 0;
      for (const auto& [what, times] : answers) count += times;
      return count == kTables;
    });
    EXPECT_THAT(answers, ElementsAre(Pair("described", kTables)));
  }
  // Both ends of what is kept are of this process, which had some before.
  EXPECT_TRUE(test::wait_until([&] { return open_sockets() < before + kTables / 2; },
                               std::chrono::seconds(20)))
      << open_sockets() - before << " more than before";
  catalog->reset();
  (*server)->stop();
  EXPECT_THAT(calls, ElementsAre(Pair("GET", kTables), Pair("POST", 1)));
}

}  // namespace
}  // namespace penstock::local
