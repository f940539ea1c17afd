// What every bench prints: a table for people and, on request, one line of JSON for programs.
//
// Values only. A result is the median of its runs; `ratio` compares it with a baseline measured in
// the same run, run by run. A target that is missed is printed as missed and fails nothing. Ids
// never change their meaning.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::bench {

double median(std::vector<double> values);
double percentile(std::vector<double> values, double share);  // share in 0..1

enum class Better { kMore, kLess };

struct Finding {
  std::string id;
  std::string unit;
  std::vector<double> values;    // one a run
  std::vector<double> ratios;    // one a run, or empty
  std::string of;                // what the ratio is to
  std::optional<double> target;  // of the ratio where there is one, else of the value
  Better better = Better::kMore;
  std::string note;     // circumstances a reader has to know
  std::string skipped;  // why there is no result
  int digits = 2;

  // The figure the target is for, and its smallest and largest over the runs.
  double figure() const { return median(ratios.empty() ? values : ratios); }
  std::pair<double, double> spread() const;
  std::optional<bool> met() const;
};

class Report {
 public:
  explicit Report(std::string bench) : bench_(std::move(bench)) {}
  void machine(const std::string& key, const std::string& text);
  void add(Finding result);
  std::string table() const;
  std::string json() const;  // one line, without the line's end

 private:
  std::string bench_;
  std::vector<std::pair<std::string, std::string>> machine_;
  std::vector<Finding> results_;
};

// Processor, cores, kernel and load of this machine.
void describe_machine(Report& report);

}  // namespace penstock::bench
