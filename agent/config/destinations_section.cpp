#include "agent/base/secret.h"
#include "agent/config/endpoint.h"
#include "agent/config/sections.h"

namespace penstock::config {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr uint64_t kMostBatchBytes = 8 * kMiB;  // the service takes messages of at most 10 MiB

void note_unavailable(const Secret& secret, Destination& out) {
  if (!secret.configured() || secret.available || !out.disabled.empty()) return;
  out.disabled = secret.source + " is missing or empty";
}

// The content of a file as a secret, under the rules of secret_of().
Secret secret_from_file(const std::filesystem::path& path, const Environment& environment) {
  Secret secret;
  secret.file = path;
  return reread(secret, {}, environment);
}

// OAuth client credentials, for which the workspace is asked.
void read_client(Reader& destination, Reader& auth, Destination& out) {
  Context& context = destination.context();
  set(out.auth.client_id, auth.secret("client_id", true));
  set(out.auth.client_secret, auth.secret("client_secret"));
  const bool id = auth.has("client_id");
  const bool secret = auth.has("client_secret");
  if (!id && !secret) return;
  if (id != secret) {
    context.error(auth.at(),
                  auth.path() + " has " + (id ? "client_id" : "client_secret") + " but no " +
                      (id ? "client_secret" : "client_id"),
                  "give both");
  }
  if (auth.has("token") || auth.has("token_file")) {
    context.error(auth.at(), auth.path() + " has both a token and client credentials",
                  "keep one of them");
  }
  if (!destination.has("workspace_url")) {
    context.error(destination.at(),
                  destination.path() + ".workspace_url is missing, which client_id needs",
                  "the workspace's address, like https://acme.cloud.databricks.com");
  }
}

// One that short is a mistake; and it could not be kept out of logs without masking ordinary text.
void check_length(Reader& auth, std::string_view key, const Secret& secret) {
  if (secret.value.empty() || secret.value.size() >= kShortestSecretBytes) return;
  auth.context().error(auth.at(),
                       auth.path() + "." + std::string(key) + ": the value from " + secret.source +
                           " is too short to be a secret: " + std::to_string(secret.value.size()) +
                           " characters",
                       "at least " + std::to_string(kShortestSecretBytes) +
                           "; is it the right file, variable or credential?");
}

void read_auth(Reader& destination, Destination& out) {
  Context& context = destination.context();
  Reader auth = destination.map("auth");
  set(out.auth.token, auth.secret("token"));
  if (const auto file = auth.file_path("token_file")) {
    out.auth.token_file = *file;
    if (auth.has("token")) {
      context.error(auth.at(), auth.path() + " has both token and token_file", "remove one");
    } else {
      out.auth.token = secret_from_file(*file, context.environment);
    }
  }
  read_client(destination, auth, out);
  const bool local = !out.endpoint.tls() && is_loopback(out.endpoint.host);
  const bool given = auth.has("token") || auth.has("token_file") || auth.has("client_id") ||
                     auth.has("client_secret");
  if (!given && !local && !out.endpoint.host.empty()) {
    context.error(auth.at(), auth.path() + " is missing",
                  "give `client_id` and `client_secret`, `token`, or `token_file`");
  }
  if (!local) {
    for (const auto& [key, secret] : {std::pair("token", &out.auth.token),
                                      std::pair("client_secret", &out.auth.client_secret)}) {
      check_length(auth, key, *secret);
    }
  }
  auth.finish();
  for (const Secret* secret : {&out.auth.token, &out.auth.client_id, &out.auth.client_secret}) {
    note_unavailable(*secret, out);
  }
  if (!out.disabled.empty()) {
    context.warn(out.at, "destination " + quote(out.name) + " is disabled: " + out.disabled,
                 missing_hint(out.disabled, context.environment));
  }
}

// An http(s) address under `key`.
std::optional<Endpoint> read_address(Reader& reader, std::string_view key) {
  const auto text = reader.text(key);
  if (!text) return {};
  auto endpoint = parse_endpoint(*text);
  if (endpoint) return *std::move(endpoint);
  const auto value = reader.get(key);
  reader.context().error(
      value->node->at,
      value->path + ": " + quote(value->node->written) + " " + endpoint.error().what,
      "an address is https://host or https://host:port");
  return {};
}

void read_workspace(Reader& destination, Destination& out) {
  const auto workspace = read_address(destination, "workspace_url");
  if (!workspace) return;
  if (!workspace->tls() && !is_loopback(workspace->host)) {
    const auto value = destination.get("workspace_url");
    destination.context().error(value->node->at,
                                value->path + ": http:// would send the client secret in clear",
                                "use https://");
  }
  out.workspace_url = destination.text("workspace_url").value_or("");
}

void read_endpoint(Reader& destination, Destination& out) {
  destination.require("endpoint", "https://WORKSPACE_ID.zerobus.REGION.cloud.databricks.com");
  set(out.insecure, destination.flag("insecure"));
  set(out.endpoint, read_address(destination, "endpoint"));
  const bool in_clear = !out.endpoint.host.empty() && !out.endpoint.tls();
  if (in_clear && !is_loopback(out.endpoint.host) && !out.insecure) {
    const auto value = destination.get("endpoint");
    destination.context().error(value->node->at,
                                value->path + ": http:// would send tokens and data in clear",
                                "use https://, or set `insecure: true`");
  }
  read_workspace(destination, out);
}

void read_tls(Reader& destination, Destination& out) {
  Reader tls = destination.map("tls");
  set(out.tls_ca, tls.file_path("ca"));
  // Known, so that they are refused as reserved instead of unknown.
  tls.text("cert");
  tls.text("key");
  tls.finish();
}

void read_batch(Reader& destination, Destination& out) {
  Reader batch = destination.map("batch");
  set(out.batch.max_delay, batch.duration("max_delay", Millis(1), seconds(60)));
  set(out.batch.max_size_bytes, batch.size("max_size", kKiB, kMostBatchBytes));
  set(out.batch.max_records, batch.count("max_records", 1, 100'000));
  batch.finish();
  set(out.in_flight_bytes, destination.size("in_flight", 64 * kKiB, kGiB));
  if (out.in_flight_bytes < out.batch.max_size_bytes) {
    destination.context().error(destination.at(),
                                destination.path() + ": in_flight is smaller than batch.max_size",
                                "a full batch has to fit: raise in_flight");
  }
  set(out.max_rows_per_s, destination.count("max_rows_per_s", 0, 10'000'000));
  set(out.max_streams, destination.count("max_streams", 0, 100'000));
  set(out.stream_idle_close, destination.duration("stream_idle_close", seconds(1), hours(24)));
}

void read_backoff(Reader& destination, Destination& out) {
  Reader backoff = destination.map("backoff");
  set(out.backoff.min, backoff.duration("min", Millis(10), hours(1)));
  set(out.backoff.max, backoff.duration("max", Millis(10), hours(1)));
  set(out.backoff.held, backoff.duration("held", seconds(1), hours(24)));
  if (out.backoff.min > out.backoff.max) {
    backoff.context().error(backoff.at(), backoff.path() + ": min is larger than max",
                            "lower min or raise max");
  }
  backoff.finish();
}

// Protobuf rows need the types of the columns.
void check_encoding(Reader& destination, const Destination& out) {
  if (out.encoding != Encoding::kProto || out.schema != Schema::kNone) return;
  destination.context().error(destination.get("encoding")->node->at,
                              destination.path() + ": encoding: proto needs to know the tables",
                              "set schema: columns, or encoding: json");
}

void check_catalog(Reader& destination, const Destination& out) {
  if (out.schema != Schema::kUnityCatalog || !out.workspace_url.empty()) return;
  if (destination.has("workspace_url")) return;  // wrong, and that is said already
  destination.context().error(destination.get("schema")->node->at,
                              destination.path() + ": schema: unity_catalog needs workspace_url",
                              "such as https://acme.cloud.databricks.com");
}

Destination read_destination(const Named& value, Context& context) {
  Destination out;
  out.name = value.key;
  out.at = value.key_at;
  Reader reader(value, context);
  enum class Type { kZerobus };
  reader.word<Type>("type", {{"zerobus", Type::kZerobus}});
  read_endpoint(reader, out);
  read_auth(reader, out);
  read_tls(reader, out);
  set(out.proxy, reader.text("proxy"));
  set(out.encoding, reader.word<Encoding>("encoding", {{"auto", Encoding::kAuto},
                                                       {"json", Encoding::kJson},
                                                       {"proto", Encoding::kProto}}));
  set(out.schema, reader.word<Schema>("schema", {{"none", Schema::kNone},
                                                 {"columns", Schema::kColumns},
                                                 {"unity_catalog", Schema::kUnityCatalog}}));
  check_encoding(reader, out);
  check_catalog(reader, out);
  read_batch(reader, out);
  read_backoff(reader, out);
  reader.finish();
  return out;
}

}  // namespace

std::vector<Destination> read_destinations(Reader& root) {
  std::vector<Destination> out;
  for (const auto& value : root.named_entries("destinations", is_name, kNameHint)) {
    out.push_back(read_destination(value, root.context()));
  }
  return out;
}

}  // namespace penstock::config
