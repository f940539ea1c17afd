// Fuzz target: a configuration against an option table, both arbitrary: no crash, and what is taken
// without a problem is of the table and within its limits.
//
// The input is the table, a line each (`name type flags default`), an empty line, and the options
// in YAML.
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/option_table.h"
#include "agent/config/options.h"

namespace {

using namespace penstock::config;

void require(bool condition) {
  if (!condition) std::abort();
}

OptionSpec option_of(const std::string& line) {
  std::istringstream words(line);
  OptionSpec option;
  unsigned type = 0;
  unsigned flags = 0;
  std::string preset;
  words >> option.name >> type >> flags;
  option.type = static_cast<OptionType>(type % 9);
  option.required = (flags & 1) != 0;
  if ((flags & 2) != 0) option.max = 100;
  if (option.type == OptionType::kEnum) option.choices = {"a", "b"};
  if (words >> preset) option.default_value = preset;
  return option;
}

std::string without_indexes(const std::string& name) {
  std::string plain;
  bool inside = false;
  for (const char c : name) {
    if (c == '[') inside = true;
    if (!inside) plain.push_back(c);
    if (c == ']') inside = false;
  }
  return plain;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream input(std::string(reinterpret_cast<const char*>(data), size));
  std::vector<OptionSpec> table;
  std::string line;
  while (std::getline(input, line) && !line.empty() && table.size() < 32) {
    auto option = option_of(line);
    if (!option.name.empty()) table.push_back(std::move(option));
  }
  if (!option_table_problem(table).empty()) return 0;  // such a plugin is refused
  std::string yaml(std::istreambuf_iterator<char>(input), {});
  Environment nothing;
  nothing.env = [](std::string_view) { return std::nullopt; };
  nothing.read_file = [](const std::filesystem::path&) {
    return penstock::Result<std::string>(penstock::Error{penstock::ErrorKind::kDenied, "no", {}});
  };
  nothing.find_files = [](const std::filesystem::path&) {
    return std::vector<std::filesystem::path>();
  };
  const auto loaded =
      load_text("version: 1\nagent: {id: f}\ninputs: {i: {plugin: p, " + yaml + "}}", "fuzz.yaml",
                "/", nothing);
  if (loaded.config.inputs.size() != 1) return 0;
  std::vector<Problem> problems;
  const auto values = check_options(loaded.config.inputs[0].options, table, "p", problems);
  for (const auto& value : values) {
    bool known = false;
    for (const auto& option : table) {
      if (without_indexes(option.name) != without_indexes(value.name) || option.type != value.type)
        continue;
      known = true;
      const bool limited = option.min != 0 || option.max != 0;
      const bool number = value.type == OptionType::kInteger || value.type == OptionType::kSize ||
                          value.type == OptionType::kDuration;
      if (limited && number && table.size() == 1)
        require(value.number >= option.min && value.number <= option.max);
    }
    require(known);
  }
  return 0;
}
