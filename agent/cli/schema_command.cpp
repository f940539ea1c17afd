#include "agent/cli/schema_command.h"

#include <cstdio>
#include <future>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "agent/app/compose.h"
#include "agent/app/table_schemas.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/schema_version.h"
#include "agent/codec/table_fit.h"
#include "agent/codec/table_text.h"
#include "agent/config/config.h"
#include "agent/config/table_name.h"

namespace penstock::cli {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int failed(const Error& error, int code) {
  std::fprintf(stderr, "%s\n", error.what.c_str());
  return code;
}

Error usage(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

Result<config::Config> load(const std::filesystem::path& file) {
  auto loaded = config::load_file(file, config::system_environment());
  if (loaded.ok()) return std::move(loaded.config);
  std::string text;
  for (const auto& problem : loaded.problems) text += to_string(problem) + "\n";
  return usage(text + file.string() + " is not in order; see `penstock check`");
}

// A route that writes to the table, and where that is.
struct Subject {
  const config::Config& config;
  const config::Route& route;
  const config::Destination& destination;
};

// The route named, or those that write to `table`, or the only one there is.
std::vector<const config::Route*> routes_meant(const config::Config& config,
                                               const std::string& name, const std::string& table) {
  std::vector<const config::Route*> found;
  for (const auto& route : config.routes) {
    if (name.empty() ? route.table == table : route.name == name) found.push_back(&route);
  }
  if (found.empty() && name.empty() && config.routes.size() == 1)
    found.push_back(&config.routes.front());
  return found;
}

Error not_clear(const config::Config& config, const std::string& name, const std::string& table) {
  std::string names;
  for (const auto& route : config.routes) names += (names.empty() ? "" : ", ") + route.name;
  return usage((name.empty() ? "which route writes to " + table + " is not clear; say --route NAME"
                             : "there is no route " + name) +
               " (routes: " + names + ")");
}

// At least one.
Result<std::vector<Subject>> subjects(const config::Config& config, const std::string& name,
                                      const std::string& table) {
  if (table.find('$') != std::string::npos || !config::check_table_template(table))
    return usage(table + " is no table; write catalog.schema.table, of A-Z a-z 0-9 _");
  std::vector<Subject> found;
  for (const auto* route : routes_meant(config, name, table)) {
    const auto* destination = config.destination(route->destination);
    if (!destination) return usage("route " + route->name + " has no destination");
    found.push_back({config, *route, *destination});
  }
  if (found.empty()) return not_clear(config, name, table);
  return found;
}

// The one that is meant.
Result<Subject> subject(const config::Config& config, const std::string& name,
                        const std::string& table) {
  auto found = subjects(config, name, table);
  if (!found) return std::move(found).error();
  if (found->size() > 1) return not_clear(config, name, table);
  return found->front();
}

void print_warnings(const codec::UnityTable& table) {
  for (const auto& warning : table.warnings) std::fprintf(stderr, "note: %s\n", warning.c_str());
}

// The table as the route's columns describe it.
Result<codec::TableSchema> table_of_columns(const Subject& subject) {
  const auto spec = app::encoder_spec(subject.config, subject.route);
  if (!spec) return spec.error();
  if (spec->columns.empty()) {
    return usage("route " + subject.route.name +
                 " names no columns, so nothing is known of its table; set schema: unity_catalog, "
                 "or give it columns");
  }
  return codec::schema_of_columns(spec->columns);
}

// The table by the destination's `schema`, without a network. `planned`: one that is not there yet
// will do.
Result<codec::TableSchema> known_table(const Subject& subject, const std::string& table,
                                       bool planned) {
  if (subject.destination.schema != config::Schema::kUnityCatalog) return table_of_columns(subject);
  auto kept = app::kept_schema(subject.config, subject.destination, table);
  if (kept) {
    print_warnings(*kept);
    return std::move(kept->schema);
  }
  if (!planned) return std::move(kept).error();
  auto described = table_of_columns(subject);
  if (!described) {
    return usage(kept.error().what + ", or, if it does not exist, give the columns of route " +
                 subject.route.name + " types (as): " + described.error().what);
  }
  std::fprintf(
      stderr,
      "note: nothing is known of %s yet; this is what the columns of route %s say, and the "
      "columns that name each record\n",
      table.c_str(), subject.route.name.c_str());
  return codec::with_identity(*std::move(described));
}

// What the lanes of a route make rows with while the table is like this.
Result<codec::RowEncoder> encoder_of(const Subject& subject, const codec::TableSchema& table) {
  return subject.destination.schema == config::Schema::kUnityCatalog
             ? app::make_encoder(subject.config, subject.route, table)
             : app::make_encoder(subject.config, subject.route);
}

Result<void> show(const Subject& subject, const std::string& name) {
  const auto table = known_table(subject, name, false);
  if (!table) return table.error();
  std::printf("route: %s\n", subject.route.name.c_str());
  std::fputs(codec::mapping_text(*table).c_str(), stdout);
  const auto encoder = encoder_of(subject, *table);
  if (!encoder) return encoder.error();
  const auto version = codec::schema_version(encoder->descriptor());
  if (version.empty()) {
    std::puts("schema: none, rows are JSON");
    return {};
  }
  std::string base64;
  codec::append_base64(encoder->descriptor(), base64);
  std::printf("schema: %s\ndescriptor: %s\n", version.c_str(), base64.c_str());
  return {};
}

}  // namespace

SchemaCommand::SchemaCommand(CLI::App& app, std::string version) : version_(std::move(version)) {
  auto* schema =
      app.add_subcommand("schema", "Tables: their columns and how rows are made for them");
  schema->require_subcommand(1);
  fetch_ = schema->add_subcommand("fetch", "Ask the workspace for a table, keep and show it");
  show_ = schema->add_subcommand(
      "show", "Show columns, and the schema and descriptor of each route's rows");
  sql_ = schema->add_subcommand("sql", "Print CREATE TABLE and the grants that writing needs");
  for (auto* command : {fetch_, show_, sql_}) {
    command->add_option("-c,--config", config_, "Configuration file")->capture_default_str();
    command->add_option("table", table_, "catalog.schema.table")->required();
    command->add_option("--route", route_, "The route that writes to it, when that is not clear");
  }
  sql_->add_option("--principal", principal_, "Application id of the service principal");
}

std::optional<int> SchemaCommand::run() const {
  if (*fetch_) return fetch();
  if (*show_) return show();
  if (*sql_) return sql();
  return std::nullopt;
}

int SchemaCommand::fetch() const {
  const auto config = load(config_);
  if (!config) return failed(config.error(), kExitUsage);
  const auto subject = cli::subject(*config, route_, table_);
  if (!subject) return failed(subject.error(), kExitUsage);
  const auto& destination = subject->destination;
  if (destination.workspace_url.empty()) {
    return failed(usage("destination " + destination.name + " has no workspace_url"), kExitUsage);
  }
  std::promise<Result<codec::UnityTable>> promise;  // outlives what keeps it
  auto tables = app::TableSchemas::start(*config, destination, "penstock/" + version_, Log::none());
  if (!tables) return failed(tables.error(), kExitFailed);
  (*tables)->ask(table_,
                 [&](Result<codec::UnityTable> answer) { promise.set_value(std::move(answer)); });
  const auto table = promise.get_future().get();  // bounded by the HTTP client's timeout
  if (!table) return failed(table.error(), kExitFailed);
  print_warnings(*table);
  if (const auto& spool = config->spool.dir; !std::filesystem::exists(spool)) {
    std::fprintf(stderr,
                 "note: not kept: there is no spool in %s yet, the agent makes it at its first "
                 "start\n",
                 spool.c_str());
  }
  std::fputs(codec::mapping_text(table->schema).c_str(), stdout);
  return 0;
}

int SchemaCommand::show() const {
  const auto config = load(config_);
  if (!config) return failed(config.error(), kExitUsage);
  const auto subjects = cli::subjects(*config, route_, table_);
  if (!subjects) return failed(subjects.error(), kExitUsage);
  int code = 0;
  for (const auto& subject : *subjects) {
    if (auto shown = cli::show(subject, table_); !shown) code = failed(shown.error(), kExitUsage);
  }
  return code;
}

int SchemaCommand::sql() const {
  const auto config = load(config_);
  if (!config) return failed(config.error(), kExitUsage);
  const auto subject = cli::subject(*config, route_, table_);
  if (!subject) return failed(subject.error(), kExitUsage);
  const auto table = known_table(*subject, table_, true);
  if (!table) return failed(table.error(), kExitUsage);
  std::fputs(codec::create_table_sql(*table, table_, principal_).c_str(), stdout);
  return 0;
}

}  // namespace penstock::cli
