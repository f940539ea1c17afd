// Every mistake gets its own line with file, line, column, what is wrong and what to do, and all
// come at once.
#include <gtest/gtest.h>

#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

struct Row {
  std::string text;
  std::vector<std::string> expected;
};

void expect_all(const std::vector<Row>& rows) {
  for (const auto& [text, expected] : rows) {
    const auto loaded = FakeMachine{}.load(text);
    EXPECT_EQ(texts(loaded.problems), expected) << text;
    EXPECT_FALSE(loaded.ok()) << text;
  }
}

TEST(ConfigErrors, TheFileAsAWhole) {
  expect_all({
      {"",
       {"c.yaml:1:1: error: version is missing (write `version: 1`)",
        "c.yaml:1:1: error: agent.id is missing (the name of this gateway, like `gw-0042`)"}},
      {"version: 2\nagent: {id: a}\n",
       {"c.yaml:1:10: error: version: only 1 is known (write `version: 1`)"}},
      {"vresion: 1\nagent: {id: a}\n",
       {"c.yaml:1:1: error: version is missing (write `version: 1`)",
        "c.yaml:1:1: error: unknown key `vresion` (did you mean `version`?)"}},
      {"- version: 1\n",
       {"c.yaml:1:1: error: a configuration is a map, not a list (start with `version: 1`)"}},
      {"version: 1\nversion: 1\nagent: {id: a}\n",
       {"c.yaml:2:1: error: the key `version` stands twice in the same map (first at c.yaml:1:1; "
        "remove one)"}},
      {minimal("include: a.yaml\n"),
       {"c.yaml:3:10: error: include: a list is needed, not a single value (write [a, b], or one "
        "element per line after `- `)"}},
      {minimal("include: [\"${agent.id}.yaml\"]\n"),
       {"c.yaml:3:11: error: include[0]: `${agent.id}` cannot be used here (agent and include are "
        "read before it)"}},
  });
}

TEST(ConfigErrors, Agent) {
  expect_all({
      {"version: 1\nagent: {}\n",
       {"c.yaml:2:8: error: agent.id is missing (the name of this gateway, like `gw-0042`)"}},
      {"version: 1\nagent: {id: a b}\n",
       {"c.yaml:2:13: error: agent.id: `a b` cannot be the name of an agent (use 1 to 64 of A-Z "
        "a-z "
        "0-9 _ . -)"}},
      {"version: 1\nagent: {id: \"${env:HOSTNAME}\"}\n",
       {"c.yaml:2:13: error: agent.id: environment variable HOSTNAME is not set (set it for the "
        "service, or write the value)"}},
      {"version: 1\nagent: {id: no}\n",
       {"c.yaml:2:13: error: agent.id: `no` is a boolean to many YAML readers (quote it: \"no\")"}},
      {"version: 1\nagent: {id: g, labels: {a-b: x, \"no\": y, on: z}, log: {level: warn, "
       "repeat_every: 15}}\n",
       {"c.yaml:2:25: error: agent.labels: `a-b` cannot be a name (labels are named like site_1)",
        "c.yaml:2:42: error: agent.labels: `on` is a boolean to many YAML readers (quote it: "
        "\"on\")",
        "c.yaml:2:63: error: agent.log.level: `warn` is not one of debug, info, warning, error "
        "(did you mean `warning`?)",
        "c.yaml:2:83: error: agent.log.repeat_every: `15` has no unit (a duration is a whole "
        "number "
        "with ms, s, m, h or d, like 500ms)"}},
      {"version: 1\nagent: [id, g]\n",
       {"c.yaml:2:8: error: agent: a map is needed, not a list (write its keys below it, indented)",
        "c.yaml:2:8: error: agent.id is missing (the name of this gateway, like `gw-0042`)"}},
  });
}

TEST(ConfigErrors, NumbersWordsAndKinds) {
  expect_all({
      {minimal("memory_limit: 48\n"),
       {"c.yaml:3:15: error: memory_limit: `48` has no unit (a size is a whole number with B, KiB, "
        "MiB, GiB, TiB, kB, MB, GB or TB, like 64KiB)"}},
      {minimal("memory_limit: 1KiB\n"),
       {"c.yaml:3:15: error: memory_limit: `1KiB` is out of range (from 8MiB to 64GiB)"}},
      {minimal("memory_limit:\n"),
       {"c.yaml:3:1: error: memory_limit has no value (give a value, remove the key, or quote "
        "text)"}},
      {minimal("memory_limit: ~\n"),
       {"c.yaml:3:15: error: memory_limit is `~` (give a value, remove the key, or quote text)"}},
      {minimal("memory_limit: [1MiB]\n"),
       {"c.yaml:3:15: error: memory_limit: a single value is needed, not a list"}},
      {minimal("memory_limit: {a: b}\n"),
       {"c.yaml:3:15: error: memory_limit: a single value is needed, not a map (quote text that "
        "holds "
        "{ })"}},
      {minimal("spool: {commit_interval: 1m, allow_volatile: yes}\n"),
       {"c.yaml:3:26: error: spool.commit_interval: `1m` is out of range (from 1ms to 10s)",
        "c.yaml:3:46: error: spool.allow_volatile: `yes` is not true or false (write true or "
        "false)"}},
      {minimal("spool: {dir: on}\n"),
       {"c.yaml:3:14: error: spool.dir: `on` is a boolean to many YAML readers (quote it: "
        "\"on\")"}},
      {minimal("spool: {dir: \"\"}\n"),
       {"c.yaml:3:14: error: spool.dir is empty (give a path or remove the key)"}},
      {minimal("unrouted: quarantene\n"),
       {"c.yaml:3:11: error: unrouted: `quarantene` is not one of quarantine, drop (did you mean "
        "`quarantine`?)"}},
      {minimal("control: {sockets: /x}\n"),
       {"c.yaml:3:11: error: control: unknown key `sockets` (did you mean `socket`?)"}},
  });
}

// `d` with these keys, from line 5 on.
std::string destination(std::string_view keys) {
  return minimal("destinations:\n  d:\n    " + std::string(keys) + "\n");
}

TEST(ConfigErrors, ClientCredentials) {
  const std::string start = "endpoint: https://1.zerobus.x\n    ";
  const std::string workspace = "workspace_url: https://w\n    ";
  FakeMachine machine;
  machine.variables["S"] = "s3cr3t-q7";
  for (const auto& [keys, expected] : std::vector<Row>{
           {workspace + "auth: {client_id: a}",
            {"c.yaml:7:11: error: destinations.d.auth has client_id but no client_secret (give "
             "both)"}},
           {workspace + "auth: {client_secret: \"${env:S}\"}",
            {"c.yaml:7:11: error: destinations.d.auth has client_secret but no client_id (give "
             "both)"}},
           {workspace + "auth: {client_id: a, client_secret: \"${env:S}\", token: \"${env:S}\"}",
            {"c.yaml:7:11: error: destinations.d.auth has both a token and client credentials "
             "(keep one of them)"}},
           {"auth: {client_id: a, client_secret: \"${env:S}\"}",
            {"c.yaml:5:5: error: destinations.d.workspace_url is missing, which client_id needs "
             "(the workspace's address, like https://acme.cloud.databricks.com)"}},
           {"workspace_url: http://w\n    auth: {client_id: a, client_secret: \"${env:S}\"}",
            {"c.yaml:6:20: error: destinations.d.workspace_url: http:// would send the client "
             "secret in clear (use https://)"}},
       }) {
    EXPECT_EQ(texts(machine.load(destination(start + keys)).problems), expected) << keys;
  }
  const auto literal = machine.load(
      destination(start + workspace + "auth: {client_id: a, client_secret: open-to-all}"));
  EXPECT_EQ(texts(literal.problems),
            std::vector<std::string>{
                "c.yaml:7:41: warning: destinations.d.auth.client_secret: a secret stands in the "
                "configuration file (use ${credential:NAME}, ${file:/path} or ${env:NAME})"});
}

TEST(ConfigErrors, Destinations) {
  const std::string address = " (an address is https://host or https://host:port)";
  std::vector<Row> rows{
      {destination("type: zerobus"),
       {"c.yaml:5:5: error: destinations.d.endpoint is missing "
        "(https://WORKSPACE_ID.zerobus.REGION.cloud.databricks.com)"}},
      {destination("endpoint: https://x"),
       {"c.yaml:5:5: error: destinations.d.auth is missing (give `client_id` and `client_secret`, "
        "`token`, or `token_file`)"}},
      {destination("endpoint: http://x\n    auth: {token: \"${env:T}\", token_file: t}"),
       {"c.yaml:4:3: warning: destination `d` is disabled: environment variable T is missing or "
        "empty "
        "(set it for the service, or write the value)",
        "c.yaml:5:15: error: destinations.d.endpoint: http:// would send tokens and data in clear "
        "(use "
        "https://, or set `insecure: true`)",
        "c.yaml:6:11: error: destinations.d.auth has both token and token_file (remove one)"}},
      {destination(
           "{endpoint: \"http://localhost\", bach: {}, batch: {max_dealy: 1s}, in_flight: 64KiB}"),
       {"c.yaml:5:5: error: destinations.d: in_flight is smaller than batch.max_size (a full batch "
        "has "
        "to fit: raise in_flight)",
        "c.yaml:5:36: error: destinations.d: unknown key `bach` (did you mean `batch`?)",
        "c.yaml:5:54: error: destinations.d.batch: unknown key `max_dealy` (did you mean "
        "`max_delay`?)"}},
      {destination(
           "{endpoint: \"http://localhost\", backoff: {min: 5s, max: 1s}, max_rows_per_s: -1}"),
       {"c.yaml:5:45: error: destinations.d.backoff: min is larger than max (lower min or raise "
        "max)",
        "c.yaml:5:81: error: destinations.d.max_rows_per_s: `-1` is out of range (from "
        "0 to 10000000)"}},
      {destination(
           "{endpoint: \"http://localhost\", type: kafka, schema: column, workspace_url: acme}"),
       {"c.yaml:5:42: error: destinations.d.type: `kafka` is not one of zerobus",
        "c.yaml:5:57: error: destinations.d.schema: `column` is not one of none, columns, "
        "unity_catalog (did you mean `columns`?)",
        "c.yaml:5:80: error: destinations.d.workspace_url: `acme` does not start with https:// or "
        "http://" +
            address}},
      {destination("{endpoint: \"http://localhost\", schema: unity_catalog}"),
       {"c.yaml:5:44: error: destinations.d: schema: unity_catalog needs workspace_url (such as "
        "https://acme.cloud.databricks.com)"}},
      {destination("{endpoint: \"http://localhost\", encoding: proto}"),
       {"c.yaml:5:46: error: destinations.d: encoding: proto needs to know the tables (set schema: "
        "columns, or encoding: json)"}},
      {minimal("destinations: {a b: {endpoint: \"http://localhost\"}}\n"),
       {"c.yaml:3:16: error: destinations: `a b` cannot be a name (use 1 to 64 of A-Z a-z 0-9 _ . "
        "-)"}},
  };
  for (const auto& [endpoint, what] : std::vector<std::pair<std::string, std::string>>{
           {"example.com", "does not start with https:// or http://"},
           {"ftp://x", "does not start with https:// or http://"},
           {"https://", "has no host name"},
           {"https://x/path", "has a path"},
           {"https://me@x", "has a user name"},
           {"https://x:", "has no number after the last `:`"},
           {"https://x:0", "has a port that is not from 1 to 65535"},
           {"https://x:65536", "has a port that is not from 1 to 65535"},
           {"https://::1", "has no host name"},
           {"https://[::1", "has a `[` without `]`"},
           {"https://[x]", "has no IPv6 address in [ ]"},
           {"https://[::1]x", "has text after `]`"},
           {"https://a b", "has no host name"}}) {
    rows.push_back(
        {destination("endpoint: \"" + endpoint + "\""),
         {"c.yaml:5:15: error: destinations.d.endpoint: `" + endpoint + "` " + what + address}});
  }
  expect_all(rows);
}

TEST(ConfigErrors, Inputs) {
  expect_all({
      {minimal("inputs: {i: {server: x}}\n"),
       {"c.yaml:3:13: error: inputs.i.plugin is missing (such as mqtt, serial or udp)"}},
      {minimal("inputs: {i: {plugin: ../evil}}\n"),
       {"c.yaml:3:22: error: inputs.i.plugin: `../evil` cannot be a plugin (a plugin is named like "
        "mqtt)"}},
      {minimal("inputs: {i: {plugin: udp, topic: \"a/+\"}}\n"),
       {"c.yaml:3:34: error: inputs.i.topic: `a/+` holds a wildcard (this is the topic of records, "
        "not a filter: no + and #)"}},
      {minimal("inputs: {i: {plugin: udp, topic: \"${payload.x}\"}}\n"),
       {"c.yaml:3:34: error: inputs.i.topic: `${payload.x}` cannot be used here (per record only "
        "source, attr can be used here)"}},
      {minimal("inputs: {i: {plugin: udp, topic: \"${attr}\"}}\n"),
       {"c.yaml:3:34: error: inputs.i.topic: `${attr}` takes one name (such as "
        "${attr.source_ip})"}},
      {minimal("inputs: {i: {plugin: mqtt, topic: \"${attr.mqtt.content_type}\"}}\n"),
       {"c.yaml:3:35: error: inputs.i.topic: `${attr.mqtt.content_type}` takes one name (a name "
        "with dots stands in brackets: ${attr[\"mqtt.content_type\"]})"}},
      {minimal("inputs: {i: {plugin: udp, a: [x, {b: \"${topic}\"}]}}\n"),
       {"c.yaml:3:38: error: inputs.i.a[1].b: `${topic}` cannot be used here (per record there are "
        "values only in a route's table and columns and an input's topic)"}},
      {minimal("inputs: {i: {plugin: udp, enabled: on}}\n"),
       {"c.yaml:3:36: error: inputs.i.enabled: `on` is not true or false (write true or false)"}},
      {minimal("inputs:\n  - {plugin: udp}\n"),
       {"c.yaml:4:3: error: inputs: a map is needed, not a list (write its keys below it, "
        "indented)"}},
  });
}

// One route `r` with these keys after its name; they start at 4:20.
std::string route(std::string_view keys) {
  return with_destination("routes: [{name: r, " + std::string(keys) + "}]\n");
}

TEST(ConfigErrors, RouteMatchAndNames) {
  const std::string filter = " (a filter is like plant/+/state, plant/{line}/state or plant/#)";
  std::vector<Row> rows{
      {with_destination("routes: [{}]\n"),
       {"c.yaml:4:10: error: routes[0].name is missing (the identity of this route in the spool)",
        "c.yaml:4:10: error: routes[0].match is missing (say which records: match: {topic: "
        "\"plant/#\"})",
        "c.yaml:4:10: error: routes[0].table is missing (catalog.schema.table)"}},
      {route("match: {}, table: a.b.c"),
       {"c.yaml:4:27: error: routes[0].match needs topic or input (topic: \"#\" matches "
        "everything)"}},
      {route("match: {topik: x, topic: y}, table: a.b.c"),
       {"c.yaml:4:28: error: routes[0].match: unknown key `topik` (did you mean `topic`?)"}},
      {minimal(
           "destinations: {d: {endpoint: \"http://localhost\"}}\ninputs: {plc: {plugin: mqtt}}\n"
           "routes: [{name: r, match: {input: pcl}, table: a.b.c}]\n"),
       {"c.yaml:5:35: error: routes[0].match.input: there is no input `pcl` (did you mean "
        "`plc`?)"}},
      {route("match: {topic: x}, table: a.b.c, destination: e"),
       {"c.yaml:4:66: error: routes[0].destination: there is no destination `e` (known here: d)"}},
      {minimal("routes: [{name: r, match: {topic: x}, table: a.b.c}]\n"),
       {"c.yaml:3:10: error: routes[0].destination is missing (configure one under destinations)"}},
      {minimal(
           "destinations: {d: {endpoint: \"http://localhost\"}, e: {endpoint: \"http://[::1]\"}}\n"
           "routes: [{name: r, match: {topic: x}, table: a.b.c}]\n"),
       {"c.yaml:4:10: error: routes[0].destination is missing (there are several: name one here or "
        "in "
        "route_defaults)"}},
      {with_destination("routes:\n- {name: r, match: {topic: x}, table: a.b.c}\n"
                        "- {name: r, match: {topic: y}, table: a.b.c}\n"),
       {"c.yaml:6:10: error: routes[1].name: `r` is taken by another route (first at c.yaml:5:3; "
        "give "
        "each route its own name)"}},
      {with_destination("routes: [{name: a/b, match: {topic: x}, table: a.b.c}]\n"),
       {"c.yaml:4:17: error: routes[0].name: `a/b` cannot be a name (use 1 to 64 of A-Z a-z 0-9 _ "
        ". "
        "-)"}},
      {with_destination("routes: {name: a}\n"),
       {"c.yaml:4:9: error: routes: a list is needed, not a map (write [a, b], or one element per "
        "line "
        "after `- `)"}},
      {with_destination("route_defaults: {table: a.b.c, destination: x}\n"),
       {"c.yaml:4:18: error: route_defaults: unknown key `table` (known here: format, max_tables, "
        "unknown_fields, overflow, max_age, commit_interval)",
        "c.yaml:4:45: error: route_defaults.destination: there is no destination `x` (known here: "
        "d)"}},
  };
  for (const auto& [topic, what] : std::vector<std::pair<std::string, std::string>>{
           {"a/#/b", "`#` has to be the last level"},
           {"a/b#", "`+` and `#` have to be whole levels, between slashes"},
           {"a/b+/c", "`+` and `#` have to be whole levels, between slashes"},
           {"a/x{line}", "{name} has to be a whole level, between slashes"},
           {"a/{line", "{name} has to be a whole level, between slashes"},
           {"a/{}", "{name} takes letters, digits and _ between the braces"},
           {"a/{1x}", "{name} takes letters, digits and _ between the braces"},
           {"a/{x}/{x}", "a {name} stands twice"}}) {
    rows.push_back(
        {route("match: {topic: \"" + topic + "\"}, table: a.b.c"),
         {"c.yaml:4:35: error: routes[0].match.topic: `" + topic + "` " + what + filter}});
  }
  expect_all(rows);
}

TEST(ConfigErrors, RouteTables) {
  const std::string table = " (a table is catalog.schema.table with A-Z a-z 0-9 _)";
  std::vector<Row> rows{
      {route("match: {topic: \"p/{line}\"}, table: \"a.b.${topic.lnie}\""),
       {"c.yaml:4:55: error: routes[0].table: `${topic.lnie}` names no level of match.topic (did "
        "you "
        "mean `line`?)"}},
      {route("match: {topic: \"p/q\"}, table: \"a.b.c${topic[2]}\""),
       {"c.yaml:4:50: error: routes[0].table: `${topic[2]}` is beyond the levels of match.topic "
        "(the "
        "last level is ${topic[1]})"}},
      {route("match: {topic: \"p/q\"}, table: \"a.b.${topic}\""),
       {"c.yaml:4:50: error: routes[0].table: `${topic}` takes one level (write ${topic[0]} or "
        "${topic.name})"}},
      {route("match: {topic: \"p/q\"}, table: \"a.b.${meta.seq}\""),
       {"c.yaml:4:50: error: routes[0].table: `${meta.seq}` cannot be used here (per record only "
        "topic, "
        "source, attr, payload can be used here)"}},
      {route("match: {topic: \"p/q\"}, table: \"a.b.c_${source.x}\""),
       {"c.yaml:4:50: error: routes[0].table: `${source.x}` takes no path (write ${source})"}},
  };
  for (const auto& [name, what] : std::vector<std::pair<std::string, std::string>>{
           {"a.b", "has 2 parts instead of 3"},
           {"a.b.c.d", "has 4 parts instead of 3"},
           {"a..c", "has an empty part"},
           {"a.b.", "has an empty part"},
           {".b.c", "has an empty part"},
           {"a.b.c-d", "holds `-`, which no table name can"},
           {"a.b.c${source} x", "holds ` `, which no table name can"}}) {
    rows.push_back({route("match: {topic: x}, table: \"" + name + "\""),
                    {"c.yaml:4:46: error: routes[0].table: `" + name + "` " + what + table}});
  }
  expect_all(rows);
}

TEST(ConfigErrors, RouteColumns) {
  const auto column = [](std::string_view column_text) {
    return route("match: {topic: x}, table: a.b.c,\n columns: {c: " + std::string(column_text) +
                 "}");
  };
  expect_all({
      {column("{as: double}"),
       {"c.yaml:5:15: error: routes[0].columns.c.from is missing (such as \"${payload.c}\")"}},
      {column("{from: x, as: int64}"),
       {"c.yaml:5:29: error: routes[0].columns.c.as: `int64` is not a type to cast to (did you "
        "mean "
        "`int`?)"}},
      {column("{from: x, as: \"decimal(39,0)\"}"),
       {"c.yaml:5:29: error: routes[0].columns.c.as: `decimal(39,0)` is not a type to cast to (did "
        "you "
        "mean `decimal(p,s)`?)"}},
      {column("{from: x, as: int, unit: ms}"),
       {"c.yaml:5:34: error: routes[0].columns.c: unit goes with `as: timestamp` or `as: date` "
        "(remove "
        "it, or say what to cast to)"}},
      {column("{from: x, on_error: ignore, unti: ms}"),
       {"c.yaml:5:35: error: routes[0].columns.c.on_error: `ignore` is not one of reject, null",
        "c.yaml:5:43: error: routes[0].columns.c: unknown key `unti` (did you mean `unit`?)"}},
      {column("{from: x, default: on}"),
       {"c.yaml:5:34: error: routes[0].columns.c.default: `on` is a boolean to many YAML readers "
        "(write true or false, or quote it: \"on\")"}},
      {column("{from: x, default: [1]}"),
       {"c.yaml:5:34: error: routes[0].columns.c.default: a single value is needed, not a list"}},
      {column("\"${meta.sequence}\""),
       {"c.yaml:5:15: error: routes[0].columns.c: `${meta.sequence}` is not known (known here: "
        "origin, "
        "seq, sub, agent_id, epoch, lane, source, topic, received_at, time_quality)"}},
      {column("\"${payload.a\""),
       {"c.yaml:5:15: error: routes[0].columns.c: `${` at 0 is not closed by `}`; write `$${` for "
        "the "
        "text `${`"}},
      {column("no"),
       {"c.yaml:5:15: error: routes[0].columns.c: `no` is a boolean to many YAML readers (quote "
        "it: "
        "\"no\")"}},
      {route("match: {topic: x}, table: a.b.c, columns: {a-b: x, no: y}"),
       {"c.yaml:4:63: error: routes[0].columns: `a-b` cannot be a name (a column has 1 to 255 of "
        "A-Z "
        "a-z 0-9 _)",
        "c.yaml:4:71: error: routes[0].columns: `no` is a boolean to many YAML readers (quote it: "
        "\"no\")"}},
      {route("match: {topic: x}, table: a.b.c, columns: {}"),
       {"c.yaml:4:53: error: routes[0].columns is empty (name columns, or remove the key to match "
        "fields by name)"}},
      {route("match: {topic: x}, table: a.b.c, format: raw"),
       {"c.yaml:4:10: error: routes[0]: format raw needs columns (such as columns: {payload: "
        "\"${payload}\"})"}},
      {route("match: {topic: x}, table: a.b.c, format: raw, columns: {c: \"${payload.x}\"}"),
       {"c.yaml:4:76: error: routes[0]: column `c` takes a field, but a raw payload has none (use "
        "\"${payload}\", or format: json)"}},
      {minimal("destinations: {d: {endpoint: \"http://localhost\", schema: columns}}\n"
               "routes: [{name: r, match: {topic: x}, table: a.b.c}]\n"),
       {"c.yaml:4:10: error: routes[0]: columns is missing, and destination `d` has schema: "
        "columns "
        "(name the columns, or set schema: none there)"}},
  });
}

TEST(ConfigErrors, AllMistakesComeAtOnceInTheOrderOfTheFile) {
  const auto loaded = FakeMachine{}.load(
      "version: 1\n"
      "agnet: {id: x}\n"
      "memory_limit: 48\n"
      "spool: {max_size: 2GB, max_size: 3GB, min_fre: 1MiB}\n"
      "destinations: {d: {endpoint: nowhere}}\n"
      "inputs: {i: {plugin: mqtt, topic: \"${topic}\"}}\n"
      "routes:\n"
      "  - {name: a, match: {topic: \"a#\"}, table: x}\n"
      "  - {name: a, match: {input: j}, table: a.b.c, destination: c}\n"
      "unrouted: maybe\n");
  std::vector<std::string> places;
  for (const auto& problem : loaded.problems) {
    EXPECT_FALSE(problem.warning);
    places.push_back(to_string(problem.at));
  }
  EXPECT_EQ(places, (std::vector<std::string>{
                        "c.yaml:1:1",    // agent.id is missing
                        "c.yaml:2:1",    // agnet
                        "c.yaml:3:15",   // no unit
                        "c.yaml:4:24",   // twice
                        "c.yaml:4:39",   // min_fre
                        "c.yaml:5:30",   // endpoint
                        "c.yaml:6:35",   // ${topic} in an input
                        "c.yaml:8:30",   // filter
                        "c.yaml:8:44",   // table
                        "c.yaml:9:12",   // name taken
                        "c.yaml:9:30",   // no such input
                        "c.yaml:9:61",   // no such destination
                        "c.yaml:10:11",  // unrouted
                    }));
}

}  // namespace
}  // namespace penstock::config
