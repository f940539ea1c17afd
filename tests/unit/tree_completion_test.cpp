// The shell completes verbs where verbs stand, and file names where files do.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

class Completion : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("bash")) GTEST_SKIP() << "bash is not installed";
  }
  std::string bash(const std::string& script) const {
    Process shell({{"bash", "-c", "COMPREPLY=(); . \"$0\"; " + script,
                    source_dir() + "/systemd/completion.bash"},
                   {},
                   dir_.path() / "out"});
    EXPECT_EQ(shell.wait(std::chrono::seconds(30)), 0) << shell.output();
    return shell.output();
  }
  // What is offered for the last of these words.
  std::string offered(const std::string& words) const {
    return bash("COMP_WORDS=(" + words +
                "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _penstock; echo \"${COMPREPLY[*]}\"");
  }

  TempDir dir_{"completion"};
};

TEST_F(Completion, VerbsAreOfferedWhereVerbsStand) {
  EXPECT_EQ(offered("penstock sp"), "spool\n");
  EXPECT_EQ(offered("penstock spool st"), "stat\n");
  EXPECT_EQ(offered("penstock quarantine re"), "replay\n");
  EXPECT_EQ(offered("penstock run --c"), "--config\n");
  EXPECT_EQ(offered("penstock run --config x --pl"), "--plugin-dir\n");
  EXPECT_EQ(offered("penstock spool stat --he"), "--help\n");
}

TEST_F(Completion, AndFileNamesWhereFilesDo) {
  for (const char* words : {"penstock spool stat st", "penstock spool stat /et",
                            "penstock spool stat ''", "penstock check --config /et"})
    EXPECT_EQ(offered(words), "\n") << words;
  EXPECT_NE(bash("complete -p penstock").find("-o default"), std::string::npos)
      << "the shell's own completion is for where there are no words";
}

}  // namespace
}  // namespace penstock::test
