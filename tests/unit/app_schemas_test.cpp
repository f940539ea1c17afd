// Goal: tables are asked for when they may have changed, and a workspace that is slow, silent or
// away does not stop what can go on without it. Method: a workspace on a loopback port.
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app/table_schemas.h"
#include "tests/support/https_server.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Got = Result<TableSchemas::Described>;

constexpr const char* kTable = "a.b.c";

std::string described(const std::string& columns, const std::string& id = "id-1") {
  std::string list;
  for (const char name : columns) {
    list += (list.empty() ? "" : ",") + std::string(R"({"name":")") + name +
            R"(","type_text":"bigint","type_name":"LONG","position":)" +
            std::to_string(name - 'a') + "}";
  }
  return R"({"full_name":"a.b.c","table_type":"MANAGED","data_source_format":"DELTA","table_id":")" +
         id + R"(","columns":[)" + list + "]}";
}

std::string columns_of(const Got& got) {
  if (!got) return "error: " + got.error().what;
  std::string names = got->current ? "now " : "";
  for (const auto& column : got->table.schema.columns) names += column.name;
  return names;
}

class Schemas : public testing::Test {
 protected:
  ~Schemas() override { wake(200); }

  test::WebAnswer answer(const test::WebRequest&) {
    std::unique_lock lock(mutex_);
    ++asked_;
    changed_.wait(lock, [this] { return status_ != 0; });
    return {status_, body_, {}};
  }
  // 0: the workspace hangs.
  void wake(int status) {
    {
      const std::lock_guard lock(mutex_);
      status_ = status;
    }
    changed_.notify_all();
  }
  void say(const std::string& body) {
    const std::lock_guard lock(mutex_);
    body_ = body;
  }
  int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  config::Config configuration() const {
    const auto loaded = config::load_text(
        "version: 1\nagent: {id: gw}\nspool: {dir: \"" + dir_.path().string() +
            "\"}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:1\", workspace_url: "
            "\"http://127.0.0.1:" +
            std::to_string(server_.port()) +
            "\", schema: unity_catalog, auth: {token: \"a-token-long-enough\"}}\n",
        "c.yaml", dir_.path(), config::system_environment());
    for (const auto& problem : loaded.problems) {
      if (!problem.warning) ADD_FAILURE() << config::to_string(problem);
    }
    return loaded.config;
  }
  // A start of the agent.
  std::shared_ptr<TableSchemas> start(TableSchemas::Limits limits = {Millis(300), Millis(300)}) {
    const auto config = configuration();
    auto made = TableSchemas::start(config, config.destinations.at(0), "test",
                                    Log::to_stderr(LogLevel::kInfo), limits);
    EXPECT_TRUE(made);
    return *std::move(made);
  }
  static Got get(TableSchemas& schemas, bool fresh = false) {
    const auto promise = std::make_shared<std::promise<Got>>();
    auto future = promise->get_future();
    schemas.get(kTable, fresh, [promise](Got got) { promise->set_value(std::move(got)); });
    if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready)
      return Error{ErrorKind::kShutdown, "no answer", {}};
    return future.get();
  }

  test::TempDir dir_{"schemas"};
  std::mutex mutex_;
  std::condition_variable changed_;
  int status_ = 200;
  int asked_ = 0;
  std::string body_ = described("ab");
  test::HttpsServer server_{[this](const test::WebRequest& request) { return answer(request); }};
};

TEST_F(Schemas, AWorkspaceThatHangsDelaysAKnownTableOnceAndNotAtEveryStream) {
  auto schemas = start({Millis(300), Millis(30'000)});
  EXPECT_EQ(columns_of(get(*schemas)), "now ab");
  schemas = start({Millis(300), Millis(30'000)});  // known from the disk only
  wake(0);
  EXPECT_EQ(columns_of(get(*schemas)), "ab");
  wake(503);  // what is asked from here on is answered at once, and counted
  const int before = asked();
  EXPECT_EQ(columns_of(get(*schemas)), "ab");
  EXPECT_EQ(asked(), before) << "asked for again at once";
  EXPECT_EQ(columns_of(get(*schemas, true)), "ab");
  EXPECT_EQ(asked(), before + 1) << "with a reason it is";
}

TEST_F(Schemas, WithoutAnythingToGoOnWithTheTroubleIsSaid) {
  const auto schemas = start();
  wake(0);
  EXPECT_THAT(columns_of(get(*schemas)), HasSubstr("timed out"));
  wake(200);
  EXPECT_EQ(columns_of(get(*schemas)), "now ab") << "an error is not kept";
}

// Only then may a record be judged by it.
// Root asks where the credentials are root's; the agent has to be able to write here afterwards.
TEST_F(Schemas, WhatRootKeepsIsTheSpoolOwners) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kSomeone = 12345;
  constexpr gid_t kTheirs = 12346;
  ASSERT_EQ(chown(dir_.path().c_str(), kSomeone, kTheirs), 0);
  EXPECT_EQ(columns_of(get(*start())), "now ab");
  say(described("ab", "id-2"));
  EXPECT_EQ(columns_of(get(*start(), true)), "now ab");
  const auto folder = dir_.path() / "schemas";
  for (const auto& path :
       {folder, folder / "d", folder / "d" / "a.b.c.json", folder / "d" / "a.b.c.anew"}) {
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_uid, kSomeone) << path;
    EXPECT_EQ(info.st_gid, kTheirs) << path;
  }
}

TEST_F(Schemas, TheSpoolsDirectoryIsNotMadeForThem) {
  std::filesystem::remove(dir_.path());
  EXPECT_EQ(columns_of(get(*start())), "now ab");
  EXPECT_FALSE(std::filesystem::exists(dir_.path()));
}

TEST_F(Schemas, WhatIsOnlyRememberedIsNotCalledCurrent) {
  const auto schemas = start();
  EXPECT_EQ(columns_of(get(*schemas)), "now ab");
  EXPECT_EQ(columns_of(get(*schemas)), "ab") << "from memory";
  EXPECT_EQ(asked(), 1);
  say(described("abc"));
  EXPECT_EQ(columns_of(get(*schemas, true)), "now abc");
  wake(503);
  EXPECT_EQ(columns_of(get(*schemas, true)), "abc");
  wake(200);
  EXPECT_EQ(columns_of(get(*schemas, true)), "now abc");
}

TEST_F(Schemas, WhyThereIsNoAnswerIsHandedOnAndSaidOnceForEachKindOfTrouble) {
  const auto schemas = start();
  EXPECT_EQ(get(*schemas)->unanswered, "");
  testing::internal::CaptureStderr();
  for (const int status : {503, 503, 403, 403}) {
    wake(status);
    const auto got = get(*schemas, true);
    ASSERT_TRUE(got);
    EXPECT_THAT(got->unanswered, HasSubstr("HTTP " + std::to_string(status)));
  }
  const auto said = testing::internal::GetCapturedStderr();
  for (const std::string words : {"HTTP 503", "HTTP 403"}) {
    const auto once = said.find(words);
    ASSERT_NE(once, std::string::npos) << said;
    EXPECT_EQ(said.find(words, once + 1), std::string::npos) << said;
  }
}

TEST_F(Schemas, WhatACommandHasFetchedMeanwhileIsWhatIsKnownLast) {
  const auto agent = start();
  EXPECT_EQ(columns_of(get(*agent)), "now ab");
  say(described("abd"));
  EXPECT_EQ(columns_of(get(*start())), "now abd");
  wake(503);
  EXPECT_EQ(columns_of(get(*agent, true)), "abd");
}

TEST_F(Schemas, WhatACommandHasFetchedMeanwhileCountsWithoutAnyReasonToAsk) {
  const auto agent = start();
  EXPECT_EQ(columns_of(get(*agent)), "now ab");
  say(described("abd"));
  EXPECT_EQ(columns_of(get(*start())), "now abd");
  const int before = asked();
  EXPECT_EQ(columns_of(get(*agent)), "abd");
  EXPECT_EQ(asked(), before);
}

TEST_F(Schemas, AFileThatCannotBeReadIsAsIfThereWereNone) {
  const auto agent = start();
  EXPECT_EQ(columns_of(get(*agent)), "now ab");
  const auto file = dir_.path() / "schemas" / "d" / "a.b.c.json";
  std::ofstream(file) << "no JSON";
  EXPECT_EQ(columns_of(get(*agent)), "ab");
  EXPECT_EQ(columns_of(get(*agent, true)), "now ab");
  std::ostringstream kept;
  kept << std::ifstream(file).rdbuf();
  EXPECT_EQ(kept.str(), described("ab")) << "written again";
}

TEST_F(Schemas, ATableThatWasCreatedAnewIsWarnedOf) {
  const auto config = configuration();
  const auto notes = [&] {
    const auto kept = kept_schema(config, config.destinations.at(0), kTable);
    EXPECT_TRUE(kept);
    return kept ? kept->warnings : std::vector<std::string>{};
  };
  const auto agent = start();
  EXPECT_EQ(columns_of(get(*agent)), "now ab");
  say(described("abc"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(columns_of(get(*agent, true)), "now abc");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("created again")))
      << "an altered table is the same table";
  EXPECT_TRUE(notes().empty());
  say(described("abc", "id-2"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(columns_of(get(*start())), "now abc");  // also when it happened between two starts
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("created again"), HasSubstr("id-1"), HasSubstr("id-2")));
  ASSERT_EQ(notes().size(), 1u);
  EXPECT_THAT(notes()[0], HasSubstr("created again"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(columns_of(get(*start())), "now abc");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("created again")))
      << "said once";
}

}  // namespace
}  // namespace penstock::app
