// Goal: an input written elsewhere builds against what is installed, with CMake and with
// pkg-config, and loads. Method: the headers are installed into a folder of their own, the example
// of plugins/README.md is copied away from the sources and built there.
#include <fstream>

#include <gtest/gtest.h>

#include "agent/host/plugin_library.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::host {
namespace {

using test::Millis;

class OutOfTree : public testing::Test {
 protected:
  void SetUp() override {
    run({"cmake", "--install", test::build_dir(), "--component", "sdk", "--prefix",
         prefix().string()});
    std::filesystem::copy(test::source_dir() + "/plugins/example", dir_.path() / "mine");
  }
  void run(std::vector<std::string> command,
           std::vector<std::pair<std::string, std::string>> env = {}) {
    const auto output = dir_.path() / "output";
    test::Process process({std::move(command), std::move(env), output});
    const auto code = process.wait(Millis(90'000));
    ASSERT_TRUE(code) << "still running: " << process.output();
    ASSERT_EQ(*code, 0) << process.output();
  }
  std::filesystem::path prefix() const { return dir_.path() / "prefix"; }
  std::string find(const std::string& name) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(prefix())) {
      if (entry.path().filename() == name) return entry.path().string();
    }
    ADD_FAILURE() << name << " is not installed";
    return "";
  }
  static void expect_usable(const std::filesystem::path& file) {
    const auto library = PluginLibrary::load(file);
    ASSERT_TRUE(library) << library.error().what;
    EXPECT_EQ(library->name(), "heartbeat");
    EXPECT_EQ(library->descriptor().abi_major, 1u);
    EXPECT_EQ(library->options().size(), 2u);
  }

  test::TempDir dir_{"out-of-tree"};
};

TEST_F(OutOfTree, TheExampleBuildsWithCMakeAgainstWhatIsInstalled) {
  const auto mine = (dir_.path() / "mine").string();
  const auto build = (dir_.path() / "build").string();
  run({"cmake", "-G", "Ninja", "-S", mine, "-B", build,
       "-DCMAKE_PREFIX_PATH=" + prefix().string()});
  run({"cmake", "--build", build});
  expect_usable(dir_.path() / "build" / "heartbeat.so");
}

// What a kit that was built with a sanitizer needs of a program that links it.
constexpr const char* kKitFlags =
#ifdef __SANITIZE_ADDRESS__
    "-fsanitize=address,undefined";
#else
    "";
#endif

TEST_F(OutOfTree, TheConformanceKitLinksIntoATestOfTheInput) {
  const auto mine = dir_.path() / "mine";
  std::ofstream(mine / "kit.cpp") << R"(#include <penstock/conformance.h>
extern "C" const penstock_plugin* penstock_plugin_descriptor();
int main() {
  penstock_value interval{sizeof interval, PENSTOCK_OPTION_DURATION, "interval", {}, 10};
  penstock::sdk::ConformanceLimits limits;
  limits.lives = 1;
  const auto report = penstock::sdk::run_conformance(*penstock_plugin_descriptor(), {&interval, 1},
                                                     nullptr, limits);
  return report.records > 0 && report.findings.empty() ? 0 : 1;
}
)";
  std::ofstream(mine / "CMakeLists.txt") << R"(cmake_minimum_required(VERSION 3.25)
project(kit LANGUAGES CXX)
find_package(penstock REQUIRED)
add_executable(kit kit.cpp heartbeat.cpp)
target_link_libraries(kit PRIVATE penstock::conformance)
)";
  const auto build = (dir_.path() / "build").string();
  run({"cmake", "-G", "Ninja", "-S", mine.string(), "-B", build,
       "-DCMAKE_PREFIX_PATH=" + prefix().string(), std::string("-DCMAKE_CXX_FLAGS=") + kKitFlags});
  run({"cmake", "--build", build});
  run({build + "/kit"});
}

TEST_F(OutOfTree, TheExampleBuildsWithPkgConfigAndTheHeaderIsPlainC) {
  const std::pair<std::string, std::string> path{
      "PKG_CONFIG_PATH", std::filesystem::path(find("penstock-plugin.pc")).parent_path().string()};
  const auto mine = (dir_.path() / "mine").string();
  run({"sh", "-c",
       "g++ -std=c++20 -Wall -Wextra -Werror -shared -fPIC "
       "$(pkg-config --cflags penstock-plugin) -o " +
           mine + "/heartbeat.so " + mine + "/heartbeat.cpp"},
      {path});
  expect_usable(dir_.path() / "mine" / "heartbeat.so");
  run({"gcc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c",
       find("penstock_plugin.h")});
}

}  // namespace
}  // namespace penstock::host
