#include "agent/app/table_schemas.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "agent/app/destinations.h"
#include "agent/app/secret_source.h"
#include "agent/base/whole_file.h"

namespace penstock::app {
namespace {

constexpr std::chrono::minutes kFreshFor{10};
constexpr std::chrono::minutes kStaleFor{1};
constexpr Millis kPatience{30'000};  // of a person who asks

std::optional<std::string> content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::filesystem::path schema_folder(const config::Config& config,
                                    const config::Destination& destination) {
  return config.spool.dir / "schemas" / destination.name;
}

zerobus::TableCatalog::Credentials credentials_of(const config::Destination& destination,
                                                  const config::Agent& agent) {
  zerobus::TableCatalog::Credentials credentials;
  if (destination.auth.client_id.configured()) {
    credentials.client = oauth_client(destination, agent);
  } else {
    const auto source = std::make_shared<SecretSource>(destination.auth.token, agent);
    credentials.token = [source](bool fresh) { return source->get(fresh); };
  }
  return credentials;
}

}  // namespace

Result<codec::UnityTable> kept_schema(const config::Config& config,
                                      const config::Destination& destination,
                                      const std::string& table) {
  const auto kept = content_of(schema_folder(config, destination) / (table + ".json"));
  if (kept) return codec::parse_unity_table(*kept);
  return Error{ErrorKind::kDenied,
               "nothing is known of " + table + " yet; run `penstock schema fetch " + table + "`",
               {}};
}

Result<std::shared_ptr<TableSchemas>> TableSchemas::start(const config::Config& config,
                                                          const config::Destination& destination,
                                                          const std::string& user_agent, Log log,
                                                          Limits limits) {
  auto http = workspace_options(destination, user_agent);
  if (!http) return std::move(http).error();
  auto catalog = zerobus::TableCatalog::start(destination.workspace_url, *std::move(http),
                                              credentials_of(destination, config.agent));
  if (!catalog) return std::move(catalog).error();
  std::shared_ptr<TableSchemas> schemas(
      new TableSchemas(schema_folder(config, destination), std::move(log), limits));
  schemas->catalog_ = *std::move(catalog);
  return schemas;
}

void TableSchemas::get(const std::string& table, bool fresh, Done done) {
  std::optional<codec::UnityTable> usable;
  bool known = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(table);
    known = found != known_.end();
    if (known && !fresh && read_clock().mono < found->second.usable_until)
      usable = found->second.table;
  }
  if (usable) return done(*std::move(usable));
  std::error_code ignored;
  known = known || std::filesystem::exists(file_of(table), ignored);
  ask(table, known ? limits_.known : limits_.unknown,
      [this, table, done = std::move(done)](Result<codec::UnityTable> asked) {
        done(asked ? std::move(asked) : last_known(table, asked.error()));
      });
}

void TableSchemas::ask(const std::string& table, Done done) {
  ask(table, kPatience, std::move(done));
}

void TableSchemas::ask(const std::string& table, Millis limit, Done done) {
  catalog_->get(table, limit, [this, table, done = std::move(done)](Result<std::string> body) {
    if (!body) return done(std::move(body).error());
    auto learned = learn(table, *std::move(body));
    done(learned ? std::move(learned) : std::move(learned).error().in("table " + table));
  });
}

Result<codec::UnityTable> TableSchemas::learn(const std::string& table, std::string body) {
  auto read = codec::parse_unity_table(body);
  if (!read) return read;
  const std::lock_guard lock(mutex_);
  auto& known = known_[table];
  const bool changed = known.body != body;
  if (changed) {
    for (const auto& warning : read->warnings) log_.warning("table {}: {}", table, warning);
    // A start after a power cut reads it.
    std::error_code ignored;
    std::filesystem::create_directories(dir_, ignored);
    if (auto kept = write_whole_file(file_of(table), body, 0640); !kept)
      log_.warning("the schema of {} cannot be kept: {}", table, kept.error().what);
  }
  known = {*read, std::move(body), read_clock().mono + kFreshFor, false};
  return read;
}

Result<codec::UnityTable> TableSchemas::last_known(const std::string& table, const Error& why) {
  const std::lock_guard lock(mutex_);
  auto& known = known_[table];
  if (known.body.empty()) {
    const auto kept = content_of(file_of(table));
    auto read = kept ? codec::parse_unity_table(*kept) : Result<codec::UnityTable>(why);
    if (!read) {
      known_.erase(table);
      return why;
    }
    known.table = *std::move(read);
    known.body = *kept;
  }
  known.usable_until = read_clock().mono + kStaleFor;
  if (!std::exchange(known.said_stale, true)) {
    log_.warning("{}; going on with the schema known last", why.what);
  }
  return known.table;
}

// Table names are checked by the route: letters, digits, `_` and dots.
std::filesystem::path TableSchemas::file_of(const std::string& table) const {
  return dir_ / (table + ".json");
}

}  // namespace penstock::app
