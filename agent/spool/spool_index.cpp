// Between the index in memory and its rows on disk: entries are fetched before they are needed, and
// rows are made of new ones.
#include <algorithm>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr size_t kWrittenAtOnce = 16 * 1024;

}  // namespace

// What a commit may ask about the oldest segments of a lane, and about those it copies from.
void SpoolImpl::fetch_index(Lock& lock) {
  const auto fetch = [&](LaneId lane, Seq from, const std::optional<SegmentIndex::Absent>& absent) {
    if (absent) (void)fill_index(lock, lane, from, *absent);
  };
  const std::set<LaneId> dirty = ledger_.dirty();
  for (const LaneId lane : dirty) fetch(lane, 1, index_.absent_ended(lane, ledger_.cursor(lane)));
  std::vector<std::pair<LaneId, Seq>> copied;
  for (const auto& record : ledger_.pending_quarantine()) {
    if (!record.segment) copied.emplace_back(record.lane, record.seq);
  }
  for (const auto& [lane, seq] : copied) fetch(lane, seq, index_.absent_at(lane, seq));
  if (full_ || wants_drops_) fetch_droppable(lock);
}

// What lanes may have to drop next.
void SpoolImpl::fetch_droppable(Lock& lock) {
  std::vector<LaneId> lanes;
  for (const auto& [lane, one] : guards_) {
    if (one.policy.overflow == OverflowPolicy::kDropOldest) lanes.push_back(lane);
  }
  for (const LaneId lane : lanes) {
    const Seq after = std::max(ledger_.cursor(lane), guard(lane).sending);
    for (const auto generation : {std::optional<uint32_t>(), std::optional(active_->number)}) {
      if (const auto absent = index_.absent_behind(lane, after, generation))
        (void)fill_index(lock, lane, after + 1, *absent);
    }
  }
}

// Is it known where the records are that go into the quarantine?
bool SpoolImpl::can_copy_pending() const {
  const auto& pending = ledger_.pending_quarantine();
  return std::all_of(pending.begin(), pending.end(), [this](const PendingQuarantine& record) {
    return record.segment != nullptr || !index_.absent_at(record.lane, record.seq);
  });
}

// Fetches the entries of the segment that holds or follows `from`, and some around it. An error may
// pass: nothing is known then.
Result<void> SpoolImpl::fill_index(Lock& lock, LaneId lane, Seq from,
                                   const SegmentIndex::Absent& absent) {
  from = std::max(from, absent.range.first);
  Store* store = store_of(absent.generation);
  lock.unlock();
  auto part = store != nullptr
                  ? store->index_part(lane, from, absent)
                  : Result<IndexPart>(Error{ErrorKind::kCorrupt, "its file is not open", {}});
  const bool may_pass = !part && part.error().kind == ErrorKind::kTransient &&
                        !has_waited_enough(lane, {0, from, 1}, part.error());
  lock.lock();
  if (may_pass) return std::move(part).error();
  IndexPart found = part ? *std::move(part) : IndexPart{absent.range, {}};
  found.range = {std::max(found.range.first, absent.range.first),
                 std::min(found.range.last, absent.range.last)};
  if (!unexplained(lane, found).empty() && store != nullptr) {
    log_.error(
        "spool lane {}: index of records {}..{} in generation {}: {}; looking for them one by one",
        lane, found.range.first, found.range.last, absent.generation,
        part ? "rows are missing" : part.error().what);
    lock.unlock();
    found.entries = scan_part(store->connection(), lane, found.range, absent.generation);
    lock.lock();
  }
  if (absent.generation == active_->number) leave_out_removed(lock, lane, found);
  index_.fill(lane, found.range, found.entries);
  index_.evict();
  give_up_unexplained(lane, found);
  return {};
}

// A row outlives the first of its segments.
void SpoolImpl::leave_out_removed(Lock& lock, LaneId lane, IndexPart& part) {
  const Seq cursor = ledger_.cursor(lane);
  lock.unlock();
  std::erase_if(part.entries, [&](const IndexEntry& entry) {
    if (entry.last() > cursor) return false;
    const auto is_there = active_->store.has(entry.id);
    return is_there && !*is_there;
  });
  lock.lock();
}

// Records of the part that are in none of its segments and have no fate.
std::vector<SeqRange> SpoolImpl::unexplained(LaneId lane, const IndexPart& part) const {
  std::vector<SeqRange> found;
  SeqRange rest{std::max(part.range.first, ledger_.cursor(lane) + 1), part.range.last};
  const auto add = [&](SeqRange gap) {
    if (gap.empty()) return;
    for (const auto& one : ledger_.undecided(lane, gap)) found.push_back(one);
  };
  for (const auto& entry : part.entries) {
    if (entry.first > part.range.last || entry.last() < rest.first) continue;
    if (entry.first > rest.first) add({rest.first, entry.first - 1});
    rest.first = entry.last() + 1;
  }
  add(rest);
  return found;
}

void SpoolImpl::give_up_unexplained(LaneId lane, const IndexPart& part) {
  for (const auto& gap : unexplained(lane, part)) {
    for (const auto& one :
         ledger_.damage(lane, gap, read_clock().wall_us, "segment missing in the spool")) {
      log_.error("spool lane {}: records {}..{} are missing; counted as damaged", lane, one.first,
                 one.last);
    }
  }
  note_unwritten();
}

// Rows for the segments of earlier commits, once there are enough of them.
void SpoolImpl::plan_index(Plan& plan) const {
  const size_t unwritten = index_.unwritten(active_->number);
  // A row for every few segments would be most of what is written.
  const size_t wanted =
      options_.index_unwritten * std::max<size_t>(1, index_.lanes_unwritten() / 16);
  if (unwritten < wanted) return;
  plan.stretches = index_.stretches(active_->number, kWrittenAtOnce);
  auto sums = index_sums_;
  size_t entries = 0;
  for (const auto& [lane, stretch] : plan.stretches) {
    IndexedSums& sum = sums[lane];
    auto row = make_index_row(lane, stretch, sum.segments, sum.bytes);
    sum.segments += row.segments;
    sum.bytes += row.bytes;
    entries += stretch.size();
    plan.transaction.index_rows.push_back(std::move(row));
  }
  if (entries == unwritten) plan.transaction.covered_id = next_segment_id_;
}

void SpoolImpl::note_index(const Plan& plan) {
  index_.written(active_->number, plan.stretches);
  for (size_t i = 0; i < plan.stretches.size(); ++i) {
    const auto& row = plan.transaction.index_rows[i];
    index_sums_[row.lane] = {row.segments_before + row.segments, row.bytes_before + row.bytes};
  }
  index_.evict();
}

// Rows for segments that are moved here. A row says that nothing else is between its segments, so
// each stretch of successive records has its own.
std::vector<IndexRow> SpoolImpl::rows_of_moved(
    const std::vector<std::pair<LaneId, IndexEntry>>& moved) {
  std::vector<IndexRow> rows;
  std::vector<IndexEntry> stretch;
  for (size_t i = 0; i < moved.size(); ++i) {
    const auto& [lane, entry] = moved[i];
    stretch.push_back(entry);
    const bool goes_on = i + 1 < moved.size() && moved[i + 1].first == lane &&
                         moved[i + 1].second.first == entry.last() + 1;
    if (goes_on) continue;
    rows.push_back(make_index_row(lane, stretch, 0, 0));
    stretch.clear();
  }
  return rows;
}

}  // namespace penstock::spool
