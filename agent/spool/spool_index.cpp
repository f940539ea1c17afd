// Between the index in memory and its rows on disk: entries are fetched before they are needed, and
// rows are made of new ones.
#include <algorithm>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr size_t kWrittenAtOnce = size_t{16} << 10;
// Each may take minutes. More damage than that is not a matter of rows any more.
constexpr int kWideSearches = 4;

}  // namespace

// What a commit may ask about the oldest segments of a lane, and with `with_pending` the records it
// copies to the quarantine: nothing comes to either until the lock is let go of.
void SpoolImpl::fetch_index(Lock& lock, bool with_pending) {
  index_unread_ = false;
  const std::set<LaneId> dirty = ledger_.dirty();
  for (const LaneId lane : dirty) {
    const auto absent = index_.absent_ended(lane, ledger_.cursor(lane));
    if (absent && !fill_index(lock, lane, 1, *absent)) index_unread_ = true;
  }
  if (with_pending && !quarantine_full() && !fetch_pending(lock)) index_unread_ = true;
  if (full_ || wants_drops_) fetch_droppable(lock);
}

// Fetches the records that go into the quarantine and are not in memory. False when one cannot be
// read now: a record leaves its lane with its content, so none is copied.
bool SpoolImpl::fetch_pending(Lock& lock) {
  fetched_.clear();
  // More may come meanwhile, at the end; none goes.
  for (size_t i = 0; i < ledger_.pending_quarantine().size(); ++i) {
    const auto& record = ledger_.pending_quarantine()[i];
    if (!record.segment && !fetch_record(lock, record.lane, record.seq)) return false;
  }
  return true;
}

// False: an error that may pass. What is damaged is fetched as nothing.
bool SpoolImpl::fetch_record(Lock& lock, LaneId lane, Seq seq) {
  while (const auto absent = index_.absent_at(lane, seq)) {
    if (!fill_index(lock, lane, seq, *absent)) return false;
  }
  Fetched record{epochs_.back().id, {}};
  if (const IndexEntry* found = index_.find(lane, seq)) {
    const IndexEntry entry = *found;
    lock.unlock();
    auto decoded = load_segment(lane, entry);
    const bool may_pass = !decoded && decoded.error().kind == ErrorKind::kTransient &&
                          !has_waited_enough(lane, entry, decoded.error());
    if (decoded) {
      unread_since_us_.erase({lane, entry.first});
      record.epoch = decoded->header.epoch;
      const Segment segment(lane, entry.first, entry.count, std::move(decoded->run));
      record.body = record_at(segment, seq).value_or("");
    }
    lock.lock();
    if (may_pass) return false;
  }
  fetched_[{lane, seq}] = std::move(record);
  return true;
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

// Are they in memory, all the records that go into the quarantine?
bool SpoolImpl::can_copy_pending() const {
  const auto& pending = ledger_.pending_quarantine();
  return std::all_of(pending.begin(), pending.end(), [this](const PendingQuarantine& record) {
    return record.segment != nullptr || fetched_.contains({record.lane, record.seq});
  });
}

// Fetches the entries of the segment that holds or follows `from`, and some around it. An error may
// pass: nothing is known then. Rows are a hint: before records are given up because no row tells
// where they are, they are looked for in `seg`.
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
  if (part) unread_since_us_.erase({lane, from});
  lock.lock();
  if (may_pass) return std::move(part).error();
  IndexPart found = part ? *std::move(part) : IndexPart{absent.range, {}, true};
  found.range = {std::max(found.range.first, absent.range.first),
                 std::min(found.range.last, absent.range.last)};
  const bool is_sound = !found.is_doubtful && unexplained(lane, found).empty();
  if (!is_sound) {
    if (auto done = search_part(lock, lane, from, absent, found); !done) return done;
  }
  if (store != nullptr) leave_out_removed(lock, lane, *store, found);
  index_.fill(lane, found.range, found.entries, !is_sound);
  index_.evict();
  give_up_unexplained(lane, found);
  return {};
}

Result<void> SpoolImpl::search_part(Lock& lock, LaneId lane, Seq from,
                                    const SegmentIndex::Absent& absent, IndexPart& part) {
  Store* store = store_of(absent.generation);
  if (store == nullptr) return {};
  log_.error(
      "spool lane {}: rows of the index for records {}..{} in generation {} are damaged or gone; "
      "looking for their segments one by one",
      lane, part.range.first, part.range.last, absent.generation);
  for (const bool everywhere : {false, true}) {
    if (everywhere && (unexplained(lane, part).empty() || ++wide_searches_ > kWideSearches)) break;
    lock.unlock();
    auto found = store->search(lane, part.range, absent.generation, everywhere);
    const bool may_pass = found.error && found.error->kind == ErrorKind::kTransient &&
                          !has_waited_enough(lane, {0, from, 1}, *found.error);
    lock.lock();
    if (may_pass) return *std::move(found.error);
    part.entries = std::move(found.entries);
  }
  return {};
}

// A row outlives its segments, and what became of one is not always in `fate`: it was acknowledged,
// or all its records went to the quarantine before it was dropped. Those nobody waits for are
// looked for, in an older file as well: it was active when they were removed.
void SpoolImpl::leave_out_removed(Lock& lock, LaneId lane, Store& store, IndexPart& part) {
  std::set<int64_t> decided;
  for (const auto& entry : part.entries) {
    const SeqRange ahead{std::max(entry.first, ledger_.cursor(lane) + 1), entry.last()};
    if (ledger_.undecided(lane, ahead).empty()) decided.insert(entry.id);
  }
  lock.unlock();
  std::erase_if(part.entries, [&](const IndexEntry& entry) {
    if (!decided.contains(entry.id)) return false;
    const auto is_there = store.has(entry.id);
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
  const bool is_due = unwritten >= wanted || (index_sweeps_ && unwritten > 0);
  if ((is_due || forgets_index_) && plan.at >= index_not_before_) plan_index_rows(plan);
}

void SpoolImpl::plan_index_rows(Plan& plan) const {
  plan.stretches = index_.stretches(active_->number, kWrittenAtOnce);
  plan.transaction.forgets_index = forgets_index_;
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
  if (entries == index_.unwritten(active_->number)) plan.transaction.covered_id = next_segment_id_;
}

void SpoolImpl::note_index(const Plan& plan) {
  index_.written(active_->number, plan.stretches);
  // What did not go into one commit goes into the next ones, or no start would know it is covered.
  if (!plan.stretches.empty()) index_sweeps_ = !plan.transaction.covered_id;
  if (plan.transaction.forgets_index) forgets_index_ = false;
  for (size_t i = 0; i < plan.stretches.size(); ++i) {
    const auto& row = plan.transaction.index_rows[i];
    index_sums_[row.lane] = {row.segments_before + row.segments, row.bytes_before + row.bytes};
  }
  index_.evict();
}

// Rows for all that have none, when the agent stops: the next start would read these segments one
// by one. No room for them is no harm.
void SpoolImpl::complete_index(Lock& lock) {
  while (!fault_ && !full_ && index_.unwritten(active_->number) >= options_.index_unwritten / 4) {
    Plan rest;
    rest.at = read_clock().mono;
    plan_index_rows(rest);
    if (rest.stretches.empty()) return;
    std::set<LaneId> lanes;
    for (const auto& row : rest.transaction.index_rows) lanes.insert(row.lane);
    for (const LaneId lane : lanes)
      rest.transaction.lanes.push_back(ledger_.row(lane, false, false));
    if (auto written = write(lock, rest, nullptr); !written) {
      if (!may_try_again(written.error())) enter_fault(lock, std::move(written).error());
      return;
    }
    note_written(rest);
    note_index(rest);
  }
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
