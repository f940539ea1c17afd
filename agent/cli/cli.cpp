#include "agent/cli/cli.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "agent/app/check.h"
#include "agent/app/run.h"
#include "agent/cli/audit_command.h"
#include "agent/cli/plugins_command.h"
#include "agent/cli/quarantine_command.h"
#include "agent/cli/schema_command.h"
#include "agent/cli/spool_command.h"

namespace penstock::cli {
namespace {

constexpr int kExitUsage = 2;

struct Common {
  std::filesystem::path config = "/etc/penstock/penstock.yaml";
  std::filesystem::path plugin_dir = PENSTOCK_PLUGIN_DIR;
};

void add_common(CLI::App& command, Common& common) {
  command.add_option("-c,--config", common.config, "Configuration file")->capture_default_str();
  command.add_option("--plugin-dir", common.plugin_dir, "Where the input plugins are")
      ->capture_default_str();
}

// Nothing when run by hand: the service's copy is not to be replaced by what someone tries out.
std::filesystem::path default_state_dir() {
  const char* given = std::getenv("STATE_DIRECTORY");  // systemd's, of StateDirectory=
  return given != nullptr ? given : "";
}

std::filesystem::path runtime_dir() {
  const char* given = std::getenv("RUNTIME_DIRECTORY");  // systemd's; by hand there is none
  return given != nullptr ? given : "";
}

int check(const Common& common) {
  auto loaded = config::load_file(common.config, config::system_environment());
  app::check_loaded(loaded, common.plugin_dir, false);
  for (const auto& problem : loaded.problems)
    std::fprintf(stderr, "%s\n", to_string(problem).c_str());
  const auto errors = std::count_if(loaded.problems.begin(), loaded.problems.end(),
                                    [](const auto& problem) { return !problem.warning; });
  if (errors) {
    std::fprintf(stderr, "%s: %ld error%s\n", common.config.c_str(), static_cast<long>(errors),
                 errors == 1 ? "" : "s");
    return kExitUsage;
  }
  std::printf("%s: fine (%zu inputs, %zu routes, %zu destinations)\n", common.config.c_str(),
              loaded.config.inputs.size(), loaded.config.routes.size(),
              loaded.config.destinations.size());
  return 0;
}

}  // namespace

int run(int argc, char** argv) { return run(argc, argv, {}); }

int run(int argc, char** argv, app::AgentSettings settings) {
  CLI::App app("Penstock: durable store-and-forward agent for gateways", "penstock");
  app.require_subcommand(1);
  Common common;
  auto* run_command =
      app.add_subcommand("run", "Collect, store and forward until stopped (SIGTERM)");
  auto* check_command = app.add_subcommand(
      "check", "List everything wrong with a configuration; exit 2 if anything is");
  auto* version_command = app.add_subcommand("version", "Print the version");
  const SpoolCommand spool(app);
  const QuarantineCommand quarantine(app);
  const AuditCommand audit(app);
  const SchemaCommand schema(app, PENSTOCK_VERSION);
  const PluginsCommand plugins(app, common.plugin_dir);
  add_common(*run_command, common);
  std::filesystem::path state_dir = default_state_dir();
  run_command
      ->add_option("--state-dir", state_dir,
                   "Where the last configuration that worked is kept; nowhere if it does not exist")
      ->default_str("$STATE_DIRECTORY, else nowhere");
  add_common(*check_command, common);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (*version_command) {
    std::printf("penstock %s\n", PENSTOCK_VERSION);
    return 0;
  }
  if (*check_command) return check(common);
  if (const auto code = spool.run()) return *code;
  if (const auto code = quarantine.run()) return *code;
  if (const auto code = audit.run()) return *code;
  if (const auto code = schema.run()) return *code;
  if (const auto code = plugins.run()) return *code;
  settings.plugin_dir = common.plugin_dir;
  settings.state_dir = state_dir;
  settings.runtime_dir = runtime_dir();
  settings.version = PENSTOCK_VERSION;
  return app::run_agent(common.config, settings);
}

}  // namespace penstock::cli
