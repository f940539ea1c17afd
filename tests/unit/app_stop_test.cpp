// Goal: an agent stops, whatever hangs.
#include <future>

#include <gtest/gtest.h>

#include "agent/spool/offline_reader.h"
#include "tests/unit/app_rig.h"

namespace penstock::app {
namespace {

// Records that wait in a copy of the spool, since its lock is held as long as the process lives.
size_t waiting(const std::filesystem::path& spool) {
  const test::TempDir copy("copy");
  for (const auto& entry : std::filesystem::directory_iterator(spool)) {
    if (entry.is_regular_file() && entry.path().filename() != "LOCK")
      std::filesystem::copy(entry.path(), copy.path());
  }
  auto opened = spool::OfflineSpool::open(copy.path());
  EXPECT_TRUE(opened) << opened.error().what;
  if (!opened) return 0;
  size_t records = 0;
  for (const auto& [id, lane] : opened->lanes()) records += lane.pending;
  return records;
}

// Of the thread it is put in.
struct AtEnd {
  std::promise<void>* tell = nullptr;
  ~AtEnd() {
    if (tell != nullptr) tell->set_value();
  }
};
thread_local AtEnd at_end;

TEST(AgentStop, AnAgentThreadThatHangsIsLeftBehindAndWhatWasCollectedIsInTheSpool) {
  AgentRig rig(Millis(50));
  rig.start();
  std::promise<void> hangs;
  std::promise<void> go_on;
  std::promise<void> ended;
  rig.agent().touch([&] {
    at_end.tell = &ended;
    hangs.set_value();
    go_on.get_future().wait();
  });
  hangs.get_future().wait();
  rig.emit();
  rig.agent().stop();
  EXPECT_NE(rig.said().find("the agent thread does not answer"), std::string::npos) << rig.said();
  EXPECT_EQ(waiting(rig.spool_dir()), 1U);
  rig.agent().stop();
  rig.destroy_agent();
  go_on.set_value();  // should it ever: what it uses is there
  ended.get_future().wait();
}

TEST(AgentStop, NothingIsLeftBehindOtherwise) {
  AgentRig rig;
  rig.start();
  rig.emit();
  rig.agent().stop();
  EXPECT_EQ(rig.said().find("left behind"), std::string::npos) << rig.said();
  EXPECT_EQ(waiting(rig.spool_dir()), 1U);
}

}  // namespace
}  // namespace penstock::app
