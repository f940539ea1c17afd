// LaneSet: all lanes of the agent, made as tables appear.
//
// Owner: the composition. Everything runs on the agent thread. A lane whose route or destination is
// not in the configuration any more is not made; its records stay in the spool, and that is said
// once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "agent/lane/lane.h"

namespace penstock::lane {

class LaneSet {
 public:
  // Makes the driver of a lane; null when it cannot run with this configuration (the factory has
  // said why).
  using Factory = std::function<std::shared_ptr<Lane>(const spool::LaneState&)>;

  LaneSet(spool::Spool& spool, Factory factory) : spool_(spool), factory_(std::move(factory)) {}

  // Starts every lane the spool knows.
  void start();
  void committed(spool::LaneId id, spool::Seq up_to);
  // `done` once all lanes have stopped; no lane is made from here on.
  void stop(const std::function<void()>& done);

  std::vector<std::shared_ptr<Lane>> lanes() const;

 private:
  void add(const spool::LaneState& state);

  spool::Spool& spool_;
  const Factory factory_;
  bool stopping_ = false;
  std::map<spool::LaneId, std::shared_ptr<Lane>> lanes_;  // null: cannot run
};

}  // namespace penstock::lane
