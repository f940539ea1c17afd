// A SQLite library that takes a file control and does not follow it: no spool is begun with it, and
// none that is there goes on.
#include <optional>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

class SpoolControls : public ::testing::Test {
 protected:
  void live(int records) {
    const auto spool = open_or_die(options_);
    Watcher watcher;
    spool->start(watcher);
    Feeder feeder(*spool);
    const LaneId lane = spool->lane({"r", "t"});
    feeder.put(lane, records, 500);
    EXPECT_TRUE(spool->flush());
    all_ += static_cast<size_t>(records);
    EXPECT_EQ(read_all(*spool, lane).size(), all_);
    spool->stop();
  }
  uintmax_t size() const { return std::filesystem::file_size(options_.dir / "1.db"); }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  size_t all_ = 0;
};

TEST_F(SpoolControls, EachThatIsNotFollowedIsNamedAtStart) {
  const std::vector<std::pair<int, std::string>> controls{
      {SQLITE_FCNTL_CHUNK_SIZE, "SQLITE_FCNTL_CHUNK_SIZE"},
      {SQLITE_FCNTL_SIZE_HINT, "SQLITE_FCNTL_SIZE_HINT"},
      {SQLITE_FCNTL_PERSIST_WAL, "does not keep the WAL file"},
      {SQLITE_FCNTL_POWERSAFE_OVERWRITE, "psow=0"}};
  for (const bool is_new : {true, false}) {
    if (!is_new) live(10);
    for (const auto& [control, name] : controls) {
      SCOPED_TRACE(name);
      std::optional<FaultVfs> vfs(std::in_place);
      vfs->swallow(control);
      const auto spool = Spool::open(options_, Log::none());
      ASSERT_FALSE(spool);
      EXPECT_EQ(spool.error().kind, ErrorKind::kDenied);
      EXPECT_NE(spool.error().what.find(name), std::string::npos) << spool.error().what;
      EXPECT_NE(spool.error().what.find("1.db"), std::string::npos) << spool.error().what;
    }
  }
  live(10);
}

TEST_F(SpoolControls, TheLookLeavesTheFileAsLongAsItWas) {
  live(10);
  const uintmax_t before = size();
  const auto spool = open_or_die(options_);
  EXPECT_EQ(size(), before);
}

}  // namespace
}  // namespace penstock::spool::testing
