#include "agent/spool/gone_back.h"

#include <spdlog/fmt/fmt.h>

#include "agent/spool/offline_image.h"

namespace penstock::spool {
namespace {

constexpr char kAdvice[] =
    "What is known to be missing is counted as damaged; penstock spool repair gets out of the file "
    "and its log what can be had";

Error gone_back(const std::string& how) {
  return {ErrorKind::kCorrupt, fmt::format("it has gone back in time: {}. {}", how, kAdvice), {}};
}

}  // namespace

// SQLite takes a log up to the first frame that is bad. Where that is not the last commit, which
// may have been cut short, acknowledged ones are lost, and what is left is no state the file ever
// had: the older pages of the log lie over newer ones.
Result<void> has_whole_log(const std::filesystem::path& log) {
  const uint32_t lost = commits_behind_log(log);
  if (lost == 0) return {};
  return gone_back(fmt::format(
      "its log is damaged, and {} or more commits behind the damage are out of reach", lost));
}

Result<void> reaches_copy(const Ledger& ledger, const std::optional<LanesCopy>& copy) {
  if (!copy) return {};
  for (const auto& row : copy->lanes) {
    if (!ledger.has(row.lane) || ledger.state(row.lane).key != row.key) {
      return Error{ErrorKind::kCorrupt,
                   fmt::format("its table of lanes does not name lane {} (route '{}', table '{}')",
                               row.lane, row.key.route, row.key.table),
                   {}};
    }
    const Seq next = ledger.state(row.lane).next_seq;
    if (next >= row.next_seq) continue;
    return gone_back(
        fmt::format("lane {} (route '{}', table '{}') ends at record {}, and had got to {}",
                    row.lane, row.key.route, row.key.table, next - 1, row.next_seq - 1));
  }
  return {};
}

}  // namespace penstock::spool
