#include "agent/route/router.h"

#include <set>
#include <utility>

#include "agent/route/table_template.h"
#include "agent/route/topic_pattern.h"

namespace penstock::route {
namespace {

struct Compiled {
  std::optional<TopicPattern> pattern;  // none: any topic
  TableTemplate table;
};

Result<Compiled> compile_route(const RouteSpec& spec,
                               const std::map<std::string, std::string>& labels,
                               const std::string& agent_id) {
  Compiled compiled;
  if (!spec.topic.empty()) {
    auto pattern = TopicPattern::parse(spec.topic);
    if (!pattern) return std::move(pattern).error();
    compiled.pattern = *std::move(pattern);
  }
  const TopicPattern* pattern = compiled.pattern ? &*compiled.pattern : nullptr;
  auto table = TableTemplate::compile(spec.table, {pattern, labels, agent_id});
  if (!table) return std::move(table).error();
  compiled.table = *std::move(table);
  return compiled;
}

}  // namespace

struct Router::State {
  std::vector<RouteSpec> specs;
  std::vector<Compiled> compiled;  // one for each of `specs`
};

Result<Router> Router::compile(std::vector<RouteSpec> routes,
                               const std::map<std::string, std::string>& labels,
                               const std::string& agent_id) {
  auto state = std::make_shared<State>();
  std::set<std::string_view> names;
  for (const auto& spec : routes) {
    const std::string context = "route '" + spec.name + "'";
    if (!names.insert(spec.name).second) {
      return Error{ErrorKind::kRejected, context + ": the name is used twice", {}};
    }
    auto compiled = compile_route(spec, labels, agent_id);
    if (!compiled) return std::move(compiled).error().in(context);
    state->compiled.push_back(*std::move(compiled));
  }
  state->specs = std::move(routes);
  return Router(std::move(state));
}

Router::Decision Router::route(const RecordView& record) const {
  Decision decision;
  for (size_t i = 0; i < state_->specs.size(); ++i) {
    const RouteSpec& spec = state_->specs[i];
    const Compiled& compiled = state_->compiled[i];
    if (!spec.input.empty() && spec.input != record.source) continue;
    if (compiled.pattern && !compiled.pattern->matches(record.topic)) continue;
    decision.index = i;
    auto table = compiled.table.expand(record);
    if (table) {
      decision.route = &spec;
      decision.table = *std::move(table);
    } else {
      decision.refusal = "route '" + spec.name + "': " + table.error().what;
    }
    return decision;
  }
  decision.refusal = "no route matches this topic and input";
  return decision;
}

}  // namespace penstock::route
