#include "agent/spool/batch.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

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

// `place` is that of the last record's source. There are few sources, and each hands over many
// records in a row.
void note_source(Batch& batch, size_t& place, const Pending& record) {
  if (place >= batch.durable.size() || batch.durable[place].first != record.source) {
    const auto found = std::find_if(batch.durable.begin(), batch.durable.end(),
                                    [&](const auto& one) { return one.first == record.source; });
    place = static_cast<size_t>(found - batch.durable.begin());
    if (found == batch.durable.end()) batch.durable.emplace_back(record.source, 0);
  }
  batch.durable[place].second = record.source_seq;
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
  std::vector<Place> lanes;  // by id, which are dense
  size_t source = 0;
  for (const Pending* record : records) {
    if (record->lane >= lanes.size()) lanes.resize(size_t{record->lane} + 1);
    lanes[record->lane].bytes += record->body.size() + kMaxVarintBytes / 2;
  }
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
    note_source(batch, source, *record);
    if (!record->refusal.empty()) {
      batch.refused.push_back(record);
    } else {
      append(run_for(batch, place, *record), *record);
    }
  }
  return batch;
}

}  // namespace penstock::spool
