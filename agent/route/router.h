// Which table a record goes to: the routes of the configuration, compiled.
//
// Immutable after compile; any thread may call route() at once; copies share their state. A
// Decision's `route` points into that state and is valid as long as any copy of the Router lives.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/record.h"
#include "agent/base/result.h"

namespace penstock::route {

struct RouteSpec {
  std::string name;         // identity of the route, unique
  std::string topic;        // TopicPattern; empty: any topic
  std::string input;        // id of the input instance; empty: any
  std::string table;        // expression: topic[n], topic.name, source, attr.x, label.x, agent.id
  size_t max_tables = 256;  // kept by intake, which knows the lanes; not looked at here
};

class Router {
 public:
  struct Decision {
    const RouteSpec* route = nullptr;  // null exactly when `refusal` says why
    size_t index = 0;                  // of `route` in the list compiled
    std::string table;                 // three parts, joined by dots
    std::string refusal;  // why the record is unrouted, and what to do; empty when routed
  };

  // kRejected, naming the route, for whatever can be known before the first record: a bad pattern
  // or expression, a reference that cannot have a value, a fixed part of the table name that is
  // illegal, a name used twice.
  static Result<Router> compile(std::vector<RouteSpec> routes,
                                const std::map<std::string, std::string>& labels,
                                const std::string& agent_id);

  // The first route that matches decides. The table must be three non-empty parts of at most 255
  // characters [A-Za-z0-9_]. Values are never rewritten to fit: a record whose topic level,
  // attribute or source is missing, empty or has other characters (also a dot) is refused, so that
  // two sources cannot fall into one table by accident.
  Decision route(const RecordView& record) const;

 private:
  struct State;
  explicit Router(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace penstock::route
