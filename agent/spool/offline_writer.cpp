#include "agent/spool/offline_writer.h"

#include "agent/spool/database.h"

namespace penstock::spool {
namespace {

constexpr uint64_t kLeastBytes = uint64_t{64} << 20;

}  // namespace

Result<OfflineWriter> OfflineWriter::open(const std::filesystem::path& dir, uint32_t number,
                                          uint64_t max_bytes, const Log& log) {
  const Sizing sizing = sizing_for(std::max(max_bytes, kLeastBytes));
  auto db = open_database(generation_file(dir, number), sizing, log);
  if (!db) return std::move(db).error();
  // Above what clock marks speak of, too.
  auto last_id = db->number(
      "SELECT max(coalesce((SELECT max(id) FROM seg), 0),"
      " coalesce((SELECT max(first_seg)-1 FROM clock), 0))");
  if (!last_id) return std::move(last_id).error();
  auto store = Store::make(std::move(*db), sizing);
  if (!store) return std::move(store).error();
  return OfflineWriter(std::move(*store), *last_id + 1);
}

void OfflineWriter::add_epoch(const FoundEpoch& epoch) {
  waiting_.epochs.push_back(
      {epoch.id, epoch.name, epoch.agent_id, epoch.machine_id, {}, epoch.started_us});
}

void OfflineWriter::add_segment(const SegmentHeader& header, std::string_view run) {
  add_stored_segment(header, codec_.build(header, run));
}

void OfflineWriter::add_stored_segment(const SegmentHeader& header, std::string stored) {
  waiting_bytes_ += stored.size();
  waiting_.segments.push_back({next_id_++, header, std::move(stored)});
  // Rows of the index say that there is nothing in between.
  waiting_.forgets_index = true;
}

void OfflineWriter::add_mark(ClockMark mark) {
  mark.first_segment = next_id_++;
  waiting_.marks.push_back(std::move(mark));
}

void OfflineWriter::add_quarantine(QuarantineRow row) {
  waiting_bytes_ += row.record.size() + row.reason.size();
  waiting_.quarantine.push_back(std::move(row));
}

void OfflineWriter::release(LaneId lane, Seq seq) { waiting_.released.emplace_back(lane, seq); }

void OfflineWriter::add_fate(FateRow row) {
  waiting_bytes_ += row.reason.size() + 64;
  waiting_.fates.push_back(std::move(row));
}

void OfflineWriter::remove_fate(LaneId lane, Seq seq) { waiting_.unfated.emplace_back(lane, seq); }

void OfflineWriter::set_lane(LaneRow row) { waiting_.lanes.push_back(std::move(row)); }

Result<void> OfflineWriter::commit() {
  if (auto done = store_.apply(waiting_); !done) return done;
  waiting_ = {};
  waiting_bytes_ = 0;
  return store_.checkpoint_if_due();
}

}  // namespace penstock::spool
