// tests/CONFORMANCE.md says which test holds which row of the official list: each row is there
// once, with its official name, and each test and file that it names exists.
#include <filesystem>
#include <fstream>
#include <map>
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

constexpr int kRows = 63;

std::string list() {
  return text_of(std::filesystem::path(source_dir()) / "tests" / "CONFORMANCE.md");
}

// "| 7 | official_name | what | where |" into its cells; empty: no such line.
std::vector<std::string> numbered_row(const std::string& line) {
  const auto end = line.find_first_not_of("0123456789", 2);
  if (!line.starts_with("| ") || end == 2 || line.compare(end, 2, " |") != 0) return {};
  std::vector<std::string> cells;
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const auto first = cell.find_first_not_of(' ');
    if (first == cell.npos) {
      cells.emplace_back();
    } else {
      cells.push_back(cell.substr(first, cell.find_last_not_of(' ') - first + 1));
    }
  }
  return cells;
}

// What is wrong with the rows of the list.
std::vector<std::string> faults_in_rows(const std::string& text) {
  std::vector<std::string> faults;
  std::map<std::string, int> numbers, names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto cells = numbered_row(line);
    if (cells.empty()) continue;
    ++numbers[cells[0]];
    if (cells.size() != 4 || cells[1].empty() || cells[3].empty()) {
      faults.push_back(cells[0] + " has no official name or no place");
    } else if (++names[cells[1]] > 1) {
      faults.push_back(cells[1] + " is there twice");
    }
  }
  for (int row = 1; row <= kRows; ++row) {
    const auto count = numbers[std::to_string(row)];
    numbers.erase(std::to_string(row));
    if (count != 1)
      faults.push_back(std::to_string(row) + " is there " + std::to_string(count) + " times");
  }
  for (const auto& [number, count] : numbers) faults.push_back(number + " is no row");
  return faults;
}

TEST(TreeConformance, EachRowOfTheOfficialListIsThereOnceUnderItsName) {
  EXPECT_EQ(faults_in_rows(list()), std::vector<std::string>{});
}

TEST(TreeConformance, ARowThatIsNotThereIsMissed) {
  std::string rows;
  for (int row = 1; row <= kRows; ++row) {
    if (row == 17) continue;
    const auto number = std::to_string(row);
    rows += "| " + number + " | " + (row == 9 ? "" : "t" + number) + " | what | where |\n";
  }
  EXPECT_EQ(
      faults_in_rows(rows + "| 5 | other | what | where |\n| 64 | t3 | what | where |\n"),
      (std::vector<std::string>{"9 has no official name or no place", "t3 is there twice",
                                "5 is there 2 times", "17 is there 0 times", "64 is no row"}));
}

TEST(TreeConformance, EveryTestThatTheListNamesExists) {
  const auto text = list();
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
