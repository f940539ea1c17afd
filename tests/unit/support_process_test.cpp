// No test may leave a child behind, and none may wait for ever on one.
#include <fstream>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

ProcessSpec shell(const TempDir& dir, const std::string& script) {
  return {{"/bin/sh", "-c", script}, {{"GREETING", "hello"}}, dir.path() / "out.log"};
}

TEST(Process, ExitCodesAndSignalsAreTold) {
  const TempDir dir;
  EXPECT_EQ(Process(shell(dir, "exit 7")).wait(Millis(10000)), 7);
  EXPECT_EQ(Process(shell(dir, "kill -9 $$")).wait(Millis(10000)), 128 + SIGKILL);
}

TEST(Process, OutputIsThatOfThisStartOnly) {
  const TempDir dir;
  Process(shell(dir, "echo $GREETING one")).wait(Millis(10000));
  Process second(shell(dir, "echo $GREETING two; sleep 100"));
  EXPECT_EQ(second.wait_for_line("hello", Millis(10000)), "hello two");
  EXPECT_EQ(second.wait_for_line("one", Millis(50)), std::nullopt);
}

TEST(Process, WaitingForALineEndsWhenTheProcessEnds) {
  const TempDir dir;
  Process process(shell(dir, "echo only this"));
  EXPECT_EQ(process.wait_for_line("something else", Millis(600000)), std::nullopt);
}

TEST(Process, ALineIsSeenOnlyWhenWhole) {
  const TempDir dir;
  Process process(shell(dir, "printf 'port=12'; sleep 0.2; echo 34; sleep 100"));
  EXPECT_EQ(process.wait_for_line("port=", Millis(10000)), "port=1234");
}

TEST(Process, TheEndOfTheScopeKills) {
  const TempDir dir;
  pid_t pid = -1;
  {
    Process process(shell(dir, "trap '' TERM; echo up; while :; do sleep 1; done"));
    ASSERT_TRUE(process.wait_for_line("up", Millis(10000)));
    pid = process.pid();
    EXPECT_EQ(process.terminate(Millis(100)), std::nullopt) << "it ignores SIGTERM";
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Process, AKilledParentTakesItsChildAlong) {
  const TempDir dir;
  const auto pid_file = dir.path() / "pid";
  const pid_t parent = ::fork();
  if (parent == 0) {
    Process child(shell(dir, "sleep 1000"));
    std::ofstream(pid_file.string() + ".new") << child.pid() << "\n";
    std::filesystem::rename(pid_file.string() + ".new", pid_file);
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(pid_file); }, Millis(20000)));
  pid_t child = -1;
  std::ifstream(pid_file) >> child;
  ASSERT_GT(child, 0);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  // An orphan is reaped by whoever adopts it, which may be nobody: dead or zombie both count.
  const auto gone = [child] {
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
    std::string pid, name, state;
    return !(stat >> pid >> name >> state) || state == "Z";
  };
  EXPECT_TRUE(wait_until(gone, Millis(20000)));
}

TEST(Process, AProgramThatIsNotThereIsAnErrorThatNamesIt) {
  const TempDir dir;
  try {
    Process({{"/nowhere/at-all"}, {}, dir.path() / "out.log"});
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at-all"), std::string::npos);
  }
}

}  // namespace
}  // namespace penstock::test
