#include "agent/app/check.h"

#include <algorithm>
#include <limits>
#include <set>

#include "agent/app/compose.h"
#include "agent/host/instance.h"
#include "agent/host/plan.h"
#include "agent/intake/no_sink.h"
#include "agent/zerobus/ca_file.h"

namespace penstock::app {

namespace {

constexpr Millis kDestroyLimit{3000};

// What the plugin itself finds wrong: an instance is made and thrown away. create() does no I/O by
// contract.
std::optional<config::Problem> check_input(const host::PlannedInput& planned,
                                           const config::Config& config) {
  if (!planned.library) {
    if (planned.failure == planned.input->disabled) return {};
    return config::Problem{planned.input->at, planned.failure, ""};
  }
  if (!planned.complete) return {};
  intake::NoSink sink;
  auto trial = host::Instance::create(*planned.library, planned.input->id, config.agent.id,
                                      planned.values, 0, sink, Log::none());
  if (!trial) return config::Problem{planned.input->at, trial.error().what, ""};
  if (host::Instance::discard(*std::move(trial), std::chrono::steady_clock::now() + kDestroyLimit))
    return {};
  return config::Problem{planned.input->at,
                         fmt::format("input {}: its plugin {} does not return from destroy",
                                     planned.input->id, planned.input->plugin),
                         ""};
}

// What keeps streams and tokens from a destination now and may not later, so that it disables
// nothing at start: its CA file; and the environment's proxies, which need not be the agent's own.
void check_destination(const config::Destination& destination, bool tolerate,
                       std::vector<config::Problem>& problems) {
  const auto add = [&](const std::string& what, bool warning) {
    problems.push_back(
        {destination.at, "destinations." + destination.name + ": " + what, "", warning});
  };
  if (!destination.tls_ca.empty()) {
    if (auto ca = zerobus::read_ca_file(destination.tls_ca.string()); !ca)
      add(ca.error().what, tolerate);
  }
  if (!destination.proxy.empty()) return;  // a problem of the configuration
  std::set<std::string> said;
  const auto check_proxy = [&](const std::string& host, zerobus::ProxyUse use) {
    auto proxy = zerobus::proxy_for(host, "", use, config::system_environment().env);
    if (!proxy && said.insert(proxy.error().what).second) add(proxy.error().what, true);
  };
  check_proxy(destination.endpoint.host, zerobus::ProxyUse::kStreams);
  if (auto workspace = zerobus::parse_endpoint(destination.workspace_url); workspace)
    check_proxy(workspace->host, zerobus::ProxyUse::kRequests);
}

// The next route's position, or the end of everything.
config::Position end_of(const config::Config& config, size_t route) {
  if (route + 1 < config.routes.size()) return config.routes[route + 1].at;
  return {config.routes[route].at.file, std::numeric_limits<int>::max(), 0};
}

// The modules' own findings, but for routes that have a problem already: that would say the same
// twice.
void check_routes(config::Loaded& loaded) {
  const auto& config = loaded.config;
  std::vector<config::Problem> found;
  check_composition(config, found);
  for (auto& problem : found) {
    const bool known =
        std::any_of(loaded.problems.begin(), loaded.problems.end(), [&](const auto& other) {
          for (size_t i = 0; i < config.routes.size(); ++i) {
            if (config.routes[i].at == problem.at)
              return other.at >= problem.at && other.at < end_of(config, i);
          }
          return false;
        });
    if (!known) loaded.problems.push_back(std::move(problem));
  }
}

}  // namespace

Tolerated check_loaded(config::Loaded& loaded, const std::filesystem::path& plugin_dir,
                       bool tolerate_plugins, host::CrashNotes* crashes) {
  Tolerated tolerated;
  host::PluginCatalog catalog(plugin_dir, crashes);
  for (const auto& planned : host::plan_inputs(loaded.config, catalog, loaded.problems)) {
    auto problem = check_input(planned, loaded.config);
    if (!problem) continue;
    if (tolerate_plugins) {
      const bool left_out = crashes && crashes->left_out(planned.input->plugin);
      if (!left_out) tolerated.problems.push_back(*problem);
      tolerated.left_out = tolerated.left_out || left_out;
    }
    problem->warning = tolerate_plugins;
    loaded.problems.push_back(*std::move(problem));
  }
  for (const auto& destination : loaded.config.destinations)
    check_destination(destination, tolerate_plugins, loaded.problems);
  check_routes(loaded);
  std::stable_sort(loaded.problems.begin(), loaded.problems.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return tolerated;
}

}  // namespace penstock::app
