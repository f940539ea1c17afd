#include "agent/cli/spool_report.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <spdlog/fmt/fmt.h>

#include "agent/cli/human.h"

namespace penstock::cli {

int report(const Error& error) {
  std::fprintf(stderr, "penstock: %s\n", error.what.c_str());
  return error.kind == ErrorKind::kDenied ? kExitRefused : kExitWrong;
}

std::string to_text(const spool::Finding& finding) {
  std::string text = finding.file.filename().string();
  if (finding.page) text += fmt::format(" page {}", *finding.page);
  if (finding.lane) text += fmt::format(", lane {}", *finding.lane);
  if (!finding.records.empty()) {
    text += finding.records.first == finding.records.last
                ? fmt::format(", record {}", finding.records.first)
                : fmt::format(", records {}..{}", finding.records.first, finding.records.last);
  }
  text += ": " + finding.what;
  if (!finding.advice.empty()) text += "\n    -> " + finding.advice;
  return text;
}

void report_unreadable(uint32_t lane, const spool::StoredSegment& segment, const Error& error) {
  std::fprintf(
      stderr,
      "penstock spool: lane %u, records %llu..%llu cannot be read and are left out: %s; penstock "
      "spool fsck says where\n",
      lane, static_cast<unsigned long long>(segment.first),
      static_cast<unsigned long long>(segment.last()), error.what.c_str());
}

std::string kept_text(const spool::OfflineSpool& spool, const std::vector<spool::Finding>& kept) {
  std::string files;
  for (const auto& finding : kept)
    files += (files.empty() ? "" : ", ") + finding.file.filename().string();
  if (files.empty()) return {};
  uint64_t damaged = 0;
  for (const auto& [id, lane] : spool.lanes()) damaged += lane.damaged + lane.missing;
  return fmt::format("{} may be in {}: penstock spool repair may bring them back",
                     damaged > 0 ? counted(damaged, "record") + " counted as damaged"
                                 : "records that nobody counts",
                     files);
}

bool flush_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  if (errno == EPIPE) return true;
  std::fprintf(stderr, "penstock: output failed: %s\n", std::strerror(errno));
  return false;
}

}  // namespace penstock::cli
