#include "agent/intake/intake.h"

#include <algorithm>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/text.h"

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

// Would both go the same way? A router looks at nothing else.
bool same_way(const RecordView& a, const RecordView& b) {
  const bool one_array =
      a.attributes.data() == b.attributes.data() && a.attributes.size() == b.attributes.size();
  if (one_array || a.topic != b.topic) return a.topic == b.topic;
  return std::equal(a.attributes.begin(), a.attributes.end(), b.attributes.begin(),
                    b.attributes.end(), [](const AttributeView& one, const AttributeView& other) {
                      return one.key == other.key && one.value == other.value;
                    });
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

spool::Pending Intake::pending(const RecordView& record, Millis commit_within) {
  spool::Pending pending;
  pending.received_at_us = record.received_at_us;
  pending.commit_within = commit_within;
  pending.body.reserve(encoded_record_bound(record));
  encode_record(record, pending.body);
  return pending;
}

// A run of its own for `record`, which is complete.
Intake::Run& Intake::refuse(const RecordView& record, std::string reason,
                            Prepared& prepared) const {
  prepared.records.push_back(pending(record, limits_.commit_interval));
  prepared.records.back().refusal = std::move(reason);
  prepared.last.reset();
  auto& run = prepared.runs.emplace_back();
  run.count = 1;
  return run;
}

// With what the source knows, but for the topic.
RecordView Intake::complete(const Source& source, RecordView record, const Now& now) {
  record.source = source.spec.id;
  record.time_quality = clock_.at(now);
  if (record.received_at_us == 0) record.received_at_us = now.wall_us;
  return record;
}

RecordView Intake::head_of(RecordView record) const {
  record.payload = record.payload.substr(0, limits_.oversize_head_bytes);
  record.topic = record.topic.substr(0, limits_.oversize_head_bytes);
  record.attributes = {};
  return record;
}

// A source often hands over many records of one kind: only the first of them is routed.
void Intake::prepare(const Source& source, const RecordView& given, const Now& now,
                     Prepared& prepared) {
  const bool same = prepared.last && same_way(given, *prepared.last);
  RecordView record = complete(source, given, now);
  if (record.topic.empty()) {
    if (!same) prepared.topic = expand_topic(source.spec.topic, record);
    record.topic = prepared.topic;
  }
  if (const size_t size = size_of(record); size > limits_.max_record_bytes) {
    const RecordView head = head_of(record);
    auto reason = fmt::format(
        "record of {} bytes is above the limit of {}; the first {} payload bytes are kept", size,
        limits_.max_record_bytes, head.payload.size());
    refuse(head, std::move(reason), prepared).oversize = true;
    return;
  }
  if (!same) {
    auto decision = router_.route(record);
    if (!decision.route) {
      refuse(record, std::move(decision.refusal), prepared);
      return;
    }
    const auto within = commit_within_[decision.index].value_or(limits_.commit_interval);
    prepared.runs.push_back({decision.route, std::move(decision.table), within});
    prepared.last = given;
  }
  auto& run = prepared.runs.back();
  ++run.count;
  prepared.records.push_back(pending(record, run.commit_within));
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

// None when the records are for the unrouted lane.
std::optional<spool::LaneId> Intake::assign_lane(const Run& run,
                                                 std::span<spool::Pending> records) {
  if (!run.route) return std::nullopt;
  if (const Lane* lane = find_lane(*run.route, run.table)) return lane->id;
  for (auto& record : records) {
    record.refusal =
        fmt::format("route {} has {} tables already (max_tables); {} would be one more",
                    run.route->name, run.route->max_tables, run.table);
  }
  return std::nullopt;
}

std::string topic_and_reason(const spool::Pending& record) {
  std::vector<AttributeView> attributes;
  const auto view = decode_record(record.body, attributes);
  return fmt::format("topic '{}': {}", view ? shown(view->topic, 200) : "", record.refusal);
}

// Gives the records their numbers. False: they are turned away.
bool Intake::take(const Run& run, std::span<spool::Pending> records, Call& call) {
  const auto routed = assign_lane(run, records);
  Lane& lane = lane_of(routed.value_or(spool::kUnroutedLane));
  const bool unrouted = !routed && !run.oversize && !run.set_aside;
  if (unrouted && call.first_unrouted.empty() && call.says_unrouted)
    call.first_unrouted = topic_and_reason(records.front());
  const auto verdict =
      unrouted && limits_.drop_unrouted ? spool::Admission::kDrop : spool_.admit(lane.id);
  if (verdict == spool::Admission::kDrop) {
    call.turned_away[lane.id] += records.size();
    return false;
  }
  if (verdict == spool::Admission::kBlock) call.blocked = lane.id;
  for (auto& record : records) {
    record.lane = lane.id;
    record.seq = lane.next_seq++;
  }
  call.used.emplace_back(lane.id, records.size());
  call.unrouted += unrouted ? records.size() : 0;
  return true;
}

// What is left of the records when all have been asked for, or one has to wait.
std::vector<spool::Pending> Intake::take_all(Prepared& prepared, Call& call) {
  auto& records = prepared.records;
  auto kept = records.begin();
  auto next = records.begin();
  for (const auto& run : prepared.runs) {
    const auto end = next + static_cast<ptrdiff_t>(run.count);
    if (take(run, {next, end}, call)) kept = kept == next ? end : std::move(next, end, kept);
    if (call.blocked) break;
    next = end;
  }
  records.erase(kept, records.end());
  return std::move(records);
}

void Intake::give_back(const Call& call) {
  for (const auto& [lane, records] : call.used) lanes_[lane].next_seq -= records;
}

void Intake::count(const Call& call, const std::vector<Run>& runs) {
  for (const auto& [lane, records] : call.used) counters_.accepted += records;
  for (const auto& run : runs) {
    counters_.oversize += run.oversize ? run.count : 0;
    counters_.set_aside += run.set_aside ? run.count : 0;
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

// With a new gateway this is the commonest mistake, and the quarantine shows it only once the agent
// is stopped.
void Intake::say_unrouted(Source& source, const Call& call) {
  if (call.first_unrouted.empty()) return;
  source.is_unrouted_said = true;
  log_.warning("input {}: a record {}, {} (said once; further ones are counted every minute)",
               source.spec.id, limits_.drop_unrouted ? "is dropped" : "goes to quarantine",
               call.first_unrouted);
}

EmitStatus Intake::emit(spool::SourceId source_id, std::span<const RecordView> records,
                        uint64_t& last_seq) {
  if (records.empty()) return EmitStatus::kOk;
  const Source* source = find_source(source_id);
  if (!source) return EmitStatus::kClosed;
  const Now now = read_clock();
  Prepared prepared;
  prepared.records.reserve(records.size());
  for (const auto& record : records) prepare(*source, record, now, prepared);
  const bool oversize = std::any_of(prepared.runs.begin(), prepared.runs.end(),
                                    [](const Run& run) { return run.oversize; });
  const auto status = admit(source_id, std::move(prepared), last_seq);
  return status == EmitStatus::kOk && oversize ? EmitStatus::kTooBig : status;
}

EmitStatus Intake::set_aside(spool::SourceId source_id, const RecordView& record,
                             std::string_view reason, uint64_t& last_seq) {
  const Source* source = find_source(source_id);
  if (!source) return EmitStatus::kClosed;
  RecordView whole = complete(*source, record, read_clock());
  std::string topic;
  if (whole.topic.empty()) {
    topic = expand_topic(source->spec.topic, whole);
    whole.topic = topic;
  }
  Prepared prepared;
  refuse(size_of(whole) > limits_.max_record_bytes ? head_of(whole) : whole, std::string(reason),
         prepared)
      .set_aside = true;
  return admit(source_id, std::move(prepared), last_seq);
}

// Null: closed.
Intake::Source* Intake::find_source(spool::SourceId id) {
  const std::lock_guard lock(mutex_);
  return closed_ ? nullptr : &sources_[id];  // a deque: stable, and `spec` never changes
}

EmitStatus Intake::admit(spool::SourceId source_id, Prepared prepared, uint64_t& last_seq) {
  const std::lock_guard lock(mutex_);
  if (closed_) return EmitStatus::kClosed;
  Source* const source = &sources_[source_id];
  Call call;
  call.says_unrouted = !source->is_unrouted_said;
  auto batch = take_all(prepared, call);
  uint64_t seq = source->next_seq;
  for (auto& pending : batch) {
    pending.source = source_id;
    pending.source_seq = seq++;
  }
  say_held(*source, call);
  const auto outcome = call.blocked ? spool::Enqueue::kFull : spool_.enqueue(std::move(batch));
  if (outcome != spool::Enqueue::kTaken) {
    give_back(call);
    if (outcome == spool::Enqueue::kClosed) return EmitStatus::kClosed;
    ++counters_.refused_full;
    return EmitStatus::kFull;
  }
  source->next_seq = seq;
  last_seq = seq - 1;
  count(call, prepared.runs);
  say_unrouted(*source, call);
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
