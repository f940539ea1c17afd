#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

const std::string kFolder = "/etc/penstock/";

// c.yaml includes conf.d/*.yaml, which is `files`, in this order.
Loaded load_with(const std::vector<std::pair<std::string, std::string>>& files,
                 const std::string& more = "") {
  FakeMachine machine;
  for (const auto& [name, text] : files) {
    machine.files[kFolder + "conf.d/" + name] = text;
    machine.matches[kFolder + "conf.d/*.yaml"].push_back(kFolder + "conf.d/" + name);
  }
  return machine.load(minimal("include: [conf.d/*.yaml]\n" + more));
}

TEST(ConfigInclude, MapsMergeAndListsAppend) {
  const auto loaded =
      load_with({{"a.yaml",
                  "inputs: {x: {plugin: udp}}\nspool: {commit_interval: 5ms}\n"
                  "routes: [{name: a, match: {topic: a}, table: a.b.c}]\n"},
                 {"b.yaml",
                  "version: 1\ninputs: {y: {plugin: udp}}\n"
                  "routes: [{name: b, match: {topic: b}, table: a.b.c}]\n"}},
                "destinations: {d: {endpoint: \"http://localhost\"}}\nspool: {dir: q}\n"
                "routes: [{name: main, match: {topic: m}, table: a.b.c}]\n");
  EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{});
  EXPECT_EQ(loaded.config.inputs.size(), 2u);
  EXPECT_EQ(loaded.config.spool.commit_interval, Millis(5));
  EXPECT_EQ(loaded.config.spool.dir, "/etc/penstock/q");
  std::vector<std::string> names;
  for (const auto& route : loaded.config.routes) names.push_back(route.name);
  EXPECT_EQ(names, (std::vector<std::string>{"main", "a", "b"}));
  EXPECT_EQ(loaded.sources.size(), 3u);
}

TEST(ConfigInclude, ASingleValueSetTwiceNamesBothPlaces) {
  const auto loaded = load_with(
      {{"a.yaml", "\nmemory_limit: 9MiB\nagent: {id: other}\n"}, {"b.yaml", "inputs: []\n"}},
      "memory_limit: 8MiB\ninputs: {i: {plugin: udp}}\n");
  EXPECT_EQ(texts(loaded.problems),
            (std::vector<std::string>{
                "/etc/penstock/conf.d/a.yaml:2:15: error: memory_limit is set twice (first at "
                "c.yaml:4:15; only maps and lists can be spread over files)",
                "/etc/penstock/conf.d/a.yaml:3:13: error: agent.id is set twice (first at "
                "c.yaml:2:13; only maps and lists can be spread over files)",
                "/etc/penstock/conf.d/b.yaml:1:9: error: inputs is set twice (first at c.yaml:5:9; "
                "only maps and lists can be spread over files)"}));
}

TEST(ConfigInclude, ProblemsNameTheIncludedFileAndPathsStartThere) {
  const auto loaded = load_with({{"a.yaml", "spol: {}\nspool: {dir: q}\n"}});
  EXPECT_EQ(texts(loaded.problems),
            std::vector<std::string>{
                "/etc/penstock/conf.d/a.yaml:1:1: error: unknown key `spol` (did you "
                "mean `spool`?)"});
  EXPECT_EQ(loaded.config.spool.dir, "/etc/penstock/conf.d/q");
}

TEST(ConfigInclude, IncludedFilesIncludeRelativeToThemselves) {
  FakeMachine machine;
  machine.files = {{"/etc/penstock/sub/a.yaml", "include: [b.yaml]\n"},
                   {"/etc/penstock/sub/b.yaml", "memory_limit: 9MiB\n"}};
  const auto loaded = machine.load(minimal("include: [sub/a.yaml]\n"));
  EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{});
  EXPECT_EQ(loaded.config.memory_limit_bytes, 9 * kMiB);
}

TEST(ConfigInclude, CirclesAndDoublesAreRefused) {
  FakeMachine machine;
  machine.files = {{"/etc/penstock/a.yaml", "include: [b.yaml]\n"},
                   {"/etc/penstock/b.yaml", "include: [./x/../a.yaml]\n"},
                   {"/etc/penstock/c.yaml", ""},
                   {"/etc/penstock/d.yaml", ""}};
  EXPECT_EQ(texts(machine.load(minimal("include: [a.yaml]")).problems),
            std::vector<std::string>{"/etc/penstock/b.yaml:1:11: error: include[0]: "
                                     "/etc/penstock/a.yaml includes itself (break the circle)"});
  EXPECT_EQ(
      texts(machine.load(minimal("include: [c.yaml, d.yaml, d.yaml]")).problems),
      (std::vector<std::string>{"c.yaml:3:11: error: include[0]: /etc/penstock/c.yaml includes "
                                "itself (break the circle)",
                                "c.yaml:3:27: error: include[2]: /etc/penstock/d.yaml is "
                                "included twice (include it once)"}));
}

TEST(ConfigInclude, ChainsAndCountsAreBounded) {
  FakeMachine machine;
  for (int i = 0; i < 200; ++i) {
    machine.files["/etc/penstock/n" + std::to_string(i)] =
        "include: [n" + std::to_string(i + 1) + "]\n";
    machine.files["/etc/penstock/w" + std::to_string(i)] = "";
    machine.matches["/etc/penstock/w*"].push_back("/etc/penstock/w" + std::to_string(i));
  }
  const auto deep = machine.load(minimal("include: [n0]"));
  ASSERT_EQ(deep.problems.size(), 1u);
  EXPECT_NE(deep.problems[0].what.find("is included too deep"), std::string::npos);
  const auto wide = machine.load(minimal("include: [\"w*\"]"));
  EXPECT_EQ(wide.problems.size(), 101u);
  EXPECT_EQ(wide.sources.size(), 100u);
}

TEST(ConfigInclude, MissingFilesMatterOnlyWithoutAPattern) {
  EXPECT_EQ(texts(FakeMachine{}.load(minimal("include: [none*.yaml]")).problems),
            std::vector<std::string>{});
  EXPECT_EQ(texts(FakeMachine{}.load(minimal("include: [none.yaml]")).problems),
            std::vector<std::string>{"c.yaml:3:11: error: include[0]: there is no file "
                                     "`none.yaml` (relative paths start at the folder of "
                                     "this file)"});
}

class IncludeOnDisk : public ::testing::Test {
 protected:
  IncludeOnDisk() {
    std::ofstream(dir_.path() / "c.yaml") << minimal("include: [conf.d/*.yaml]\n");
  }
  std::vector<std::string> problems() const {
    return texts(load_file(dir_.path() / "c.yaml", system_environment()).problems);
  }
  std::string refused(const std::string& why) const {
    return (dir_.path() / "c.yaml").string() +
           ":3:11: error: include[0]: cannot be read: " + (dir_.path() / "conf.d").string() + ": " +
           why;
  }

  test::TempDir dir_{"include"};
};

TEST_F(IncludeOnDisk, AFolderThatIsNotThereIsEmpty) {
  EXPECT_EQ(problems(), std::vector<std::string>{});
}

// Taken for empty, the agent would run without inputs, and keep that as what worked.
TEST_F(IncludeOnDisk, AFolderThatIsThereAndCannotBeOpenedIsNotEmpty) {
  std::filesystem::create_symlink("conf.d", dir_.path() / "conf.d");
  EXPECT_EQ(problems(), std::vector<std::string>{refused("Too many levels of symbolic links")});
}

TEST_F(IncludeOnDisk, AFolderThatMayNotBeReadIsNotEmpty) {
  std::filesystem::create_directory(dir_.path() / "conf.d");
  std::ofstream(dir_.path() / "conf.d" / "site.yaml") << "inputs: {}\n";
  EXPECT_EQ(problems(), std::vector<std::string>{});
  std::filesystem::permissions(dir_.path() / "conf.d", std::filesystem::perms::none);
  const auto system = system_environment();
  // Root may read everything; without its rights the folder around may be closed as well.
  const bool is_root = geteuid() == 0;
  ASSERT_EQ(seteuid(is_root ? 65534 : geteuid()), 0);
  const auto found = system.find_files(dir_.path() / "conf.d" / "*.yaml");
  ASSERT_EQ(seteuid(is_root ? 0 : geteuid()), 0);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().what, (dir_.path() / "conf.d").string() + ": Permission denied");
}

// A file that is no YAML hides its sections: what refers to them is not at fault.
TEST(ConfigInclude, ABrokenFileIsReportedAlone) {
  const auto loaded = load_with({{"a.yaml", "inputs: {x\n"}},
                                "routes: [{name: r, match: {input: x}, table: a.b.c}]\n");
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(to_string(loaded.problems[0].at), "/etc/penstock/conf.d/a.yaml:2:1");
}

}  // namespace
}  // namespace penstock::config
