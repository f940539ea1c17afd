// What a good configuration becomes.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/support/paths.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

Loaded load_good(const FakeMachine& machine, std::string_view text) {
  auto loaded = machine.load(text);
  EXPECT_TRUE(loaded.ok()) << text;
  for (const auto& problem : loaded.problems) EXPECT_TRUE(problem.warning) << to_string(problem);
  return loaded;
}

TEST(ConfigLoad, AbsentKeysHaveTheDocumentedDefaults) {
  const Config config = load_good({}, with_destination("")).config;
  EXPECT_EQ(config.agent.id, "gw-1");
  EXPECT_EQ(config.agent.level, LogLevel::kInfo);
  EXPECT_EQ(config.agent.repeat_every, Millis(900'000));
  EXPECT_EQ(config.memory_limit_bytes, 48 * kMiB);
  EXPECT_EQ(config.spool.dir, "/var/lib/penstock/spool");
  EXPECT_FALSE(config.spool.max_size_bytes);
  EXPECT_FALSE(config.spool.min_free_bytes);
  EXPECT_EQ(config.spool.commit_interval, Millis(50));
  EXPECT_EQ(config.spool.quarantine.percent, 5.0);
  EXPECT_FALSE(config.spool.allow_volatile);
  EXPECT_EQ(config.unrouted, Unrouted::kQuarantine);
  EXPECT_EQ(config.control.socket, "/run/penstock/control.sock");
  EXPECT_EQ(config.control.listen, "");
  const Destination& d = config.destinations.at(0);
  EXPECT_EQ(d.encoding, Encoding::kAuto);
  EXPECT_EQ(d.schema, Schema::kNone);
  EXPECT_EQ(d.batch.max_delay, Millis(200));
  EXPECT_EQ(d.batch.max_size_bytes, 256 * kKiB);
  EXPECT_EQ(d.batch.max_records, 1000u);
  EXPECT_EQ(d.in_flight_bytes, 4 * kMiB);
  EXPECT_EQ(d.max_rows_per_s, 15'000u);
  EXPECT_EQ(d.stream_idle_close, Millis(120'000));
  EXPECT_EQ(d.max_streams, 256u);
  EXPECT_EQ(d.proxy, "");
  EXPECT_EQ(d.backoff.min, Millis(500));
  EXPECT_EQ(d.backoff.max, Millis(60'000));
  EXPECT_EQ(d.backoff.held, Millis(300'000));
  EXPECT_FALSE(d.insecure);
}

// Every key that is supported, with another value than its default.
constexpr std::string_view kEverything = R"yaml(version: 1
agent: {id: "gw.2", labels: {site: ber1, n: 7}, log: {level: debug, repeat_every: 1m}}
memory_limit: 64MiB
spool: {dir: q, max_size: 1GiB, min_free: 0B, commit_interval: 20ms, allow_volatile: true, quarantine: {max_size: 64MiB}}
destinations:
  a:
    type: zerobus
    endpoint: https://[2001:db8::1]:8443/
    workspace_url: https://acme.example
    auth: {token: "${env:TOKEN}"}
    tls: {ca: certs/ca.pem}
    encoding: json
    schema: columns
    batch: {max_delay: 1s, max_size: 1MiB, max_records: 5}
    in_flight: 2MiB
    max_rows_per_s: 0
    stream_idle_close: 30s
    max_streams: 8
    proxy: http://proxy:3128
    backoff: {min: 1s, max: 2s, held: 1m}
  b: {endpoint: "http://10.0.0.1", insecure: true, auth: {token: "${env:TOKEN}"}}
inputs:
  u: {plugin: udp, enabled: false, topic: "u/${attr.source_ip}", listen: 127.0.0.1:1}
route_defaults: {destination: b, unknown_fields: ignore, max_tables: 3, commit_interval: 5ms}
routes:
  - name: r1
    match: {topic: "p/{line}/+/#", input: u}
    table: "${env:CATALOG}.iot.t_${topic.line}_${topic[7]}"
    destination: a
    overflow: {policy: drop_newest, max_share: 40%}
    max_age: 7d
    columns:
      ts: {from: "${payload.t}", as: timestamp, unit: ms, on_error: null, default: null,
           nullable: false}
      d: {from: "${payload.d}", as: "decimal(10,2)", default: 1.5}
      s: {from: "x", default: "1.5"}
      at: "${label.site}/${meta.seq}"
  - {name: r2, match: {input: u}, table: a.b.c, format: raw, max_age: none, max_tables: 9,
     columns: {p: "${payload}"}}
unrouted: drop
control: {socket: ctl.sock, listen: none}
)yaml";

Config load_everything() {
  FakeMachine machine;
  machine.variables["CATALOG"] = "main";
  machine.variables["TOKEN"] = "s3cr3t-q7";
  return load_good(machine, kEverything).config;
}

TEST(ConfigLoad, EveryKeyOfTheAgentArrives) {
  const Config config = load_everything();
  EXPECT_EQ(config.agent.id, "gw.2");
  EXPECT_EQ(config.agent.labels.at("n"), "7");
  EXPECT_EQ(config.agent.level, LogLevel::kDebug);
  EXPECT_EQ(config.agent.repeat_every, Millis(60'000));
  EXPECT_EQ(config.memory_limit_bytes, 64 * kMiB);
  EXPECT_EQ(config.spool.dir, "/etc/penstock/q");
  EXPECT_EQ(config.spool.max_size_bytes, kGiB);
  EXPECT_EQ(config.spool.min_free_bytes, 0u);
  EXPECT_EQ(config.spool.commit_interval, Millis(20));
  EXPECT_TRUE(config.spool.allow_volatile);
  EXPECT_EQ(config.control.socket, "/etc/penstock/ctl.sock");
}

TEST(ConfigLoad, ClientCredentialsArriveAndAClientIdMayBeWrittenOut) {
  FakeMachine machine;
  machine.files["/credentials/zb"] = "s3cr3t-q7\n";
  const auto loaded = machine.load(minimal(R"(destinations:
  cloud:
    endpoint: https://1234.zerobus.eu-central-1.cloud.databricks.com
    workspace_url: https://acme.cloud.databricks.com
    auth: {client_id: 6f1c-app, client_secret: "${credential:zb}"}
  desk:
    endpoint: http://localhost:1
    workspace_url: http://127.0.0.1:2
    auth: {client_id: 6f1c-app, client_secret: "${credential:zb}"}
)"));
  EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{});
  const auto& auth = loaded.config.destination("cloud")->auth;
  EXPECT_EQ(auth.client_id.value, "6f1c-app");
  EXPECT_EQ(auth.client_secret.value, "s3cr3t-q7");
  EXPECT_EQ(auth.client_secret.source, "credential zb");
  EXPECT_FALSE(auth.token.configured());
  EXPECT_EQ(loaded.config.destination("desk")->workspace_url, "http://127.0.0.1:2");
}

TEST(ConfigLoad, EveryKeyOfADestinationArrives) {
  const Config config = load_everything();
  const Destination& a = *config.destination("a");
  EXPECT_EQ(a.endpoint, (Endpoint{"https", "2001:db8::1", 8443}));
  EXPECT_EQ(a.endpoint.host_port(), "[2001:db8::1]:8443");
  EXPECT_EQ(a.workspace_url, "https://acme.example");
  EXPECT_EQ(a.auth.token.value, "s3cr3t-q7");
  EXPECT_EQ(a.tls_ca, "/etc/penstock/certs/ca.pem");
  EXPECT_EQ(a.encoding, Encoding::kJson);
  EXPECT_EQ(a.schema, Schema::kColumns);
  EXPECT_EQ(a.batch.max_delay, Millis(1000));
  EXPECT_EQ(a.batch.max_size_bytes, kMiB);
  EXPECT_EQ(a.batch.max_records, 5u);
  EXPECT_EQ(a.in_flight_bytes, 2 * kMiB);
  EXPECT_EQ(a.max_rows_per_s, 0u);
  EXPECT_EQ(a.stream_idle_close, Millis(30'000));
  EXPECT_EQ(a.max_streams, 8u);
  EXPECT_EQ(a.proxy, "http://proxy:3128");
  EXPECT_EQ(a.backoff.min, Millis(1'000));
  EXPECT_EQ(a.backoff.max, Millis(2'000));
  EXPECT_EQ(a.backoff.held, Millis(60'000));
  const Destination& b = *config.destination("b");
  EXPECT_EQ(b.endpoint, (Endpoint{"http", "10.0.0.1", 80}));
  EXPECT_TRUE(b.insecure);
}

TEST(ConfigLoad, EveryKeyOfAnInputArrives) {
  const Config config = load_everything();
  const Input& u = *config.input("u");
  EXPECT_EQ(u.plugin, "udp");
  EXPECT_FALSE(u.enabled);
  EXPECT_EQ(u.topic, "u/${attr.source_ip}");
  EXPECT_EQ(u.options.entries.size(), 1u) << "the host's keys are not the plugin's";
  EXPECT_EQ(u.options.find("listen")->text, "127.0.0.1:1");
}

TEST(ConfigLoad, EveryKeyOfARouteArrives) {
  const Config config = load_everything();
  const Route& r1 = config.routes.at(0);
  EXPECT_EQ(r1.topic, "p/{line}/+/#");
  EXPECT_EQ(r1.input, "u");
  EXPECT_EQ(r1.table, "main.iot.t_${topic.line}_${topic[7]}");
  EXPECT_EQ(r1.destination, "a");
  EXPECT_EQ(r1.unknown_fields, UnknownFields::kIgnore);
  EXPECT_EQ(r1.max_tables, 3u);
  EXPECT_EQ(r1.commit_interval, Millis(5));
  EXPECT_EQ(r1.overflow.policy, OverflowPolicy::kDropNewest);
  EXPECT_EQ(r1.overflow.max_share_percent, 40.0);
  EXPECT_EQ(r1.max_age, std::chrono::hours(7 * 24));
  EXPECT_FALSE(config.routes.at(1).overflow.policy) << "what it is without is the agent's to say";
  EXPECT_EQ(config.spool.quarantine.bytes, 64 * kMiB);
  EXPECT_EQ(config.unrouted, Unrouted::kDrop);
  ASSERT_EQ(r1.columns.size(), 4u);
  EXPECT_EQ(r1.columns[0].name, "ts");
  EXPECT_EQ(r1.columns[0].as, "timestamp");
  EXPECT_EQ(r1.columns[0].unit, "ms");
  EXPECT_EQ(r1.columns[0].on_error, OnError::kNull);
  EXPECT_EQ(r1.columns[0].default_json, "null");
  EXPECT_FALSE(r1.columns[0].nullable);
  EXPECT_TRUE(r1.columns[1].nullable);
  EXPECT_EQ(r1.columns[1].as, "decimal(10,2)");
  EXPECT_EQ(r1.columns[1].default_json, "1.5");
  EXPECT_EQ(r1.columns[2].default_json, "\"1.5\"") << "what is quoted is text";
  EXPECT_EQ(r1.columns[3].from, "ber1/${meta.seq}");
  EXPECT_FALSE(r1.columns[3].default_json);
  const Route& r2 = config.routes.at(1);
  EXPECT_EQ(r2.topic, "#");
  EXPECT_EQ(r2.destination, "b");
  EXPECT_EQ(r2.format, Format::kRaw);
  EXPECT_EQ(r2.max_tables, 9u) << "the route wins over route_defaults";
  EXPECT_FALSE(r2.max_age);
}

TEST(ConfigLoad, TheOnlyDestinationNeedsNoName) {
  const Config config =
      load_good({}, with_destination("routes: [{name: r, match: {topic: x}, table: a.b.c}]"))
          .config;
  EXPECT_EQ(config.routes.at(0).destination, "d");
}

TEST(ConfigLoad, OtherPlaintextThanLoopbackHasToBeWanted) {
  FakeMachine machine;
  for (const std::string host :
       {"localhost", "127.0.0.1:9", "127.9.9.9", "[::1]:9", "a.localhost"}) {
    load_good(machine, minimal("destinations: {d: {endpoint: \"http://" + host + "\"}}"));
  }
  for (const std::string host :
       {"10.0.0.1", "example.com", "127.0.0.1.example.com", "[::2]", "0.0.0.0"}) {
    const auto loaded = machine.load(
        minimal("destinations: {d: {endpoint: \"http://" + host + "\", auth: {token: x}}}"));
    EXPECT_FALSE(loaded.ok()) << host;
  }
}

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  EXPECT_FALSE(out.str().empty()) << path;
  return out.str();
}

TEST(ConfigLoad, TheReferenceConfigurationIsClean) {
  FakeMachine machine;
  machine.files["/credentials/zb_client_secret"] = "s3cr3t-q7\n";
  const auto text = text_of_file(std::filesystem::path(test::source_dir()) / "conf/penstock.yaml");
  const auto loaded = machine.load(text);
  EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{});
  EXPECT_EQ(loaded.config.routes.size(), 3u);
  EXPECT_EQ(loaded.config.destination("prod")->auth.client_secret.value, "s3cr3t-q7");
  EXPECT_EQ(loaded.config.destination("prod")->schema, Schema::kColumns);
}

// Its comments that show other keys are good too.
TEST(ConfigLoad, TheOptionsShownInItsCommentsAreGood) {
  auto text = text_of_file(std::filesystem::path(test::source_dir()) / "conf/penstock.yaml");
  for (const std::string line : {"tls: {ca: /etc/penstock/ca.pem}", "proxy: http://proxy:8080",
                                 "username: gw", "password: ${credential:plc_mqtt}"}) {
    const size_t at = text.find("# " + line);
    ASSERT_NE(at, std::string::npos) << line;
    text.erase(at, 2);
  }
  FakeMachine machine;
  machine.files = {{"/credentials/zb_client_secret", "s3cr3t-q7"}, {"/credentials/plc_mqtt", "pw"}};
  EXPECT_EQ(texts(machine.load(text).problems), std::vector<std::string>{});
}

TEST(ConfigLoad, FilesOfThisMachineAreRead) {
  const std::filesystem::path folder = testing::TempDir() + "penstock_config_load";
  std::filesystem::create_directories(folder / "conf.d");
  std::ofstream(folder / "main.yaml") << "version: 1\nagent: {id: m}\ninclude: [conf.d/*.yaml]\n";
  std::ofstream(folder / "conf.d/b.yaml") << "memory_limit: 16MiB\n";
  std::ofstream(folder / "conf.d/ignored.txt") << "not: yaml: at all\n";
  std::filesystem::create_directories(folder / "conf.d/folder.yaml");
  const auto loaded = load_file(folder / "main.yaml", system_environment());
  EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{});
  EXPECT_EQ(loaded.config.memory_limit_bytes, 16 * kMiB);
  ASSERT_EQ(loaded.sources.size(), 2u);
  EXPECT_EQ(loaded.sources[1].path, folder / "conf.d/b.yaml");
  EXPECT_EQ(loaded.sources[1].text, "memory_limit: 16MiB\n");
  std::filesystem::remove_all(folder);

  const auto missing = load_file(folder / "main.yaml", system_environment());
  EXPECT_FALSE(missing.ok());
  const auto path = (folder / "main.yaml").string();
  EXPECT_EQ(texts(missing.problems),
            std::vector<std::string>{path + ": error: cannot be read: " + path +
                                     ": No such file or directory (check the path and who may read "
                                     "it)"});
}

// The document people learn the language from; what is not built yet is refused, by name, and
// nothing else.
TEST(ConfigLoad, OfTheWholeLanguageOnlyWhatIsNotBuiltIsRefused) {
  FakeMachine machine;
  machine.files = {{"/credentials/zb_client_id", "id"},
                   {"/credentials/zb_client_secret", "s3cr3t-q7"}};
  const auto loaded = machine.load(R"(version: 1
agent: {id: gw-0042, labels: {site: ber1}, log: {level: info, repeat_every: 15m}}
include: [conf.d/*.yaml]
memory_limit: 48MiB
spool: {dir: /s, max_size: 2GiB, quarantine: {max_size: 5%}}
destinations:
  prod:
    workspace_url: https://acme.cloud.databricks.com
    endpoint: https://1234567890123456.zerobus.eu-central-1.cloud.databricks.com
    auth: {client_id: "${credential:zb_client_id}", client_secret: "${credential:zb_client_secret}"}
    tls: {ca: /etc/penstock/ca.pem, cert: a, key: b}
    proxy: http://proxy:8080
    encoding: proto
    schema: unity_catalog
inputs:
  vib: {plugin: udp, listen: 0.0.0.0:5140}
route_defaults: {destination: prod, overflow: {policy: drop_newest, max_share: 40%}, unknown_fields: rescue, max_age: 7d}
routes:
  - {name: telemetry, renamed_from: [old], match: {topic: "plant/#"}, table: "main.iot.${payload.kind}", format: csv}
  - {name: vibration, match: {input: vib}, table: main.iot.machine, format: raw,
     columns: {payload: "${payload}"}, overflow: {policy: drop_oldest, max_share: 20%}}
is_it_last: 1
unrouted: drop
control: {socket: /run/penstock/control.sock, listen: 127.0.0.1:9}
)");
  std::vector<std::string> refused;
  std::vector<std::string> others;
  for (const auto& problem : loaded.problems) {
    const size_t at = problem.what.find("is not supported yet");
    if (at == std::string::npos) {
      others.push_back(to_string(problem));
    } else {
      refused.push_back(to_string(problem.at) + " " + problem.what.substr(0, at - 1));
    }
  }
  EXPECT_EQ(refused, (std::vector<std::string>{
                         "c.yaml:11:37 destinations.prod.tls.cert",
                         "c.yaml:11:46 destinations.prod.tls.key",
                         "c.yaml:17:102 route_defaults.unknown_fields: `rescue`",
                         "c.yaml:19:38 routes[0].renamed_from[0]",
                         "c.yaml:19:78 routes[0].table: `main.iot.${payload.kind}`",
                         "c.yaml:19:114 routes[0].format: `csv`",
                         "c.yaml:24:55 control.listen: `127.0.0.1:9`",
                     }));
  EXPECT_EQ(others, std::vector<std::string>{"c.yaml:22:1: error: unknown key `is_it_last`"});
}

TEST(ConfigLoad, EveryReservedFormatIsRefusedByName) {
  for (const std::string format :
       {"csv", "line", "cbor", "msgpack", "protobuf", "sparkplug_b", "nmea"}) {
    const auto loaded = FakeMachine{}.load(with_destination(
        "routes: [{name: r, match: {topic: x}, table: a.b.c, format: " + format + "}]"));
    ASSERT_EQ(loaded.problems.size(), 1u) << format;
    EXPECT_EQ(to_string(loaded.problems[0]), "c.yaml:4:61: error: routes[0].format: `" + format +
                                                 "` is not supported yet (use json or raw)");
  }
}

}  // namespace
}  // namespace penstock::config
