#include "agent/intake/intake.h"

#include <utility>

#include "agent/base/clock.h"

namespace penstock::intake {
namespace {

size_t size_of(const RecordView& record) {
  size_t size = record.topic.size() + record.payload.size();
  for (const auto& attribute : record.attributes)
    size += attribute.key.size() + attribute.value.size();
  return size;
}

std::string_view attribute(const RecordView& record, std::string_view key) {
  for (const auto& candidate : record.attributes) {
    if (candidate.key == key) return candidate.value;
  }
  return {};
}

// The configured topic with ${attr.x} and ${source} filled in; config has checked that nothing else
// is in it.
std::string expand_topic(const Expression& topic, const RecordView& record) {
  std::string text;
  for (const auto& part : topic.parts()) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      text += *literal;
      continue;
    }
    const auto& reference = std::get<Reference>(part);
    if (reference.root == "source") {
      text += record.source;
    } else if (reference.root == "attr" && !reference.path.empty()) {
      if (const auto* name = std::get_if<std::string>(&reference.path.front()))
        text += attribute(record, *name);
    }
  }
  return text;
}

}  // namespace

Intake::Intake(spool::Spool& spool, route::Router router,
               std::vector<std::optional<Millis>> commit_within, Limits limits, Log log,
               ClockTrust::Ask clock_is_set)
    : spool_(spool),
      router_(std::move(router)),
      commit_within_(std::move(commit_within)),
      limits_(limits),
      log_(std::move(log)),
      clock_(std::move(clock_is_set)) {
  for (const auto& state : spool_.lanes()) {
    lanes_[state.id] = {state.id, state.next_seq};
    lane_ids_[state.key] = state.id;
    if (state.id != spool::kUnroutedLane) ++tables_of_route_[state.key.route];
  }
}

spool::SourceId Intake::add_source(SourceSpec source) {
  const std::lock_guard lock(mutex_);
  sources_.push_back({std::move(source), 1});
  return static_cast<spool::SourceId>(sources_.size() - 1);
}

Intake::Prepared Intake::refuse(const RecordView& record, std::string reason,
                                const Now& now) const {
  Prepared prepared;
  prepared.pending.received_at_us = record.received_at_us ? record.received_at_us : now.wall_us;
  prepared.pending.commit_within = limits_.commit_interval;
  prepared.pending.refusal = std::move(reason);
  encode_record(record, prepared.pending.body);
  return prepared;
}

// With what the source knows; `topic` is where an expanded one lives.
RecordView Intake::complete(const Source& source, RecordView record, const Now& now,
                            std::string& topic) {
  record.source = source.spec.id;
  record.time_quality = clock_.at(now);
  if (record.received_at_us == 0) record.received_at_us = now.wall_us;
  if (record.topic.empty()) {
    topic = expand_topic(source.spec.topic, record);
    record.topic = topic;
  }
  return record;
}

RecordView Intake::head_of(RecordView record) const {
  record.payload = record.payload.substr(0, limits_.oversize_head_bytes);
  record.topic = record.topic.substr(0, limits_.oversize_head_bytes);
  record.attributes = {};
  return record;
}

Intake::Prepared Intake::prepare(const Source& source, RecordView record, const Now& now) {
  std::string topic;
  record = complete(source, record, now, topic);
  if (const size_t size = size_of(record); size > limits_.max_record_bytes) {
    const RecordView head = head_of(record);
    auto refused = refuse(
        head,
        fmt::format(
            "record of {} bytes is above the limit of {}; the first {} payload bytes are kept",
            size, limits_.max_record_bytes, head.payload.size()),
        now);
    refused.oversize = true;
    return refused;
  }
  auto decision = router_.route(record);
  if (!decision.route) return refuse(record, std::move(decision.refusal), now);
  Prepared prepared;
  prepared.route = decision.route;
  prepared.table = std::move(decision.table);
  prepared.pending.received_at_us = record.received_at_us;
  prepared.pending.commit_within = commit_within_[decision.index].value_or(limits_.commit_interval);
  prepared.pending.body.reserve(encoded_record_bound(record));
  encode_record(record, prepared.pending.body);
  return prepared;
}

Intake::Lane& Intake::lane_of(spool::LaneId id) {
  auto& lane = lanes_[id];
  lane.id = id;
  return lane;
}

Intake::Lane* Intake::find_lane(const route::RouteSpec& route, const std::string& table) {
  spool::LaneKey key{route.name, table};
  if (const auto known = lane_ids_.find(key); known != lane_ids_.end())
    return &lane_of(known->second);
  auto& tables = tables_of_route_[route.name];
  if (tables >= route.max_tables) return nullptr;
  ++tables;
  const spool::LaneId id = spool_.lane(key);
  lane_ids_.emplace(std::move(key), id);
  log_.info("route {}: new lane {} to table {}", route.name, id, table);
  return &lane_of(id);
}

// Gives the record its lane. False when the record ended up in the unrouted lane.
bool Intake::assign_lane(Prepared& prepared) {
  Lane* lane = prepared.route ? find_lane(*prepared.route, prepared.table) : nullptr;
  if (prepared.route && !lane) {
    prepared.pending.refusal =
        fmt::format("route {} has {} tables already (max_tables); {} would be one more",
                    prepared.route->name, prepared.route->max_tables, prepared.table);
  }
  const bool routed = lane != nullptr;
  if (!lane) lane = &lane_of(spool::kUnroutedLane);
  prepared.pending.lane = lane->id;
  return routed;
}

// Gives the record its number, or turns it away.
void Intake::take(Prepared& one, Call& call) {
  const bool routed = assign_lane(one);
  const spool::LaneId lane = one.pending.lane;
  const bool unrouted = !routed && !one.oversize && !one.set_aside;
  auto verdict = unrouted && limits_.drop_unrouted ? spool::Admission::kDrop : spool_.admit(lane);
  if (verdict == spool::Admission::kDrop) {
    ++call.turned_away[lane];
    return;
  }
  if (verdict == spool::Admission::kBlock) call.blocked = lane;
  one.pending.seq = lanes_[lane].next_seq++;
  call.used.push_back(lane);
  call.unrouted += unrouted ? 1 : 0;
  call.batch.push_back(std::move(one.pending));
}

void Intake::give_back(const Call& call) {
  for (const auto lane : call.used) --lanes_[lane].next_seq;
}

void Intake::count(const Call& call, const std::vector<Prepared>& prepared) {
  counters_.accepted += call.used.size();
  for (const auto& one : prepared) {
    counters_.oversize += one.oversize ? 1 : 0;
    counters_.set_aside += one.set_aside ? 1 : 0;
  }
  counters_.unrouted += call.unrouted;
  for (const auto& [lane, records] : call.turned_away) {
    spool_.turned_away(lane, records);
    auto& counter =
        lane == spool::kUnroutedLane ? counters_.dropped_unrouted : counters_.dropped_newest;
    counter += records;
  }
}

void Intake::say_held(Source& source, const Call& call) {
  if (call.blocked.has_value() == std::exchange(source.held, call.blocked.has_value())) return;
  if (!call.blocked) {
    log_.info("input {} goes on", source.spec.id);
    return;
  }
  const auto key = spool_.state(*call.blocked).key;
  log_.warning("input {} waits: lane {} (route {}, table {}) has no room for its records",
               source.spec.id, *call.blocked, key.route, key.table);
}

EmitStatus Intake::emit(spool::SourceId source_id, std::span<const RecordView> records,
                        uint64_t& last_seq) {
  if (records.empty()) return EmitStatus::kOk;
  const Source* source = find_source(source_id);
  if (!source) return EmitStatus::kClosed;
  const Now now = read_clock();
  std::vector<Prepared> prepared;
  prepared.reserve(records.size());
  bool oversize = false;
  for (const auto& record : records) {
    prepared.push_back(prepare(*source, record, now));
    oversize = oversize || prepared.back().oversize;
  }
  const auto status = admit(source_id, std::move(prepared), last_seq);
  return status == EmitStatus::kOk && oversize ? EmitStatus::kTooBig : status;
}

EmitStatus Intake::set_aside(spool::SourceId source_id, const RecordView& record,
                             std::string_view reason, uint64_t& last_seq) {
  const Source* source = find_source(source_id);
  if (!source) return EmitStatus::kClosed;
  const Now now = read_clock();
  std::string topic;
  const RecordView whole = complete(*source, record, now, topic);
  std::vector<Prepared> prepared;
  prepared.push_back(refuse(size_of(whole) > limits_.max_record_bytes ? head_of(whole) : whole,
                            std::string(reason), now));
  prepared.back().set_aside = true;
  return admit(source_id, std::move(prepared), last_seq);
}

// Null: closed.
Intake::Source* Intake::find_source(spool::SourceId id) {
  const std::lock_guard lock(mutex_);
  return closed_ ? nullptr : &sources_[id];  // a deque: stable, and `spec` never changes
}

EmitStatus Intake::admit(spool::SourceId source_id, std::vector<Prepared> prepared,
                         uint64_t& last_seq) {
  const std::lock_guard lock(mutex_);
  if (closed_) return EmitStatus::kClosed;
  Source* const source = &sources_[source_id];
  Call call;
  call.batch.reserve(prepared.size());
  for (auto& one : prepared) {
    take(one, call);
    if (call.blocked) break;
  }
  uint64_t seq = source->next_seq;
  for (auto& pending : call.batch) {
    pending.source = source_id;
    pending.source_seq = seq++;
  }
  say_held(*source, call);
  const auto outcome = call.blocked ? spool::Enqueue::kFull : spool_.enqueue(std::move(call.batch));
  if (outcome != spool::Enqueue::kTaken) {
    give_back(call);
    if (outcome == spool::Enqueue::kClosed) return EmitStatus::kClosed;
    ++counters_.refused_full;
    return EmitStatus::kFull;
  }
  source->next_seq = seq;
  last_seq = seq - 1;
  count(call, prepared);
  return EmitStatus::kOk;
}

void Intake::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

Counters Intake::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace penstock::intake
