// What all bench programs have in common: their options, the parts they are made of, the report at
// the end.
//
// penstock-bench-NAME [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR] [own options]. With
// --json the last line of the output is one object. Exit 0 also when targets are missed, 1 when
// something could not be measured, 2 for options nobody knows.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "tests/bench/report.h"

namespace penstock::bench {

struct Settings {
  bool quick = false;
  std::string only;           // part of an id; empty: all
  std::filesystem::path dir;  // on a local disk; ours alone, removed at the end
  int runs() const { return quick ? 3 : 5; }
  bool wants(const std::string& id) const { return id.find(only) != std::string::npos; }
};

struct BenchProgram {
  std::string name;  // as in penstock-bench-NAME
  Settings& settings;
  // Options of its own, each with a value: "--official", what the usage calls it, where it goes.
  struct Option {
    std::string word;
    std::string value_name;
    std::function<void(const std::string&)> take;
  };
  std::vector<Option> options;
  // Once the settings are known; may say more of the machine. May be empty.
  std::function<void(Report&)> prepare;
  std::vector<std::pair<std::string, std::function<void(Report&)>>> parts;
};

// Parts of a program are functions of its settings, which are complete only once they run.
template <class Own>
auto parts_of(const Own& settings) {
  return [&settings](void (*measure)(const Own&, Report&)) {
    return [&settings, measure](Report& report) { measure(settings, report); };
  };
}

int bench_main(int argc, char** argv, const BenchProgram& program);

double seconds_since(MonoTime start);

}  // namespace penstock::bench
