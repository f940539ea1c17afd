// The modules depend on each other one way only (agent/DESIGN.md): this reads every #include of
// agent/ and plugins/.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/paths.h"

namespace penstock::test {
namespace {

// A module may include itself and modules of a lower rank; siblings of one rank do not know each
// other.
const std::map<std::string, int, std::less<>> kRank = {
    {"base", 0},    {"config", 1}, {"route", 1},   {"codec", 1}, {"spool", 1},
    {"zerobus", 1}, {"intake", 2}, {"lane", 2},    {"host", 3},  {"ops", 3},
    {"app", 4},     {"cli", 5},    {"main.cpp", 6}};

// Library headers stay behind the module that wraps them. "plugins/" stands for every plugin.
struct Wrapped {
  std::string_view prefix;
  std::vector<std::string_view> allowed;
};
const std::vector<Wrapped> kWrapped = {
    {"grpcpp/", {"agent/zerobus/"}},
    {"grpc/", {"agent/zerobus/"}},
    {"google/protobuf/", {"agent/zerobus/", "agent/codec/"}},
    {"curl/", {"agent/zerobus/"}},
    {"boost/asio", {"agent/lane/", "agent/app/", "agent/ops/", "plugins/"}},
    {"boost/beast", {"agent/ops/"}},
    {"sqlite3.h", {"agent/spool/"}},
    {"yaml-cpp/", {"agent/config/"}},
    {"simdjson", {"agent/codec/", "agent/zerobus/token_json.cpp"}},
    {"spdlog/fmt/", {"agent/"}},  // formatting is part of base/log.h's face
    {"spdlog/", {"agent/base/"}},
    {"zstd", {"agent/spool/", "agent/codec/"}},
    {"mqtt/", {"plugins/mqtt/"}},
    {"systemd/", {"agent/ops/"}},
    {"CLI/", {"agent/cli/"}},
};

struct Include {
  std::string target;
  bool quoted = false;
};

std::vector<Include> includes_of(std::string_view text) {
  std::vector<Include> result;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const auto hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    const auto word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const auto open = line.find_first_of("\"<", word);
    if (open == std::string::npos) continue;
    const auto close = line.find(line[open] == '<' ? '>' : '"', open + 1);
    if (close == std::string::npos) continue;
    result.push_back({line.substr(open + 1, close - open - 1), line[open] == '"'});
  }
  return result;
}

// "agent/lane/x.h" -> "lane"; "agent/main.cpp" -> "main.cpp"; "plugins/udp/x.cpp" -> "udp".
std::string second_part(std::string_view path) {
  const auto first = path.find('/');
  const auto second = path.find('/', first + 1);
  return std::string(path.substr(first + 1, second == path.npos ? path.npos : second - first - 1));
}

std::string complain_in_agent(std::string_view path, const std::string& target) {
  const std::string module = second_part(path);
  const auto own = kRank.find(module);
  if (own == kRank.end()) return "module " + module + " has no place in the order";
  if (target.starts_with("plugins/sdk/"))
    return module == "host" ? "" : "only agent/host may include the plugin ABI";
  if (!target.starts_with("agent/")) return "an own header is included from the root: agent/...";
  const std::string other = second_part(target);
  const auto rank = kRank.find(other);
  if (rank == kRank.end()) return "no such module";
  if (other == module || rank->second < own->second) return "";
  return module + " must not know " + other;
}

std::string complain_in_plugin(std::string_view path, const std::string& target) {
  const std::string own = "plugins/" + second_part(path) + "/";
  if (target.starts_with("plugins/sdk/") || target.starts_with(own)) return "";
  // What is installed for others lies in one folder there.
  const bool plain = target.find('/') == target.npos;
  if (path.starts_with("plugins/sdk/") && plain) return "";
  return "a plugin includes only plugins/sdk and its own folder";
}

std::string complain_about_library(std::string_view path, const std::string& target) {
  for (const Wrapped& library : kWrapped) {
    if (!target.starts_with(library.prefix)) continue;
    const bool allowed =
        std::any_of(library.allowed.begin(), library.allowed.end(),
                    [&](std::string_view place) { return path.starts_with(place); });
    return allowed ? "" : "this library stays inside " + std::string(library.allowed.front());
  }
  return "";
}

// `path` is relative to the root. One line per #include that breaks the order; empty when all is
// well.
std::vector<std::string> check_includes(std::string_view path, std::string_view text) {
  std::vector<std::string> complaints;
  for (const Include& include : includes_of(text)) {
    std::string complaint = complain_about_library(path, include.target);
    const bool own = include.target.starts_with("agent/") ||
                     include.target.starts_with("plugins/") || include.quoted;
    if (complaint.empty() && own)
      complaint = path.starts_with("plugins/") ? complain_in_plugin(path, include.target)
                                               : complain_in_agent(path, include.target);
    if (!complaint.empty())
      complaints.push_back(std::string(path) + " includes " + include.target + ": " + complaint);
  }
  return complaints;
}

std::vector<std::filesystem::path> sources_under(const std::filesystem::path& root) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const auto extension = entry.path().extension();
    if (extension == ".h" || extension == ".hpp" || extension == ".cpp") files.push_back(entry);
  }
  return files;
}

TEST(TreeIncludes, TheTreeKeepsTheOrder) {
  const std::filesystem::path root = test::source_dir();
  size_t files = 0;
  for (const char* part : {"agent", "plugins"}) {
    for (const auto& file : sources_under(root / part)) {
      ++files;
      std::ifstream stream(file);
      std::ostringstream text;
      text << stream.rdbuf();
      const auto path = std::filesystem::relative(file, root).string();
      for (const auto& complaint : check_includes(path, text.str())) ADD_FAILURE() << complaint;
    }
  }
  EXPECT_GT(files, 20u) << "the tree was not found under " << root;
}

struct Planted {
  const char* path;
  const char* line;
  bool allowed;
};

class PlantedInclude : public testing::TestWithParam<Planted> {};

TEST_P(PlantedInclude, IsJudged) {
  const auto complaints = check_includes(GetParam().path, GetParam().line);
  EXPECT_EQ(complaints.empty(), GetParam().allowed)
      << GetParam().path << ": " << GetParam().line
      << (complaints.empty() ? "" : " -> " + complaints[0]);
}

INSTANTIATE_TEST_SUITE_P(
    Order, PlantedInclude,
    testing::Values(
        Planted{"agent/lane/driver.cpp", "#include \"agent/lane/driver.h\"", true},
        Planted{"agent/lane/driver.cpp", "#include \"agent/spool/spool.h\"", true},
        Planted{"agent/lane/driver.cpp", "#include <vector>", true},
        Planted{"agent/app/wiring.cpp", "#include \"agent/host/host.h\"", true},
        Planted{"agent/main.cpp", "#include \"agent/cli/cli.h\"", true},
        Planted{"agent/host/loader.cpp", "#include \"plugins/sdk/penstock_plugin.h\"", true},
        Planted{"plugins/udp/plugin.cpp", "#include \"plugins/sdk/penstock_plugin.hpp\"", true},
        Planted{"plugins/udp/plugin.cpp", "#include \"plugins/udp/receiver.h\"", true},
        Planted{"plugins/sdk/penstock_plugin.hpp", "#include \"penstock_plugin.h\"", true},
        Planted{"plugins/udp/plugin.cpp", "#include \"receiver.h\"", false},
        // Upwards, sideways, and by another spelling.
        Planted{"agent/base/log.cpp", "#include \"agent/spool/spool.h\"", false},
        Planted{"agent/spool/spool.cpp", "#include \"agent/lane/driver.h\"", false},
        Planted{"agent/spool/spool.cpp", "#include \"agent/codec/json.h\"", false},
        Planted{"agent/intake/queue.cpp", "#include \"agent/lane/driver.h\"", false},
        Planted{"agent/host/host.cpp", "  #  include <agent/ops/http.h>", false},
        Planted{"agent/app/wiring.cpp", "#include \"agent/cli/cli.h\"", false},
        Planted{"agent/lane/driver.cpp", "#include \"driver.h\"", false},
        Planted{"agent/lane/driver.cpp", "#include \"../spool/spool.h\"", false},
        Planted{"agent/intake/queue.cpp", "#include \"plugins/sdk/penstock_plugin.h\"", false},
        Planted{"agent/newmodule/a.cpp", "#include \"agent/base/log.h\"", false},
        Planted{"plugins/udp/plugin.cpp", "#include \"agent/base/result.h\"", false},
        Planted{"plugins/udp/plugin.cpp", "#include \"plugins/serial/framing.h\"", false},
        Planted{"plugins/sdk/penstock_plugin.hpp", "#include \"plugins/udp/receiver.h\"", false}));

INSTANTIATE_TEST_SUITE_P(
    Libraries, PlantedInclude,
    testing::Values(Planted{"agent/zerobus/transport.cpp", "#include <grpcpp/grpcpp.h>", true},
                    Planted{"agent/lane/driver.cpp", "#include <grpcpp/grpcpp.h>", false},
                    Planted{"agent/spool/db.cpp", "#include <sqlite3.h>", true},
                    Planted{"agent/intake/queue.cpp", "#include <sqlite3.h>", false},
                    Planted{"agent/lane/driver.cpp", "#include <boost/asio/post.hpp>", true},
                    Planted{"plugins/serial/port.cpp", "#include <boost/asio.hpp>", true},
                    Planted{"agent/spool/db.cpp", "#include <boost/asio.hpp>", false},
                    Planted{"agent/ops/http.cpp", "#include <boost/beast/http.hpp>", true},
                    Planted{"agent/lane/driver.cpp", "#include <boost/beast/http.hpp>", false},
                    Planted{"agent/config/load.cpp", "#include <yaml-cpp/yaml.h>", true},
                    Planted{"agent/app/wiring.cpp", "#include <yaml-cpp/yaml.h>", false},
                    Planted{"agent/codec/json.cpp", "#include <simdjson.h>", true},
                    Planted{"agent/lane/driver.cpp", "#include <simdjson.h>", false},
                    Planted{"agent/zerobus/token_json.cpp", "#include <simdjson.h>", true},
                    Planted{"agent/zerobus/session.cpp", "#include <simdjson.h>", false},
                    Planted{"agent/host/host.cpp", "#include <spdlog/spdlog.h>", false},
                    Planted{"agent/host/host.cpp", "#include <spdlog/fmt/fmt.h>", true}));

}  // namespace
}  // namespace penstock::test
