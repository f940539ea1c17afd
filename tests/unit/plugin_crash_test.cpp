// Goal: a plugin that keeps crashing the agent is left out, and nobody else is blamed. Method:
// child processes that really crash, in a plugin's call, in its thread, in the agent's own code.
#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/plan.h"
#include "agent/host/plugin_host.h"
#include "agent/intake/no_sink.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace penstock::host {
namespace {

const std::filesystem::path kPlugins = test::build_dir() + "/test_plugins";

// In the child: what an agent does that has one input of the plugin.
void run_agent(const std::filesystem::path& dir, const std::string& plugin,
               const std::string& mode) {
  auto notes = CrashNotes::open(dir);
  if (!notes) ::_exit(3);
  PluginCatalog catalog(kPlugins, notes->get());
  auto library = catalog.get(plugin);
  if (!library) ::_exit(4);
  if (mode == "agent_crashes") std::abort();
  intake::NoSink sink;
  std::vector<config::OptionValue> values{{"mode", config::OptionType::kEnum, mode, 0}};
  auto instance = Instance::create(**library, "one", "gw", values, 0, sink, Log::none());
  if (!instance) ::_exit(5);
  (*instance)->start();
  (void)(*instance)->wait_reported(std::chrono::steady_clock::now() + std::chrono::seconds(20));
  ::_exit(0);
}

// No walk of the stack gets out of abort() there.
#if defined(__arm__)
constexpr bool kIsArm32 = true;
#else
constexpr bool kIsArm32 = false;
#endif

struct Crash : testing::Test {
  // The signal or the negative exit code of a child.
  int crash(const std::string& mode) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)!::freopen("/dev/null", "w", stderr);  // what the sanitizer has to say about it
      run_agent(dir.path(), "misfit", mode);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
  }
  std::vector<CrashNote> notes() const {
    std::ifstream file(dir.path() / "plugin-crashes");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return parse_crash_notes(text);
  }
  std::string refusal(const std::string& plugin) const {
    auto opened = CrashNotes::open(dir.path());
    PluginCatalog catalog(kPlugins, opened->get());
    auto library = catalog.get(plugin);
    return library ? "" : library.error().what;
  }

  test::TempDir dir{"crash"};
};

TEST_F(Crash, ThePluginWhoseCodeWasRunningIsNoted) {
  std::vector<const char*> modes{"trap", "crash_in_thread"};
  if (!kIsArm32) modes.insert(modes.end(), {"crash", "throw_in_thread"});
  for (const char* mode : modes) {
    EXPECT_NE(crash(mode), 0) << mode;
    ASSERT_EQ(notes().size(), 1U) << mode;
    EXPECT_EQ(notes().back().plugin, "misfit") << mode;
    std::filesystem::remove(dir.path() / "plugin-crashes");  // the third would leave it out
  }
}

TEST_F(Crash, TheThirdInTenMinutesLeavesItOutAndNoOther) {
  const int signal = crash("trap");
  EXPECT_TRUE(signal == SIGILL || signal == SIGTRAP) << "it still ends the process: " << signal;
  crash("trap");
  EXPECT_EQ(refusal("misfit"), "") << "two may be chance";
  crash("trap");
  const auto text = refusal("misfit");
  EXPECT_NE(text.find("plugin misfit crashed the agent 3 times"), std::string::npos) << text;
  EXPECT_NE(text.find("plugin-crashes"), std::string::npos) << "says how to try again: " << text;
  EXPECT_EQ(refusal("probe"), "");
  EXPECT_EQ(crash("behave"), -4) << "a start leaves it out";
}

TEST_F(Crash, TheAgentsOwnCrashIsNoPlugins) {
  EXPECT_EQ(crash("agent_crashes"), SIGABRT);
  EXPECT_TRUE(notes().empty());
}

TEST_F(Crash, WhatIsOutOfDateIsForgottenAndRubbishPassedOver) {
  std::ofstream(dir.path() / "plugin-crashes") << "another-boot 5 misfit\nanother-boot 6 misfit\n"
                                                  "another-boot 7 misfit\n\xFF\n";
  EXPECT_EQ(refusal("misfit"), "");
  EXPECT_TRUE(notes().empty()) << "an old file does not grow for ever";
}

TEST(CrashNotes, OnlyThisPluginThisBootAndTheLastTenMinutesCount) {
  const auto notes = parse_crash_notes(
      "b 1000 udp\nb 2000 udp\nx 2000 udp\nb 2000 mqtt\nb 2000\nb y udp\nb 1 udp 2\n\nb 9999999 "
      "udp");
  EXPECT_EQ(notes.size(), 5u);
  const Millis ten = kCrashWindow;
  EXPECT_EQ(recent_crashes(notes, "udp", "b", Millis(2000)), 2);
  EXPECT_EQ(recent_crashes(notes, "udp", "b", Millis(1000)), 1) << "the future is a mistake";
  EXPECT_EQ(recent_crashes(notes, "udp", "b", ten + Millis(999)), 2);
  EXPECT_EQ(recent_crashes(notes, "udp", "b", ten + Millis(1000)), 1);
  EXPECT_EQ(recent_crashes(notes, "udp", "b", ten + Millis(2000)), 0);
  EXPECT_EQ(recent_crashes(notes, "serial", "b", Millis(2000)), 0);
}

}  // namespace
}  // namespace penstock::host
