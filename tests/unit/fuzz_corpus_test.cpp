// Goal: what the fuzz targets of the inputs were given once holds in every run of the tests,
// without clang: each file of tests/fuzz/corpus, and inputs made from them. The same in every run,
// unless PENSTOCK_TEST_SEED says otherwise: to look for more is what `./dev fuzz` is for. The
// targets themselves end the process when a promise does not hold.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/paths.h"

// Each target under a name of its own: tests/CMakeLists.txt.
extern "C" int mqtt_frame_scan_fuzz(const uint8_t* data, size_t size);
extern "C" int serial_framing_fuzz(const uint8_t* data, size_t size);
extern "C" int serial_silence_fuzz(const uint8_t* data, size_t size);
extern "C" int udp_lines_fuzz(const uint8_t* data, size_t size);
extern "C" int plugin_options_fuzz(const uint8_t* data, size_t size);
extern "C" int input_options_fuzz(const uint8_t* data, size_t size);

namespace penstock {
namespace {

struct Target {
  const char* name;
  int (*run)(const uint8_t*, size_t);
  int variations;  // of each file
};

void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

class FuzzCorpus : public testing::TestWithParam<Target> {
 protected:
  std::vector<std::string> corpus() const {
    std::vector<std::string> inputs;
    const auto dir =
        std::filesystem::path(test::source_dir()) / "tests/fuzz/corpus" / GetParam().name;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      std::ifstream file(entry.path(), std::ios::binary);
      inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return inputs;
  }
  void run(const std::string& input) const {
    // An allocation of exactly this size: a read beyond it is found.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    EXPECT_EQ(GetParam().run(bytes.data(), bytes.size()), 0);
  }
};

TEST_P(FuzzCorpus, EveryFileHolds) {
  const auto inputs = corpus();
  EXPECT_GE(inputs.size(), 5u);
  for (const auto& input : inputs) run(input);
}

std::string varied(std::string input, std::mt19937& random) {
  for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
    const size_t at = random() % (input.size() + 1);
    switch (random() % 4) {
      case 0:
        input.insert(at, 1, static_cast<char>(random()));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random());
        break;
      case 2:
        input.erase(at, random() % 4);
        break;
      default:
        input.insert(at, input.substr(at / 2, random() % 16));
    }
  }
  return input;
}

TEST_P(FuzzCorpus, VariationsOfItHold) {
  const char* wanted = std::getenv("PENSTOCK_TEST_SEED");
  const auto seed = static_cast<unsigned>(wanted ? std::strtoul(wanted, nullptr, 10) : 1);
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (const auto& input : corpus()) {
    for (int i = 0; i < GetParam().variations; ++i) run(varied(input, random));
  }
}

INSTANTIATE_TEST_SUITE_P(Inputs, FuzzCorpus,
                         testing::Values(Target{"mqtt_frame_scan", mqtt_frame_scan_fuzz, 2000},
                                         Target{"serial_framing", serial_framing_fuzz, 1000},
                                         Target{"serial_silence", serial_silence_fuzz, 2000},
                                         Target{"udp_lines", udp_lines_fuzz, 2000},
                                         Target{"plugin_options", plugin_options_fuzz, 100},
                                         Target{"input_options", input_options_fuzz, 100}),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace penstock
