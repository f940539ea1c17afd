#include "agent/spool/batch.h"

#include <algorithm>
#include <unordered_map>

#include "agent/base/varint.h"

namespace penstock::spool {
namespace {

template <class Key>
void put(std::vector<std::pair<Key, uint64_t>>& list, std::unordered_map<Key, size_t>& places,
         Key key, uint64_t value) {
  const auto [it, is_new] = places.try_emplace(key, list.size());
  if (is_new) list.emplace_back(key, value);
  list[it->second].second = value;
}

void append(Run& run, const Pending& record) {
  run.newest_us =
      run.count == 0 ? record.received_at_us : std::max(run.newest_us, record.received_at_us);
  append_bytes(record.body, run.bytes);
  ++run.count;
}

}  // namespace

Batch make_batch(std::span<const Pending* const> records) {
  Batch batch;
  std::unordered_map<LaneId, size_t> open_runs;  // the last run of each lane
  std::unordered_map<LaneId, size_t> lane_places;
  std::unordered_map<SourceId, size_t> source_places;
  for (const Pending* record : records) {
    ++batch.records;
    batch.bytes += record->body.size();
    put(batch.committed, lane_places, record->lane, record->seq);
    put(batch.durable, source_places, record->source, record->source_seq);
    if (!record->refusal.empty()) {
      batch.refused.push_back(record);
      continue;
    }
    const auto it = open_runs.find(record->lane);
    const bool joins = it != open_runs.end() &&
                       batch.runs[it->second].first + batch.runs[it->second].count == record->seq;
    if (!joins) {
      open_runs[record->lane] = batch.runs.size();
      batch.runs.push_back({record->lane, record->seq, 0, 0, {}});
    }
    append(batch.runs[open_runs[record->lane]], *record);
  }
  return batch;
}

}  // namespace penstock::spool
