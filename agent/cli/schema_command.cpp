#include "agent/cli/schema_command.h"

#include <cstdio>
#include <future>
#include <utility>

#include <CLI/CLI.hpp>

#include "agent/app/compose.h"
#include "agent/app/table_schemas.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/row_descriptor.h"
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

// The route named, or the only one that can mean `table`.
Result<const config::Route*> find_route(const config::Config& config, const std::string& name,
                                        const std::string& table) {
  std::string names;
  const config::Route* found = nullptr;
  size_t matches = 0;
  for (const auto& route : config.routes) {
    names += (names.empty() ? "" : ", ") + route.name;
    const bool meant = name.empty() ? route.table == table : route.name == name;
    if (!meant) continue;
    found = &route;
    ++matches;
  }
  if (matches == 1) return found;
  if (name.empty() && config.routes.size() == 1) return &config.routes.front();
  return usage((name.empty() ? "which route writes to " + table + " is not clear; say --route NAME"
                             : "there is no route " + name) +
               " (routes: " + names + ")");
}

struct Subject {
  config::Config config;
  const config::Route* route = nullptr;
  const config::Destination* destination = nullptr;
};

// The configuration and what is meant in it. `subject` stays where it is: its members point into
// it.
Result<void> load(const std::filesystem::path& file, const std::string& route,
                  const std::string& table, Subject& subject) {
  if (table.find('$') != std::string::npos || !config::check_table_template(table)) {
    return usage(table + " is no table; write catalog.schema.table, of A-Z a-z 0-9 _");
  }
  auto loaded = config::load_file(file, config::system_environment());
  if (!loaded.ok()) {
    std::string text;
    for (const auto& problem : loaded.problems) text += to_string(problem) + "\n";
    return usage(text + file.string() + " is not in order; see `penstock check`");
  }
  subject.config = std::move(loaded.config);
  auto found = find_route(subject.config, route, table);
  if (!found) return std::move(found).error();
  subject.route = *found;
  subject.destination = subject.config.destination(subject.route->destination);
  if (!subject.destination) return usage("route " + subject.route->name + " has no destination");
  return {};
}

void print_warnings(const codec::UnityTable& table) {
  for (const auto& warning : table.warnings) std::fprintf(stderr, "note: %s\n", warning.c_str());
}

// The table as the route's columns describe it.
Result<codec::TableSchema> table_of_columns(const Subject& subject) {
  const auto spec = app::encoder_spec(subject.config, *subject.route);
  if (!spec) return spec.error();
  if (spec->columns.empty()) {
    return usage("route " + subject.route->name +
                 " names no columns, so nothing is known of its table; set schema: unity_catalog, "
                 "or give it columns");
  }
  return codec::schema_of_columns(spec->columns);
}

// The table by the destination's `schema`, without a network. `planned`: one that is not there yet
// will do.
Result<codec::TableSchema> known_table(const Subject& subject, const std::string& table,
                                       bool planned) {
  if (subject.destination->schema != config::Schema::kUnityCatalog)
    return table_of_columns(subject);
  auto kept = app::kept_schema(subject.config, *subject.destination, table);
  if (kept) {
    print_warnings(*kept);
    return std::move(kept->schema);
  }
  if (!planned) return std::move(kept).error();
  auto described = table_of_columns(subject);
  if (!described) {
    return usage(kept.error().what + ", or, if it does not exist, give the columns of route " +
                 subject.route->name + " types (as): " + described.error().what);
  }
  std::fprintf(stderr,
               "note: nothing is known of %s yet; this is what the columns of route %s say\n",
               table.c_str(), subject.route->name.c_str());
  return described;
}

}  // namespace

SchemaCommand::SchemaCommand(CLI::App& app, std::string version) : version_(std::move(version)) {
  auto* schema =
      app.add_subcommand("schema", "Tables: their columns and how rows are made for them");
  schema->require_subcommand(1);
  fetch_ = schema->add_subcommand("fetch", "Ask the workspace for a table, keep and show it");
  show_ = schema->add_subcommand("show", "Show columns, protobuf fields and the descriptor");
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
  if (*show_) return print(false);
  if (*sql_) return print(true);
  return std::nullopt;
}

int SchemaCommand::fetch() const {
  Subject subject;
  if (auto loaded = load(config_, route_, table_, subject); !loaded) {
    return failed(loaded.error(), kExitUsage);
  }
  if (subject.destination->workspace_url.empty()) {
    return failed(usage("destination " + subject.destination->name + " has no workspace_url"),
                  kExitUsage);
  }
  std::promise<Result<codec::UnityTable>> promise;  // outlives what keeps it
  auto tables = app::TableSchemas::start(subject.config, *subject.destination,
                                         "penstock/" + version_, Log::none());
  if (!tables) return failed(tables.error(), kExitFailed);
  (*tables)->ask(table_,
                 [&](Result<codec::UnityTable> answer) { promise.set_value(std::move(answer)); });
  const auto table = promise.get_future().get();  // bounded by the HTTP client's timeout
  if (!table) return failed(table.error(), kExitFailed);
  print_warnings(*table);
  if (const auto& spool = subject.config.spool.dir; !std::filesystem::exists(spool)) {
    std::fprintf(stderr,
                 "note: not kept: there is no spool in %s yet, the agent makes it at its first "
                 "start\n",
                 spool.c_str());
  }
  std::fputs(codec::mapping_text(table->schema).c_str(), stdout);
  return 0;
}

int SchemaCommand::print(bool sql) const {
  Subject subject;
  if (auto loaded = load(config_, route_, table_, subject); !loaded) {
    return failed(loaded.error(), kExitUsage);
  }
  const auto table = known_table(subject, table_, sql);
  if (!table) return failed(table.error(), kExitUsage);
  if (sql) {
    std::fputs(codec::create_table_sql(*table, table_, principal_).c_str(), stdout);
    return 0;
  }
  std::fputs(codec::mapping_text(*table).c_str(), stdout);
  const auto descriptor = codec::row_descriptor(*table, "Row");
  if (!descriptor) return failed(descriptor.error(), kExitUsage);
  std::string base64;
  codec::append_base64(*descriptor, base64);
  std::printf("descriptor: %s\n", base64.c_str());
  return 0;
}

}  // namespace penstock::cli
