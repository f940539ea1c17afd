// FakeSpool: the Spool interface in memory, under the test's command: nothing is committed until
// commit() is called, and every answer can be scripted. Thread-safe. Callbacks of read run on the
// calling thread.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/base/varint.h"
#include "agent/spool/spool.h"

namespace penstock::test {

class FakeSpool final : public spool::Spool {
 public:
  // --- What the test sets.
  spool::Enqueue answer = spool::Enqueue::kTaken;
  std::optional<Error> read_error;
  std::set<spool::LaneId> held;  // their reads wait for release()
  bool slow = false;             // reads wait for release(), and nobody is told why
  spool::SeqRange unreadable{1, 0};
  std::map<spool::LaneId, spool::Admission> admissions;  // else kTake
  spool::SeqRange dropped{1, 0};                         // not to be read, and decided
  size_t records_per_segment = 3;
  std::map<spool::Seq, spool::OriginPtr> origins;  // of segments, by their first record

  // --- What the test looks at.
  std::vector<spool::Pending> queued() const {
    const std::lock_guard lock(mutex_);
    return queue_;
  }
  std::map<spool::LaneId, spool::Seq> cursors() const {
    const std::lock_guard lock(mutex_);
    return cursors_;
  }
  std::map<spool::Seq, std::string> quarantined(spool::LaneId lane) const {
    const std::lock_guard lock(mutex_);
    const auto found = quarantined_.find(lane);
    return found == quarantined_.end() ? std::map<spool::Seq, std::string>{} : found->second;
  }
  std::set<spool::Seq> damaged_records() const {
    const std::lock_guard lock(mutex_);
    return damaged_;
  }

  // Stores a record as if it had been committed in an earlier run.
  void preload(const spool::LaneKey& key, std::vector<std::string> bodies, spool::Seq cursor = 0) {
    const auto id = lane(key);
    const std::lock_guard lock(mutex_);
    for (auto& body : bodies) committed_[id].push_back(std::move(body));
    states_[id].next_seq = committed_[id].size() + 1;
    states_[id].cursor = cursors_[id] = cursor;
  }

  // --- spool::Spool
  const std::string& origin_prefix() const override { return origin_; }
  const std::string& epoch() const override { return epoch_; }
  void start(spool::Listener&) override {}
  spool::LaneId lane(const spool::LaneKey& key) override {
    const std::lock_guard lock(mutex_);
    const auto [at, fresh] = ids_.emplace(key, static_cast<spool::LaneId>(ids_.size() + 1));
    if (fresh) {
      states_[at->second].id = at->second;
      states_[at->second].key = key;
    }
    return at->second;
  }
  std::vector<spool::LaneState> lanes() const override {
    const std::lock_guard lock(mutex_);
    std::vector<spool::LaneState> all;
    for (const auto& [id, state] : states_) all.push_back(state);
    return all;
  }
  spool::LaneState state(spool::LaneId id) const override {
    const std::lock_guard lock(mutex_);
    return states_.at(id);
  }
  spool::Enqueue enqueue(std::vector<spool::Pending>&& records) override {
    const std::lock_guard lock(mutex_);
    if (answer == spool::Enqueue::kTaken) {
      for (auto& record : records) queue_.push_back(std::move(record));
    }
    return answer;
  }
  size_t room() const override { return answer == spool::Enqueue::kTaken ? 1 << 20 : 0; }
  spool::Admission admit(spool::LaneId id) override {
    const auto found = admissions.find(id);
    return found == admissions.end() ? spool::Admission::kTake : found->second;
  }
  void turned_away(spool::LaneId id, uint64_t count) override {
    const std::lock_guard lock(mutex_);
    states_[id].refused += count;
  }
  void rewound(spool::LaneId id, spool::Seq from) override {
    const std::lock_guard lock(mutex_);
    rewound_[id] = from;
  }
  std::map<spool::LaneId, spool::Seq> rewinds() const {
    const std::lock_guard lock(mutex_);
    return rewound_;
  }
  bool decided(spool::LaneId, spool::SeqRange range) const override {
    return range.first >= dropped.first && range.last <= dropped.last;
  }
  // What was quarantined. A restart keeps it, as on disk.
  std::vector<spool::SeqRange> decided_parts(spool::LaneId id,
                                             spool::SeqRange range) const override {
    const std::lock_guard lock(mutex_);
    std::vector<spool::SeqRange> parts;
    const auto found = quarantined_.find(id);
    if (found == quarantined_.end()) return parts;
    for (const auto& [seq, reason] : found->second) {
      if (seq >= range.first && seq <= range.last) parts.push_back({seq, seq});
    }
    return parts;
  }
  void flush_hint() override {}
  void read(spool::LaneId id, spool::Seq from, ReadCallback done) override {
    if (read_error) return done(*read_error);
    if (slow || held.contains(id)) {
      waiting_[id] = {from, std::move(done)};
      return;
    }
    if (from >= unreadable.first && from <= unreadable.last) {
      return done(Error{ErrorKind::kCorrupt, "checksum does not match", {}});
    }
    while (from >= dropped.first && from <= dropped.last) ++from;
    done(segment(id, from));
  }
  bool holds(spool::LaneId id) const override { return held.contains(id); }
  // The reads that wait are answered.
  void release() {
    held.clear();
    slow = false;
    for (auto& [id, one] : std::exchange(waiting_, {})) read(id, one.first, std::move(one.second));
  }
  size_t waiting() const { return waiting_.size(); }
  void acknowledge(spool::LaneId id, spool::Seq up_to) override {
    const std::lock_guard lock(mutex_);
    cursors_[id] = std::max(cursors_[id], up_to);
  }
  void quarantine(spool::LaneId id, spool::Seq seq, std::string reason) override {
    const std::lock_guard lock(mutex_);
    quarantined_[id].emplace(seq, std::move(reason));
  }
  spool::SeqRange segment_range(spool::LaneId, spool::Seq) const override { return unreadable; }
  void damaged(spool::LaneId, spool::Seq first, spool::Seq last, std::string) override {
    const std::lock_guard lock(mutex_);
    for (auto seq = first; seq <= last; ++seq) damaged_.insert(seq);
  }
  spool::Counters counters() const override { return {}; }
  Result<void> flush() override { return {}; }
  void stop() override {}

 private:
  spool::SegmentPtr segment(spool::LaneId id, spool::Seq from) const {
    const std::lock_guard lock(mutex_);
    const auto found = committed_.find(id);
    if (found == committed_.end() || from > found->second.size()) return nullptr;
    const auto first = (from - 1) / records_per_segment * records_per_segment + 1;
    const auto last = std::min<size_t>(first + records_per_segment - 1, found->second.size());
    std::string run;
    for (auto seq = first; seq <= last; ++seq) append_bytes(found->second[seq - 1], run);
    const auto origin = origins.find(first);
    return std::make_shared<const spool::Segment>(
        id, first, static_cast<uint32_t>(last - first + 1), std::move(run),
        origin != origins.end() ? origin->second : nullptr);
  }

  const std::string origin_ = "gw/0123456789abcdef";
  const std::string epoch_ = "0123456789abcdef";
  mutable std::mutex mutex_;
  std::map<spool::LaneKey, spool::LaneId> ids_;
  std::map<spool::LaneId, spool::LaneState> states_ = {
      {spool::kUnroutedLane, {.id = 0, .key = {std::string(spool::kUnroutedName), ""}}}};
  std::vector<spool::Pending> queue_;
  std::map<spool::LaneId, std::vector<std::string>> committed_;
  std::map<spool::LaneId, spool::Seq> cursors_;
  std::map<spool::LaneId, std::map<spool::Seq, std::string>> quarantined_;
  std::set<spool::Seq> damaged_;
  std::map<spool::LaneId, spool::Seq> rewound_;
  std::map<spool::LaneId, std::pair<spool::Seq, ReadCallback>> waiting_;
};

}  // namespace penstock::test
