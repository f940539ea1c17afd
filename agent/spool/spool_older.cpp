// What empties an older file so that it can go: what is left of its quarantine and fates is copied,
// what is left of its segments is moved. When, is decided in spool_roll.cpp.
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr size_t kCarriedRows = 64;
constexpr uint64_t kCarriedBytes = uint64_t{1} << 20;
constexpr size_t kEvacuatedSegments = 16;

}  // namespace

// `why`: what stands against removing an older file; null: nothing any more.
void SpoolImpl::set_kept(Generation& older, const Error* why) {
  if (older.is_kept == (why != nullptr)) return;
  older.is_kept = why != nullptr;
  counters_.kept_files += older.is_kept ? 1 : -uint64_t{1};
  if (!older.is_kept) return;
  log_.error(
      "spool generation {}: what is left of its quarantine cannot be read: {}; the file is kept, "
      "penstock spool repair may find it",
      older.number, why->what);
}

// What is still to be copied, all of it, as it will lie in the active file.
Result<uint64_t> SpoolImpl::bytes_to_carry(Generation& from) {
  constexpr char kSum[] =
      "SELECT (SELECT coalesce(sum(length(record)+length(reason)+64), 0) FROM quarantine WHERE "
      "rowid>?1)+(SELECT coalesce(sum(length(reason)+64), 0) FROM fate WHERE rowid>?2)";
  auto query = from.store.connection().prepare(kSum);
  if (!query) return std::move(query).error();
  query->bind(1, from.quarantine_copied).bind(2, from.fates_copied);
  auto row = query->step();
  if (!row) return std::move(row).error();
  return static_cast<uint64_t>(*row ? query->int_at(0) : 0);
}

// Copies a part of the quarantine and the fates of an older generation. False when that has to
// wait: what cannot be read now is tried again, and the file stays until it can. Where there is no
// room it is done all the same if the file then gives more than all of it takes.
bool SpoolImpl::carry_over(Lock& lock, Generation& from, bool is_short) {
  lock.unlock();
  if (is_short) active_->store.set_chunk(kSpareChunkBytes);
  const auto bytes = is_short ? bytes_to_carry(from) : Result<uint64_t>(0);
  if (bytes && !may_go_on(Upkeep::kCarry, is_short, active_->store.growth_for_bytes(*bytes),
                          generation_bytes(options_.dir, from.number))) {
    lock.lock();
    return false;
  }
  auto part = quarantine_and_fates_of(from);
  if (!part) {
    lock.lock();
    set_kept(from, &part.error());
    return false;
  }
  Result<void> done;
  if (!part->transaction.quarantine.empty() || !part->transaction.fates.empty())
    done = active_->store.apply(part->transaction);
  lock.lock();
  if (!done && may_try_again(done.error())) return false;
  if (!done) {
    enter_fault(lock, std::move(done).error());
    return true;
  }
  set_kept(from, nullptr);
  from.is_carried = part->is_last;
  from.quarantine_copied = part->quarantine_up_to;
  from.fates_copied = part->fates_up_to;
  checkpoint(lock);
  return true;
}

Generation& SpoolImpl::newer_than(const Generation& generation) {
  for (size_t i = 0; i + 1 < older_.size(); ++i) {
    if (older_[i].get() == &generation) return *older_[i + 1];
  }
  return *active_;
}

// Rows for numbers that a newer generation gave out itself belong to a commit that failed.
Result<bool> SpoolImpl::is_own(const Generation& generation, LaneId lane, Seq seq) {
  Generation* newer = &newer_than(generation);
  if (!newer->begins) {
    auto rows = read_lanes(newer->store.connection());
    if (!rows) return std::move(rows).error();
    newer->begins.emplace();
    for (const auto& row : *rows) (*newer->begins)[row.lane] = row.first_seq;
  }
  const auto found = newer->begins->find(lane);
  return found != newer->begins->end() && seq < found->second;
}

Result<SpoolImpl::Carried> SpoolImpl::quarantine_and_fates_of(Generation& from) {
  Carried part{{}, from.quarantine_copied, from.fates_copied, true};
  Connection& db = from.store.connection();
  auto query = db.prepare(
      "SELECT rowid, lane, seq, epoch, at_us, reason, record FROM quarantine WHERE rowid>? "
      "ORDER BY rowid");
  if (!query) return std::move(query).error();
  query->bind(1, from.quarantine_copied);
  uint64_t bytes = 0;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) break;
    if (part.transaction.quarantine.size() >= kCarriedRows || bytes >= kCarriedBytes) {
      part.is_last = false;
      return part;
    }
    part.quarantine_up_to = query->int_at(0);
    const auto lane = static_cast<LaneId>(query->int_at(1));
    const auto seq = static_cast<Seq>(query->int_at(2));
    const auto own = is_own(from, lane, seq);
    if (!own) return own.error();
    if (!*own) continue;
    part.transaction.quarantine.push_back({lane, seq, static_cast<uint32_t>(query->int_at(3)),
                                           query->int_at(4), std::string(query->bytes_at(5)),
                                           std::string(query->bytes_at(6))});
    bytes += query->bytes_at(6).size();
  }
  auto fates = db.prepare(
      "SELECT rowid, lane, first_seq, last_seq, kind, at_us, reason FROM fate WHERE rowid>? "
      "ORDER BY rowid");
  if (!fates) return std::move(fates).error();
  fates->bind(1, from.fates_copied);
  for (;;) {
    auto row = fates->step();
    if (!row) return std::move(row).error();
    if (!*row) return part;
    if (part.transaction.fates.size() >= kCarriedRows) {
      part.is_last = false;
      return part;
    }
    part.fates_up_to = fates->int_at(0);
    const auto lane = static_cast<LaneId>(fates->int_at(1));
    const SeqRange range{static_cast<Seq>(fates->int_at(2)), static_cast<Seq>(fates->int_at(3))};
    const auto own = is_own(from, lane, range.first);
    if (!own) return own.error();
    if (!*own) continue;
    const auto rest = without_fate(lane, range);
    if (!rest) return rest.error();
    for (const auto& piece : *rest) {
      part.transaction.fates.push_back({lane, piece, static_cast<FateKind>(fates->int_at(4)),
                                        fates->int_at(5), std::string(fates->bytes_at(6))});
    }
  }
}

// A fate of the commit that failed was written again here, and yet may have reached the old file.
Result<std::vector<SeqRange>> SpoolImpl::without_fate(LaneId lane, SeqRange range) {
  auto query = active_->store.connection().prepare(
      "SELECT first_seq, last_seq FROM fate WHERE lane=? AND first_seq<=? AND last_seq>=?");
  if (!query) return std::move(query).error();
  query->bind(1, int64_t{lane}).bind(2, range.last).bind(3, range.first);
  SeqRanges here;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return here.missing_in(range);
    here.add({static_cast<Seq>(query->int_at(0)), static_cast<Seq>(query->int_at(1))});
  }
}

// Moves some of the last segments of a nearly empty generation into the active one, as they are.
// Only while all of them have room there: a part of them would be in two files, for as long as
// their lane stands still, and be in the way of new records.
bool SpoolImpl::evacuate(Lock& lock, Generation& from) {
  const auto but = [&from](const IndexEntry& entry) { return from.unmoved.contains(entry.id); };
  auto wanted = index_.some_of(from.number, kEvacuatedSegments, but);
  if (const auto absent = index_.absent_of(from.number); wanted.empty() && absent) {
    if (!fill_index(lock, absent->first, 1, absent->second)) return false;
    wanted = index_.some_of(from.number, kEvacuatedSegments, but);
  }
  if (wanted.empty()) {
    std::erase_if(from.unmoved, [](const auto& one) { return one.second != ErrorKind::kCorrupt; });
    return false;
  }
  lock.unlock();
  Moved part = read_to_move(from, wanted);
  Transaction& transaction = part.transaction;
  transaction.index_rows = rows_of_moved(part.entries);
  transaction.forgets_index = forgets_index_;
  Result<void> done;
  const bool fits = active_->store.fits(transaction, 0) && !is_low(free_beside(transaction));
  const bool is_any = !part.entries.empty();
  if (fits && is_any) done = active_->store.apply(transaction);
  lock.lock();
  if (!is_any) return true;  // on to others
  if (!fits || (!done && may_try_again(done.error()))) return false;
  if (!done) {
    enter_fault(lock, std::move(done).error());
    return true;
  }
  forgets_index_ = false;
  for (const auto& [lane, entry] : part.entries) index_.move(lane, entry);
  counters_.live_bytes = active_->store.live_bytes();
  checkpoint(lock);
  return true;
}

// As many of `wanted` as go into one commit. Of those that cannot be read their lanes will find out
// and say so.
SpoolImpl::Moved SpoolImpl::read_to_move(Generation& from,
                                         const std::vector<std::pair<LaneId, IndexEntry>>& wanted) {
  Moved part;
  uint64_t bytes = 0;
  for (const auto& [lane, entry] : wanted) {
    auto decoded = load_segment(lane, entry);
    auto stored = decoded ? from.store.read(entry.id) : Result<std::string>(decoded.error());
    if (!stored) {
      from.unmoved[entry.id] = stored.error().kind;
      continue;
    }
    // With its id, by which its age is told. One that is taken there came from a parked file.
    const auto is_taken = active_->store.has(entry.id);
    if (!is_taken || *is_taken) {
      from.unmoved[entry.id] = is_taken ? ErrorKind::kCorrupt : is_taken.error().kind;
      continue;
    }
    if (bytes > 0 && bytes + stored->size() > kCommitCapBytes) break;
    bytes += stored->size();
    part.entries.emplace_back(
        lane, IndexEntry{entry.id, entry.first, entry.count, entry.bytes, active_->number});
    part.transaction.segments.push_back({entry.id, decoded->header, std::move(*stored)});
  }
  return part;
}

bool SpoolImpl::remove_empty(Lock& lock, size_t at) {
  if (const auto why = older_[at]->remains->verdict()) {
    if (!keep(lock, at, *why)) return false;
    if (auto shared = share_out(); !shared) log_.warning("spool: {}", shared.error().what);
    return true;
  }
  const uint32_t number = older_[at]->number;
  lock.unlock();
  auto removed = remove_generation(options_.dir, number);
  lock.lock();
  if (!removed) {
    log_.warning("spool: {}", removed.error().what);
    return false;
  }
  log_.info("spool: generation {} is empty and was removed", number);
  older_.erase(older_.begin() + static_cast<ptrdiff_t>(at));
  spare_not_before_ = {};
  counters_.older_files = older_.size();
  if (auto shared = share_out(); !shared) log_.warning("spool: {}", shared.error().what);
  after_commit(lock);  // there is more room
  return true;
}

}  // namespace penstock::spool
