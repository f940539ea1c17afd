// The last good configuration: kept whole, read back as it was, refused when damaged.
#include <fstream>

#include <gtest/gtest.h>

#include "agent/app/last_good.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {
namespace {

class LastGoodTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    auto path = dir_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path kept() const { return dir_.path() / "last-good-config"; }

  test::TempDir dir_{"last_good"};
};

TEST_F(LastGoodTest, AllFilesComeBackAsTheyWere) {
  const LastGood last_good(dir_.path());
  const std::vector<config::SourceFile> sources{{"/etc/p/penstock.yaml", "version: 1\n"},
                                                {"/etc/p/conf.d/with space.yaml", ""}};
  ASSERT_TRUE(last_good.save(sources));
  const auto back = last_good.sources();
  ASSERT_TRUE(back) << back.error().what;
  ASSERT_EQ(back->size(), 2U);
  EXPECT_EQ((*back)[0].text, "version: 1\n");
  EXPECT_EQ((*back)[1].path, "/etc/p/conf.d/with space.yaml");
  EXPECT_EQ((*back)[1].text, "");
  EXPECT_NE(last_good.saved_at(), "");
  EXPECT_EQ(std::filesystem::status(kept()).permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none)
      << "a configuration may hold secrets";
}

TEST_F(LastGoodTest, WhereThereIsNoStateDirectoryNothingIsKept) {
  const LastGood last_good("/nowhere/at/all");
  EXPECT_TRUE(last_good.save({{"/a", "b"}}));
  const auto back = last_good.sources();
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->empty());
}

TEST_F(LastGoodTest, AnyCutOrChangedFileIsRefusedAndNotHalfUsed) {
  const LastGood last_good(dir_.path());
  ASSERT_TRUE(last_good.save({{"/a", "one\n"}, {"/b", "two"}}));
  std::ifstream in(kept());
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  // At the end of a file's bytes a cut leaves fewer files, each of them whole: that end is not a
  // place where a file written in one piece and renamed can stop.
  const size_t boundary = whole.find("3 /b");
  for (size_t length = 0; length < whole.size(); ++length) {
    if (length == boundary) continue;
    write("last-good-config", whole.substr(0, length));
    EXPECT_FALSE(last_good.sources()) << "cut to " << length;
  }
  for (const std::string bad : {"99999999999999999999 /a\nx\n", "-1 /a\nx\n", " /a\n\n", "x"}) {
    write("last-good-config", "penstock configuration 1\n" + bad);
    EXPECT_FALSE(last_good.sources()) << bad;
  }
}

TEST_F(LastGoodTest, TheKeptFilesStandForThoseOnDiskAndTheRestIsReal) {
  const auto main = write("penstock.yaml", "broken: [");
  const auto part = write("conf.d/a.yaml", "also: [");
  write("conf.d/new.yaml", "version: 1\n");
  const auto secret = write("secret", "s3cr3t");
  const auto environment =
      with_files(config::system_environment(),
                 {{main, "version: 1\ninclude: [conf.d/*.yaml]\n"}, {part, "agent: {id: gw}\n"}});
  EXPECT_EQ(*environment.read_file(part), "agent: {id: gw}\n");
  EXPECT_EQ(*environment.read_file(secret), "s3cr3t");
  EXPECT_EQ(*environment.find_files(dir_.path() / "conf.d" / "*.yaml"),
            std::vector<std::filesystem::path>{part})
      << "what came later is not part of it";
  const auto loaded = config::load_file(main, environment);
  EXPECT_TRUE(loaded.ok()) << to_string(loaded.problems.front());
  EXPECT_EQ(loaded.config.agent.id, "gw");
}

}  // namespace
}  // namespace penstock::app
