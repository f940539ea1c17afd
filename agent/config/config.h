// The configuration as typed values: all of it checked, so that whoever reads a Config need not
// check again.
//
// load_file and load_text touch the world only through the Environment they are given. They never
// throw and always return every problem found, sorted by position; `config` is meaningful only when
// ok(). Any thread, no state kept. Units: names ending in _bytes are bytes, Millis are
// milliseconds. The language itself: conf/penstock.yaml.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/config/node.h"

namespace penstock::config {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

// A value nobody may print. Never log `value` or `text`; `source` is made for messages.
struct Secret {
  std::string value;      // without one trailing newline
  bool available = true;  // false: `source` could not be read; what needs it stays disabled
  std::string source;     // "credential zb_token", "the configuration file"; empty: not configured
  std::string text;       // as written, for reread()
  std::filesystem::path folder;  // where relative ${file:...} in `text` start
  std::filesystem::path file;    // not empty: the value is this file's content (token_file)

  bool configured() const { return !source.empty(); }
};

struct Agent {
  std::string id;  // [A-Za-z0-9_.-]{1,64}
  std::map<std::string, std::string> labels;
  LogLevel level = LogLevel::kInfo;
  Millis repeat_every = std::chrono::minutes(15);
};

// A share of the spool: bytes or a percentage of its max_size. Exactly one is set.
struct Quota {
  std::optional<uint64_t> bytes;
  std::optional<double> percent;  // (0, 100]
};

struct Spool {
  std::filesystem::path dir = "/var/lib/penstock/spool";
  std::optional<uint64_t> max_size_bytes;  // unset: min(2 GiB, 25 % of the filesystem)
  std::optional<uint64_t> min_free_bytes;  // unset: max(512 MiB, 10 % of the filesystem)
  Millis commit_interval{50};
  Quota quarantine{.bytes = std::nullopt, .percent = 5.0};
  bool allow_volatile = false;
};

struct Endpoint {
  std::string scheme;  // "https" or "http"
  std::string host;    // name or address; IPv6 without brackets
  uint16_t port = 443;

  bool tls() const { return scheme == "https"; }
  std::string host_port() const;  // "[::1]:8080"
  bool operator==(const Endpoint&) const = default;
};

// `token` holds the value whether it was given as `token` or `token_file`.
struct Auth {
  Secret token;
  std::filesystem::path token_file;  // empty: the token was given in place
  Secret client_id;
  Secret client_secret;
};

enum class Encoding { kAuto, kJson, kProto };  // kAuto: kProto where the types are known
enum class Schema { kNone, kColumns, kUnityCatalog };

struct Batch {
  Millis max_delay{200};
  uint64_t max_size_bytes = 256 * kKiB;
  uint64_t max_records = 1000;
};

struct BackoffLimits {
  Millis min{500};
  Millis max{60'000};
  Millis held{300'000};  // between tries of a lane that waits for a person
};

struct Destination {
  std::string name;
  Endpoint endpoint;
  std::string workspace_url;  // empty: not given
  Auth auth;
  std::filesystem::path tls_ca;  // empty: the system's store
  std::string proxy;  // http://[user:password@]host:port, "none"; empty: as the environment says
  Encoding encoding = Encoding::kAuto;
  Schema schema = Schema::kNone;
  Batch batch;
  uint64_t in_flight_bytes = 4 * kMiB;  // per lane
  uint64_t max_rows_per_s = 15'000;     // per stream; 0: unlimited
  Millis stream_idle_close{120'000};
  uint64_t max_streams = 256;  // open at a time, over all tables; 0: unlimited
  BackoffLimits backoff;
  bool insecure = false;  // http:// to other machines is wanted
  std::string
      disabled;  // not empty: cannot be used now, and why ("credential zb_token is missing")
  Position at;
};

struct Input {
  std::string id;
  std::string plugin;
  std::string topic;  // expression over ${attr...} and ${source}; empty: the plugin names the topic
  bool enabled = true;
  Node options;  // a map of the keys that belong to the plugin, load-time references resolved
  std::string disabled;  // not empty: cannot be started now, and why
  Position at;
};

enum class OnError { kReject, kNull };

struct Column {
  std::string name;
  std::string from;  // expression, load-time references resolved
  std::string as;    // cast as written: "decimal(10,2)"; empty: as it comes
  std::string unit;  // of a timestamp or date: s, ms, us, ns, iso, auto; empty: not given
  OnError on_error = OnError::kReject;
  std::optional<std::string> default_json;  // one JSON value, used when `from` finds nothing
  bool nullable = true;                     // false: NOT NULL in the table
  bool nullable_stated = false;             // else the above is only assumed
  Position at;
};

enum class Format { kJson, kRaw };
enum class UnknownFields { kReject, kIgnore, kRescue };
enum class OverflowPolicy { kBlock, kDropOldest, kDropNewest };
enum class Unrouted { kQuarantine, kDrop };

struct Overflow {
  std::optional<OverflowPolicy> policy;  // unset: block, or drop_oldest where no source can wait
  std::optional<double> max_share_percent;
};

// `route_defaults` is already merged in.
struct Route {
  std::string name;
  std::vector<std::string> renamed_from;
  std::string topic;  // MQTT filter, a level may be {name}; "#" when only `input` was given
  std::string input;  // id of the only input that may match; empty: any
  std::string table;  // expression over ${topic...} and ${source}: three parts
  uint64_t max_tables = 256;
  Format format = Format::kJson;
  std::vector<Column> columns;  // in the order written; empty: by name against the table
  UnknownFields unknown_fields = UnknownFields::kReject;
  Overflow overflow;
  std::optional<Millis> max_age;          // unset: no limit
  std::optional<Millis> commit_interval;  // unset: the spool's
  std::string destination;                // name; exists in Config::destinations
  Position at;
};

struct Control {
  std::filesystem::path socket = "/run/penstock/control.sock";
  std::string listen;  // empty: no TCP listener
};

struct Config {
  Agent agent;
  uint64_t memory_limit_bytes = 48 * kMiB;
  Spool spool;
  std::vector<Destination> destinations;
  std::vector<Input> inputs;
  std::vector<Route> routes;  // first match wins
  Unrouted unrouted = Unrouted::kQuarantine;
  Control control;

  const Destination* destination(std::string_view name) const;
  const Input* input(std::string_view id) const;
};

// All that loading may ask of the machine. Functions must not throw.
struct Environment {
  std::function<std::optional<std::string>(std::string_view name)> env;
  std::function<Result<std::string>(const std::filesystem::path&)> read_file;
  // Files matching a pattern with * and ? (absolute or relative to the working directory), sorted
  // by name. kDenied, naming it, when a folder on the way is there and cannot be read: what is in
  // it must not pass for nothing.
  std::function<Result<std::vector<std::filesystem::path>>(const std::filesystem::path& pattern)>
      find_files;
  std::optional<std::filesystem::path> credentials_dir;  // systemd's $CREDENTIALS_DIRECTORY
  std::string host_name;  // the agent's id where the file gives none; empty: it has to
};

// The machine we run on. Reads at most 4 MiB of a file.
Environment system_environment();

struct SourceFile {
  std::filesystem::path path;
  std::string text;
};

struct Loaded {
  Config config;
  std::vector<Problem> problems;
  std::vector<SourceFile> sources;  // what was read: the file and all it includes

  bool ok() const;  // no problem but warnings
};

// Relative paths in a file (includes, spool.dir, tls.ca, token_file, ${file:...}) start at the
// folder of that file.
Loaded load_file(const std::filesystem::path& path, const Environment& environment);
// `file` names the text in messages; `base_dir` is where its relative paths start.
Loaded load_text(std::string_view text, const std::string& file,
                 const std::filesystem::path& base_dir, const Environment& environment);

// The same secret, read again: after an authentication failed, or when it was missing. Any thread.
Secret reread(const Secret& secret, const Agent& agent, const Environment& environment);

}  // namespace penstock::config
