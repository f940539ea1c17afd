#include "agent/spool/batch.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "agent/base/varint.h"

namespace penstock::spool {
namespace {

// Where a lane's things are in the batch being made.
struct Place {
  bool known = false;
  size_t committed = 0;
  std::optional<size_t> open_run;
  size_t bytes = 0;  // of all its runs, about
};

void note_source(Batch& batch, std::unordered_map<SourceId, size_t>& places,
                 const Pending& record) {
  const auto [it, is_new] = places.try_emplace(record.source, batch.durable.size());
  if (is_new) batch.durable.emplace_back(record.source, 0);
  batch.durable[it->second].second = record.source_seq;
}

void append(Run& run, const Pending& record) {
  run.newest_us =
      run.count == 0 ? record.received_at_us : std::max(run.newest_us, record.received_at_us);
  append_bytes(record.body, run.bytes);
  ++run.count;
}

Run& run_for(Batch& batch, Place& place, const Pending& record) {
  if (place.open_run) {
    Run& run = batch.runs[*place.open_run];
    if (run.first + run.count == record.seq) return run;
  }
  place.open_run = batch.runs.size();
  batch.runs.push_back({record.lane, record.seq, 0, 0, {}});
  batch.runs.back().bytes.reserve(std::exchange(place.bytes, 0));
  return batch.runs.back();
}

}  // namespace

Batch make_batch(std::span<const Pending* const> records) {
  Batch batch;
  std::unordered_map<LaneId, Place> lanes;
  std::unordered_map<SourceId, size_t> sources;
  for (const Pending* record : records)
    lanes[record->lane].bytes += record->body.size() + kMaxVarintBytes / 2;
  for (const Pending* record : records) {
    Place& place = lanes[record->lane];
    if (!place.known) {
      place.known = true;
      place.committed = batch.committed.size();
      batch.committed.emplace_back(record->lane, 0);
    }
    batch.committed[place.committed].second = record->seq;
    ++batch.records;
    batch.bytes += record->body.size();
    note_source(batch, sources, *record);
    if (!record->refusal.empty()) {
      batch.refused.push_back(record);
    } else {
      append(run_for(batch, place, *record), *record);
    }
  }
  return batch;
}

}  // namespace penstock::spool
