// tests/CONFORMANCE.md says which test holds which row: each test and file that it names is there.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/paths.h"

namespace penstock::test {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream out;
  out << std::ifstream(file).rdbuf();
  return out.str();
}

// What stands between backticks.
std::vector<std::string> quoted_in(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream parts(text);
  bool inside = false;
  for (std::string part; std::getline(parts, part, '`'); inside = !inside) {
    if (inside) found.push_back(part);
  }
  return found;
}

// "Suite.Name" of every test under tests/, and each suite as "Suite.", and files without folders.
class Known {
 public:
  explicit Known(const std::filesystem::path& tests) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(tests)) {
      names_.insert(entry.path().filename());
      if (entry.path().extension() != ".cpp") continue;
      std::istringstream lines(text_of(entry.path()));
      for (std::string line; std::getline(lines, line);) read(line);
    }
  }
  // Whether there is a test or file that `name` can mean; `suite` is that of the name before.
  bool has(const std::string& name, std::string& suite) const {
    if (const auto dot = name.find('.'); dot > 0 && dot != name.npos) suite = name.substr(0, dot);
    if (names_.contains(name) || names_.contains(name + ".cpp")) return true;
    if (name.starts_with('.')) return names_.contains(suite + name);
    if (const auto star = name.find('*'); star != name.npos) return any(name.substr(0, star));
    // "C24", "C24_...", "N3"; or a suite without its tests.
    const auto numbers = name.substr(0, name.find("_..."));
    return any("Conformance." + numbers + "_") || names_.contains(name + ".");
  }

 private:
  void read(std::string_view line) {
    if (!line.starts_with("TEST") || line.find('(') == line.npos) return;
    const auto open = line.find('(') + 1;
    const auto comma = line.find(", ", open);
    const auto close = line.find(')', open);
    if (comma == line.npos || close == line.npos) return;
    const std::string suite(line.substr(open, comma - open));
    names_.insert(suite + ".");
    names_.insert(suite + "." + std::string(line.substr(comma + 2, close - comma - 2)));
  }
  bool any(const std::string& prefix) const {
    const auto next = names_.lower_bound(prefix);
    return next != names_.end() && next->starts_with(prefix);
  }
  std::set<std::string> names_;
};

std::vector<std::string> missing_in(const std::string& text) {
  const Known known(source_dir() / std::filesystem::path("tests"));
  std::vector<std::string> missing;
  std::string suite;
  for (const auto& name : quoted_in(text)) {
    const bool code = name.starts_with("Conformance.C..") || name.starts_with("./dev ") ||
                      name.starts_with("_");  // not names of tests
    const auto file = name.substr(name.rfind('/') == name.npos ? 0 : name.rfind('/') + 1);
    const bool folder = name.starts_with("unit/");
    if (!code && !known.has(folder ? file : name, suite)) missing.push_back(name);
  }
  return missing;
}

TEST(TreeConformance, EveryTestThatTheListNamesExists) {
  const auto text = text_of(std::filesystem::path(source_dir()) / "tests" / "CONFORMANCE.md");
  ASSERT_GT(quoted_in(text).size(), 60u);
  EXPECT_EQ(missing_in(text), std::vector<std::string>{});
}

TEST(TreeConformance, ATestThatIsNotThereIsMissed) {
  EXPECT_EQ(missing_in("`C01`, `C998`, `LaneTest.NoSuchTest`, `.NeitherThis`, `no_such_test.cpp`, "
                       "`Bulkhead.*`, `NoSuchSuite.*`, `unit/lane_turns_test.cpp`"),
            (std::vector<std::string>{"C998", "LaneTest.NoSuchTest", ".NeitherThis",
                                      "no_such_test.cpp", "NoSuchSuite.*"}));
}

}  // namespace
}  // namespace penstock::test
