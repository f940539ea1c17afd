#include "agent/app/check.h"

#include <algorithm>

#include "agent/app/compose.h"
#include "agent/host/plan.h"

namespace penstock::app {

config::Loaded check_config(const std::filesystem::path& file,
                            const std::filesystem::path& plugin_dir, bool tolerate_plugins) {
  auto loaded = config::load_file(file, config::system_environment());
  host::PluginCatalog catalog(plugin_dir);
  for (const auto& planned : host::plan_inputs(loaded.config, catalog, loaded.problems)) {
    if (!planned.library && planned.failure != planned.input->disabled) {
      loaded.problems.push_back({planned.input->at, planned.failure, "", tolerate_plugins});
    }
  }
  if (loaded.ok() || !loaded.config.routes.empty())
    check_composition(loaded.config, loaded.problems);
  std::stable_sort(loaded.problems.begin(), loaded.problems.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return loaded;
}

}  // namespace penstock::app
