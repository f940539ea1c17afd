#include <algorithm>

#include "agent/base/expression.h"
#include "agent/config/columns_section.h"
#include "agent/config/sections.h"
#include "agent/config/table_name.h"
#include "agent/config/topic_filter.h"
#include "agent/config/units.h"

namespace penstock::config {
namespace {

using std::chrono::hours;

// A word that has to be one of `names`.
template <class T>
void check_known(const std::optional<Named>& value, const std::string& name,
                 const std::vector<T>& things, std::string T::*field, std::string_view kind,
                 Context& context) {
  std::vector<std::string_view> names;
  for (const auto& thing : things) names.push_back(thing.*field);
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  context.error(
      value->node->at,
      value->path + ": there is no " + std::string(kind) + " " + quote(value->node->written),
      names.empty() ? "none is configured" : suggestion(value->node->written, names));
}

void read_overflow(Reader& reader, Overflow& out) {
  Reader overflow = reader.map("overflow");
  set(out.policy,
      overflow.word<OverflowPolicy>("policy", {{"block", OverflowPolicy::kBlock},
                                               {"drop_oldest", OverflowPolicy::kDropOldest},
                                               {"drop_newest", OverflowPolicy::kDropNewest}}));
  set(out.max_share_percent, overflow.percent("max_share"));
  overflow.finish();
}

void read_max_age(Reader& reader, std::optional<Millis>& out) {
  const auto value = reader.get("max_age");
  if (value && value->node->written == "none") {
    out.reset();
  } else {
    set(out, reader.duration("max_age", std::chrono::seconds(1), hours(24 * 3650)));
  }
}

// What `route_defaults` can hold too; only keys that are there change `out`.
void read_common(Reader& reader, const Config& config, Route& out) {
  if (const auto name = reader.text("destination")) {
    out.destination = *name;
    check_known(reader.get("destination"), *name, config.destinations, &Destination::name,
                "destination", reader.context());
  }
  set(out.format, reader.word<Format>("format", {{"json", Format::kJson}, {"raw", Format::kRaw}}));
  set(out.max_tables, reader.count("max_tables", 1, 100'000));
  set(out.unknown_fields,
      reader.word<UnknownFields>("unknown_fields", {{"reject", UnknownFields::kReject},
                                                    {"ignore", UnknownFields::kIgnore},
                                                    {"rescue", UnknownFields::kRescue}}));
  read_overflow(reader, out.overflow);
  read_max_age(reader, out.max_age);
  if (const auto interval = reader.duration("commit_interval", Millis(1), Millis(10'000))) {
    out.commit_interval = interval;
  }
}

// The shape of match.topic, for the references to its levels.
TopicShape read_match(Reader& route, const Config& config, Route& out) {
  Context& context = route.context();
  TopicShape shape;
  route.require("match", "say which records: match: {topic: \"plant/#\"}");
  const bool has_match = route.has("match");
  Reader match = route.map("match");
  out.topic = "#";
  if (const auto filter = match.text("topic")) {
    out.topic = *filter;
    auto parsed = parse_topic_filter(*filter);
    if (parsed) {
      shape = *std::move(parsed);
    } else {
      const auto value = match.get("topic");
      context.error(value->node->at,
                    value->path + ": " + quote(value->node->written) + " " + parsed.error().what,
                    "a filter is like plant/+/state, plant/{line}/state or plant/#");
    }
  }
  if (const auto id = match.text("input")) {
    out.input = *id;
    check_known(match.get("input"), *id, config.inputs, &Input::id, "input", context);
  }
  match.finish();
  if (has_match && !match.has("topic") && !match.has("input")) {
    context.error(match.at(), match.path() + " needs topic or input",
                  "topic: \"#\" matches everything");
  }
  return shape;
}

void read_table(Reader& route, TopicShape shape, Route& out) {
  shape.whole = false;  // its slashes cannot be in a name
  route.require("table", "catalog.schema.table");
  const auto table = route.text("table", kTopicScope | kSourceScope | kAttrScope | kPayloadScope);
  if (!table) return;
  out.table = *table;
  const auto value = route.get("table");
  check_references(*value, *table, shape, route.context());
  if (const auto legal = check_table_template(*table); !legal) {
    route.context().error(
        value->node->at,
        value->path + ": " + quote(value->node->written) + " " + legal.error().what,
        "a table is catalog.schema.table with A-Z a-z 0-9 _");
  }
}

void read_names(Reader& route, Route& out) {
  Context& context = route.context();
  route.require("name", "the identity of this route in the spool");
  if (const auto name = route.text("name")) {
    out.name = *name;
    const auto value = route.get("name");
    if (!is_name(*name)) {
      context.error(value->node->at,
                    value->path + ": " + quote(value->node->written) + " cannot be a name",
                    std::string(kNameHint));
    }
  }
  for (const auto& old : route.list("renamed_from")) {
    if (const auto text = text_of(old, context)) out.renamed_from.push_back(*text);
  }
}

bool reads_fields(const std::string& expression) {
  const auto parsed = Expression::parse(expression);
  if (!parsed) return false;
  const auto& parts = parsed->parts();
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) {
    const auto* reference = std::get_if<Reference>(&part);
    return reference && reference->root == "payload" && !reference->path.empty();
  });
}

// A raw payload has no fields: every column has to say what it takes.
void check_raw(Reader& route, const Route& out) {
  if (out.format != Format::kRaw) return;
  if (!route.has("columns")) {
    route.context().error(route.at(), route.path() + ": format raw needs columns",
                          "such as columns: {payload: \"${payload}\"}");
  }
  for (const auto& column : out.columns) {
    if (!reads_fields(column.from)) continue;
    route.context().error(column.at,
                          route.path() + ": column " + quote(column.name) +
                              " takes a field, but a raw payload has none",
                          "use \"${payload}\", or format: json");
  }
}

void choose_destination(Reader& route, const Config& config, Route& out) {
  if (!out.destination.empty() || route.has("destination")) return;
  if (config.destinations.size() == 1) {
    out.destination = config.destinations.front().name;
    return;
  }
  const bool none = config.destinations.empty();
  route.context().error(route.at(), route.path() + ".destination is missing",
                        none ? "configure one under destinations"
                             : "there are several: name one here or in route_defaults");
}

// Rows for a table that is known only from `columns` need them.
void check_schema(Reader& route, const Config& config, const Route& out) {
  const Destination* destination = config.destination(out.destination);
  if (!destination || destination->schema != Schema::kColumns || route.has("columns")) return;
  route.context().error(route.at(),
                        route.path() + ": columns is missing, and destination " +
                            quote(out.destination) + " has schema: columns",
                        "name the columns, or set schema: none there");
}

Route read_route(const Named& value, const Config& config, const Route& defaults,
                 Context& context) {
  Route out = defaults;
  out.at = value.node->at;
  Reader route(value, context);
  read_names(route, out);
  const TopicShape shape = read_match(route, config, out);
  read_table(route, shape, out);
  read_common(route, config, out);
  out.columns = read_columns(route, shape);
  check_raw(route, out);
  choose_destination(route, config, out);
  check_schema(route, config, out);
  route.finish();
  return out;
}

}  // namespace

std::vector<Route> read_routes(Reader& root, const Config& config) {
  Context& context = root.context();
  Route defaults;
  Reader default_keys = root.map("route_defaults");
  read_common(default_keys, config, defaults);
  default_keys.finish();
  std::vector<Route> out;
  for (const auto& value : root.list("routes")) {
    out.push_back(read_route(value, config, defaults, context));
    const Route& added = out.back();
    const auto same = std::find_if(out.begin(), out.end(),
                                   [&](const Route& route) { return route.name == added.name; });
    if (added.name.empty() || &*same == &added) continue;
    const Node& name = *value.node->find("name");
    context.error(name.at,
                  value.path + ".name: " + quote(name.written) + " is taken by another route",
                  "first at " + to_string(same->at) + "; give each route its own name");
  }
  return out;
}

}  // namespace penstock::config
