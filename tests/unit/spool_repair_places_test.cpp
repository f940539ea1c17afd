// A repair in place that is cut off between any two of its steps leaves DIR, or an agent that does
// not begin an empty spool there.
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "agent/spool/repair_places.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

namespace fs = std::filesystem;

struct Cut : std::runtime_error {
  Cut() : std::runtime_error("cut") {}
};

class RepairPlaces : public OfflineSpoolTest {
 protected:
  fs::path made() const { return repairing_place(dir()); }
  fs::path damaged() const { return dir_.path() / "spool.before-repair"; }

  // The spool itself is the damaged one, and marked as such; the repaired one is a copy.
  void repair() {
    if (!fs::exists(dir())) fill_two_lanes(2);
    fs::copy(dir(), made());
    overwrite(dir() / "damaged", "");
  }
  bool is_damaged(const fs::path& place) const { return fs::exists(place / "damaged"); }
  std::string refused() const {
    auto spool = Spool::open(options(), Log::none());
    return spool ? std::string() : spool.error().what;
  }
};

TEST_F(RepairPlaces, TheSpoolIsThereAfterEachStepWhereNamesCanBeExchanged) {
  repair();
  RenameCalls calls = rename_calls();
  if (calls.exchange(made().c_str(), dir().c_str()) != 0) GTEST_SKIP() << std::strerror(errno);
  ASSERT_EQ(calls.exchange(made().c_str(), dir().c_str()), 0);
  calls.rename = [](const char*, const char*) -> int { throw Cut(); };
  EXPECT_THROW((void)change_places(dir(), made(), damaged(), calls), Cut);
  EXPECT_TRUE(fs::exists(file()) && !is_damaged(dir()) && is_damaged(made()));
  EXPECT_EQ(refused(), "");
}

TEST_F(RepairPlaces, BothAreInTheirPlaceInTheEnd) {
  for (const char* before : {"spool.before-repair", "spool.before-repair-2"}) {
    repair();
    ASSERT_EQ(damaged_place(dir()), dir_.path() / before);
    RenameCalls calls = rename_calls();
    if (fs::exists(damaged()))
      calls.exchange = [](const char*, const char*) {
        errno = EINVAL;
        return -1;
      };
    const auto done = change_places(dir(), made(), dir_.path() / before, calls);
    ASSERT_TRUE(done) << done.error().what;
    EXPECT_TRUE(fs::exists(file()) && !is_damaged(dir()) && is_damaged(dir_.path() / before));
    EXPECT_FALSE(fs::exists(made()));
  }
}

TEST_F(RepairPlaces, WithoutAnExchangeTheAgentSaysWhatToDo) {
  repair();
  RenameCalls calls = rename_calls();
  calls.exchange = [](const char*, const char*) {
    errno = EINVAL;
    return -1;
  };
  calls.rename = [times = 0](const char* from, const char* to) mutable {
    return ++times == 1 ? std::rename(from, to) : throw Cut();
  };
  EXPECT_THROW((void)change_places(dir(), made(), damaged(), calls), Cut);
  ASSERT_FALSE(fs::exists(dir()));
  for (const std::string& what : {refused(), OfflineSpool::open_locked(dir()).error().what,
                                  Importer::open(dir(), 1, Log::none()).error().what}) {
    EXPECT_NE(what.find("Rename " + made().string() + " to " + dir().string()), std::string::npos)
        << what;
  }
  EXPECT_FALSE(fs::exists(dir())) << "nothing is begun";
  fs::create_directory(dir());  // as services' managers do
  EXPECT_NE(refused().find("Rename " + made().string()), std::string::npos) << refused();
  fs::remove_all(dir());
  fs::rename(made(), dir());
  EXPECT_EQ(refused(), "");
}

TEST_F(RepairPlaces, WhatIsLeftAloneIsNamedToo) {
  repair();
  fs::rename(dir(), dir_.path() / "elsewhere");
  EXPECT_NE(refused().find("has made so far. Put"), std::string::npos) << refused();
  fs::rename(made(), damaged());
  EXPECT_NE(refused().find("Rename it to " + dir().string()), std::string::npos) << refused();
  fs::rename(damaged(), dir_.path() / "spool.old");
  EXPECT_EQ(refused(), "");
}

}  // namespace
}  // namespace penstock::spool::testing
