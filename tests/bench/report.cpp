#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <thread>

#include <spdlog/fmt/fmt.h>
#include <sys/utsname.h>

namespace penstock::bench {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// Six significant digits, and never an exponent that a strict reader might not take.
std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  const std::string text = fmt::format("{:.6g}", value);
  return text.find('e') == std::string::npos ? text : fmt::format("{:.0f}", value);
}

std::string shown(double value, int digits) {
  return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value)
                                 : fmt::format("{:.{}f}", value, digits);
}

std::string json_of(const Finding& result) {
  std::string out = "{\"id\":" + quoted(result.id);
  if (!result.skipped.empty()) return out + ",\"skipped\":" + quoted(result.skipped) + "}";
  out += ",\"value\":" + number(median(result.values)) + ",\"unit\":" + quoted(result.unit);
  if (!result.ratios.empty())
    out += ",\"ratio\":" + number(median(result.ratios)) + ",\"of\":" + quoted(result.of);
  const auto [low, high] = result.spread();
  out += ",\"spread\":[" + number(low) + "," + number(high) + "]";
  if (const auto met = result.met()) {
    out += ",\"target\":" + number(*result.target) + ",\"met\":" + (*met ? "true" : "false");
  }
  if (!result.note.empty()) out += ",\"note\":" + quoted(result.note);
  return out + "}";
}

std::string row_of(const Finding& result) {
  if (!result.skipped.empty())
    return fmt::format("{:<24} skipped: {}\n", result.id, result.skipped);
  const auto [low, high] = result.spread();
  const std::string value =
      shown(median(result.values), result.digits) + (result.unit == "1" ? "" : " " + result.unit);
  const std::string ratio =
      result.ratios.empty() ? "-" : shown(median(result.ratios), result.digits) + " x " + result.of;
  const std::string spread = shown(low, result.digits) + ".." + shown(high, result.digits);
  std::string target = "-";
  std::string met;
  if (const auto good = result.met()) {
    target =
        (result.better == Better::kMore ? ">= " : "<= ") + shown(*result.target, result.digits);
    met = *good ? "met" : "MISSED";
  }
  return fmt::format("{:<24} {:>20} {:>22} {:>16} {:>9} {:<6} {}\n", result.id, value, ratio,
                     spread, target, met, result.note);
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return std::nan("");
  const auto at =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::pair<double, double> Finding::spread() const {
  const auto& all = ratios.empty() ? values : ratios;
  if (all.empty()) return {std::nan(""), std::nan("")};
  const auto [low, high] = std::minmax_element(all.begin(), all.end());
  return {*low, *high};
}

std::optional<bool> Finding::met() const {
  if (!target) return std::nullopt;
  return better == Better::kMore ? figure() >= *target : figure() <= *target;
}

void Report::machine(const std::string& key, const std::string& text) {
  machine_.emplace_back(key, text);
}

void Report::add(Finding result) { results_.push_back(std::move(result)); }

std::string Report::table() const {
  std::string out;
  for (const auto& [key, text] : machine_) out += fmt::format("{}: {}\n", key, text);
  out += fmt::format("\n{:<24} {:>20} {:>22} {:>16} {:>9} {:<6} {}\n", "id", "median", "ratio",
                     "spread", "target", "", "note");
  for (const auto& result : results_) out += row_of(result);
  return out;
}

std::string Report::json() const {
  std::string out = "{\"bench\":" + quoted(bench_) + ",\"machine\":{";
  for (size_t i = 0; i < machine_.size(); ++i) {
    out += (i > 0 ? "," : "") + quoted(machine_[i].first) + ":" + quoted(machine_[i].second);
  }
  out += "},\"results\":[";
  for (size_t i = 0; i < results_.size(); ++i) out += (i > 0 ? "," : "") + json_of(results_[i]);
  return out + "]}";
}

void describe_machine(Report& report) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    report.machine("cpu", line.substr(line.find(": ") + 2));
    break;
  }
  report.machine("cores", std::to_string(std::thread::hardware_concurrency()));
  utsname name{};
  if (uname(&name) == 0) report.machine("kernel", std::string(name.release) + " " + name.machine);
  std::string load;
  std::ifstream("/proc/loadavg") >> load;
  report.machine("load_before", load);
}

}  // namespace penstock::bench
