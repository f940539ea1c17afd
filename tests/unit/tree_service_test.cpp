// The unit's sandbox stays as tight as it is: systemd's own measure of it, 0 to 10, is at most 2.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

constexpr char kTenths[] = "20";

// systemd-analyze exits with 1 above the threshold.
bool is_tight(const std::filesystem::path& unit) {
  const std::string command = std::string("systemd-analyze security --no-pager --offline=true") +
                              " --threshold=" + kTenths + " '" + unit.string() + "' >/dev/null";
  return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c)
}

TEST(Service, TheSandboxStaysTight) {
  if (std::system("systemd-analyze --version >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "systemd-analyze is not installed";
  const std::filesystem::path unit = source_dir() + "/systemd/penstock.service";
  EXPECT_TRUE(is_tight(unit)) << "systemd-analyze security --offline=true " << unit;

  // The measure itself: without the system call filter it is not.
  const TempDir dir("service");
  const auto loose = dir.path() / "penstock.service";
  std::ofstream out(loose);
  std::ifstream in(unit);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("SystemCallFilter=") && !line.starts_with("CapabilityBoundingSet="))
      out << line << '\n';
  }
  out.close();
  EXPECT_FALSE(is_tight(loose));
}

}  // namespace
}  // namespace penstock::test
