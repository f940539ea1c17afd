#include "tests/e2e/report.h"

#include <algorithm>
#include <cstdio>

namespace penstock::e2e {
namespace {

std::string milliseconds(const std::optional<int64_t>& us, const char* otherwise) {
  if (!us) return otherwise;
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", static_cast<double>(*us) / 1000.0);
  return text;
}

std::string row(const char* table, const char* source, const std::string& sent,
                const std::string& landed, const std::string& duplicates,
                const std::string& missing, const std::string& lost) {
  char text[200];
  std::snprintf(text, sizeof(text), "%-24s %-7s %8s %8s %11s %8s %16s\n", table, source,
                sent.c_str(), landed.c_str(), duplicates.c_str(), missing.c_str(), lost.c_str());
  return text;
}

std::string list_of(const std::vector<uint64_t>& ids) {
  std::string text;
  for (const uint64_t id : ids) text += " " + std::to_string(id);
  return text;
}

}  // namespace

bool all_landed(const std::vector<test::TableVerdict>& tables) {
  return std::all_of(tables.begin(), tables.end(), [](const test::TableVerdict& table) {
    return table.missing == 0 && table.sent > 0;
  });
}

std::string table_for_people(const std::vector<test::TableVerdict>& tables,
                             const Latency& latency) {
  std::string text =
      row("table", "source", "sent", "landed", "duplicates", "missing", "lost while down");
  for (const auto& table : tables) {
    const bool held = table.source == "mqtt";
    text += row(table.table.c_str(), table.source.c_str(), std::to_string(table.sent),
                std::to_string(table.landed), std::to_string(table.duplicates),
                std::to_string(table.missing), held ? "-" : std::to_string(table.lost_while_down));
  }
  text +=
      "sent: acknowledged by the broker (mqtt), written (udp, serial). landed: unique rows.\n"
      "lost while down: udp and serial have no acknowledgements; what they send between the last\n"
      "commit before the kill and the restart has nobody to take it.\n"
      "received to acknowledged by the server, outages apart: p50 " +
      milliseconds(latency.p50_us, "?") + " ms, p99 " + milliseconds(latency.p99_us, "?") +
      " ms over " + std::to_string(latency.records) + " records\n";
  for (const auto& table : tables)
    if (!table.missing_ids.empty())
      text += "missing in " + table.table + ", n =" + list_of(table.missing_ids) + "\n";
  return text;
}

std::string json_line(const std::vector<test::TableVerdict>& tables, const Latency& latency) {
  std::string text = "{\"tables\":[";
  for (const auto& table : tables) {
    if (&table != &tables.front()) text += ",";
    text += "{\"table\":\"" + table.table + "\",\"source\":\"" + table.source +
            "\",\"sent\":" + std::to_string(table.sent) +
            ",\"landed\":" + std::to_string(table.landed) +
            ",\"duplicates\":" + std::to_string(table.duplicates) +
            ",\"missing\":" + std::to_string(table.missing) +
            ",\"lost_while_down\":" + std::to_string(table.lost_while_down) + "}";
  }
  return text + "],\"p50_ms\":" + milliseconds(latency.p50_us, "null") +
         ",\"p99_ms\":" + milliseconds(latency.p99_us, "null") +
         ",\"ok\":" + (all_landed(tables) ? "true" : "false") + "}";
}

}  // namespace penstock::e2e
