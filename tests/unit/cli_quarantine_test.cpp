// `penstock quarantine` as a person meets it: what it prints, what it refuses and how it exits.
#include <cstdio>

#include "agent/cli/cli.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::cli {
namespace {

using namespace spool::testing;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Quarantine : public OfflineSpoolTest {
 protected:
  static Outcome penstock(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "penstock");
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = run(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  Outcome quarantine(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "quarantine");
    arguments.push_back(dir().string());
    return penstock(std::move(arguments));
  }
  std::filesystem::path configure(const std::vector<std::string>& routes) const {
    auto file = dir_.path() / "penstock.yaml";
    std::ofstream out(file);
    out << "version: 1\nagent: {id: gw}\n"
           "destinations: {d: {endpoint: \"http://127.0.0.1:1\", schema: none, auth: {token: "
           "\"long-enough\"}}}\n"
           "inputs: {u: {plugin: udp, topic: x}}\nroutes:\n";
    for (const auto& route : routes)
      out << "  - {name: " << route << ", match: {topic: " << route << "}, table: a.b.c}\n";
    return file;
  }
  void SetUp() override {
    open();
    const auto one = lane("main.a.one");
    put(one, 20, 60);
    spool_->quarantine(one, 4, "no such column: speed");
    spool_->quarantine(one, 9, "refused by the service: 7 [schema 01ab23cd]");
    spool_->acknowledge(one, 20);
    origin_ = spool_->origin_prefix() + "/1";
    ASSERT_TRUE(spool_->flush());
  }
  void TearDown() override {
    if (spool_) close();
  }

  std::string origin_;
};

TEST_F(Quarantine, ALiveSpoolIsLeftAloneAndTheMessageSaysWhatToDo) {
  for (const char* verb : {"ls", "show", "export"}) {
    const auto outcome = quarantine({verb});
    EXPECT_EQ(outcome.code, 2) << verb;
    EXPECT_TRUE(has(outcome.err, "stop that agent first")) << outcome.err;
  }
  for (const char* verb : {"replay", "discard"}) {
    const auto outcome = quarantine({verb, "--all"});
    EXPECT_EQ(outcome.code, 2) << verb;
    EXPECT_TRUE(has(outcome.err, "in use")) << outcome.err;
  }
  EXPECT_EQ(spool_->state(1).quarantined, 2U);
}

TEST_F(Quarantine, ListsAndShowsWhatIsThereAndWritesNothing) {
  close();
  const auto before = directory_content(dir());
  auto outcome = quarantine({"ls"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.out, "no such column: speed")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "   1        4  ")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "lane 1 seq 4")) << "the payload's head: " << outcome.out;
  outcome = quarantine({"ls", "--json", "--seq", "5-12"});
  EXPECT_TRUE(has(outcome.out, R"({"lane":1,"seq":9,"origin":")" + origin_ +
                                   R"(","origin_seq":9,"route":"route","table":"main.a.one")"))
      << outcome.out;
  EXPECT_TRUE(has(outcome.out, R"("reason":"refused by the service: 7","schema":"01ab23cd")"))
      << outcome.out;
  EXPECT_FALSE(has(outcome.out, R"("seq":4)")) << outcome.out;
  outcome = quarantine({"show", "--reason", "service"});
  EXPECT_TRUE(has(outcome.out, "name         " + origin_ + " 9")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "reason       refused by the service: 7\n")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "schema       01ab23cd\n")) << outcome.out;
  EXPECT_TRUE(has(quarantine({"show", "--seq", "4"}).out, "schema       none was sent\n"));
  EXPECT_TRUE(has(outcome.out, "received     2023-11-14 22:13:20.000 UTC")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "attribute    qos: 1")) << outcome.out;
  for (const char* verb : {"ls", "show", "export"}) {
    outcome = quarantine({verb, "--lane", "7"});
    EXPECT_EQ(outcome.code, 1) << verb;
    EXPECT_TRUE(has(outcome.err, "there are no such records")) << outcome.err;
  }
  outcome = quarantine({"export", "--seq", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "1 record exported")) << outcome.err;
  EXPECT_TRUE(has(outcome.out, R"("seq":4)")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "no such column: speed")) << outcome.out;
  EXPECT_EQ(directory_content(dir()), before);
}

TEST_F(Quarantine, ReplayNeedsToBeToldWhatAndRefusesNonsense) {
  close();
  EXPECT_EQ(quarantine({"replay"}).code, 2);
  EXPECT_EQ(quarantine({"discard"}).code, 2);
  EXPECT_EQ(quarantine({"replay", "--all", "--lane", "1"}).code, 2);
  EXPECT_EQ(quarantine({"replay", "--seq", "9-4"}).code, 2);
  EXPECT_EQ(quarantine({"replay", "--all", "--table", "two.parts"}).code, 2);
  EXPECT_EQ(quarantine({"replay", "--all", "--route", "a@b"}).code, 2);
  EXPECT_EQ(quarantine({"replay", "--lane", "7"}).code, 1);
}

// Its records would be out of the quarantine and in nobody's hands.
TEST_F(Quarantine, ReplayToARouteThatIsNotConfiguredIsRefused) {
  close();
  const auto file = configure({"one", "other"});
  const auto before = directory_content(dir());
  auto outcome = quarantine({"replay", "--all", "--route", "on", "-c", file.string()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, "there is no route on (routes: one, other)")) << outcome.err;
  EXPECT_EQ(directory_content(dir()), before);
  std::ofstream(file, std::ios::app) << "nonsense: 1\n";
  outcome = quarantine({"replay", "--all", "--route", "one", "-c", file.string()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, "see penstock check")) << outcome.err;
  EXPECT_EQ(directory_content(dir()), before);
}

TEST_F(Quarantine, RecordsOfARouteThatIsGoneStayAndTheOthersAreReplayed) {
  const auto two = spool_->lane({"gone", "main.a.two"});
  put(two, 3, 60);
  spool_->quarantine(two, 1, "no such column: speed");
  spool_->acknowledge(two, 3);
  ASSERT_TRUE(spool_->flush());
  close();
  const auto config = configure({"route", "other"}).string();
  auto outcome = quarantine({"replay", "--all", "-c", config});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(has(outcome.out, "2 records to be sent again")) << outcome.out;
  EXPECT_TRUE(has(outcome.err,
                  "1 record left in the quarantine: route gone is not in the configuration any "
                  "more: say by which they go, with --route, and to another table with --table"))
      << outcome.err;
  outcome = quarantine({"replay", "--all", "--table", "main.a.three", "-c", config});
  EXPECT_EQ(outcome.code, 1) << "the table alone does not help";
  outcome = quarantine({"replay", "--all", "--route", "other", "-c", config});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.out, "1 record to be sent again")) << outcome.out;
}

// Replayed, refused again, and then the route went: the lane it was replayed through is of it too.
TEST_F(Quarantine, ARecordThatWasReplayedBeforeIsOfTheRouteItWasReplayedBy) {
  close();
  ASSERT_EQ(quarantine({"replay", "--seq", "4", "-c", configure({"route"}).string()}).code, 0);
  open();
  const auto again = spool_->lane({"route@replay/1", "main.a.one"});
  spool_->quarantine(again, 1, "still no such column");
  spool_->acknowledge(again, 1);
  ASSERT_TRUE(spool_->flush());
  close();
  const auto lane = std::to_string(again);
  const auto gone = quarantine({"replay", "--lane", lane, "-c", configure({"other"}).string()});
  EXPECT_TRUE(has(gone.err, "route route is not in the configuration any more")) << gone.err;
  EXPECT_EQ(quarantine({"replay", "--lane", lane, "-c", configure({"route"}).string()}).code, 0);
}

TEST_F(Quarantine, BeforeItsTurnARecordOfARouteThatIsGoneWaitsForIt) {
  const auto two = spool_->lane({"gone", "main.a.two"});
  put(two, 3, 60);
  spool_->quarantine(two, 2, "no such column: speed");
  ASSERT_TRUE(spool_->flush());
  close();
  const auto config = configure({"route"}).string();
  for (const char* route : {"", "route"}) {
    const auto outcome = quarantine({"replay", "--lane", "2", "--route", route, "-c", config});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(has(outcome.err,
                    "route gone is not in the configuration any more, and records "
                    "before them still wait for it: put it back first"))
        << outcome.err;
  }
}

TEST_F(Quarantine, TheAccountFollowsReplayAndDiscard) {
  close();
  auto outcome = quarantine({"replay", "--seq", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.out, "1 record to be sent again; the agent does that after"))
      << outcome.out;
  outcome = quarantine({"discard", "--seq", "9"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto stat = penstock({"spool", "stat", dir().string()});
  EXPECT_TRUE(has(stat.out, "committed 20 = delivered 18 + replayed 1 + discarded 1 + pending 0"))
      << stat.out;
  EXPECT_TRUE(has(stat.out, "replayed from the quarantine of lane 1")) << stat.out;
  EXPECT_TRUE(has(stat.out, "committed 1 = delivered 0 + pending 1")) << stat.out;
  EXPECT_EQ(penstock({"spool", "fsck", dir().string()}).code, 0);
  // Elsewhere it is the same record as ever.
  const auto exported = penstock({"spool", "export", dir().string()});
  EXPECT_TRUE(has(exported.out, R"("origin":")" + origin_ + R"(","route":"route","table":)"))
      << exported.out;
  EXPECT_TRUE(has(exported.out, R"("seq":4)")) << exported.out;
  EXPECT_FALSE(has(exported.out, "penstock.name")) << exported.out;
}

}  // namespace
}  // namespace penstock::cli
