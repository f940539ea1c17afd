#include "agent/lane/lane_set.h"

namespace penstock::lane {

void LaneSet::start() {
  for (const auto& state : spool_.lanes()) add(state);
}

void LaneSet::add(const spool::LaneState& state) {
  if (state.id == spool::kUnroutedLane || lanes_.contains(state.id)) return;
  const auto lane = factory_(state);
  lanes_.emplace(state.id, lane);
  if (lane) lane->start();
}

void LaneSet::committed(spool::LaneId id, spool::Seq up_to) {
  if (stopping_ || id == spool::kUnroutedLane) return;
  const auto known = lanes_.find(id);
  if (known == lanes_.end()) {
    add(spool_.state(id));
  } else if (known->second) {
    known->second->committed(up_to);
  }
}

void LaneSet::stop(const std::function<void()>& done) {
  stopping_ = true;
  const auto all = lanes();
  if (all.empty()) return done();
  const auto left = std::make_shared<size_t>(all.size());
  for (const auto& lane : all) {
    lane->stop([left, done] {
      if (--*left == 0) done();
    });
  }
}

std::vector<std::shared_ptr<Lane>> LaneSet::lanes() const {
  std::vector<std::shared_ptr<Lane>> running;
  for (const auto& [id, lane] : lanes_) {
    if (lane) running.push_back(lane);
  }
  return running;
}

}  // namespace penstock::lane
