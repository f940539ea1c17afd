#include "agent/host/plan.h"

#include <algorithm>

namespace penstock::host {

Result<PluginLibrary> PluginCatalog::load(const std::string& plugin) {
  if (!crashes_) return find_plugin(dir_, plugin);
  if (auto why = crashes_->left_out(plugin)) return Error{ErrorKind::kDenied, *std::move(why), {}};
  crashes_->loading(plugin);
  auto library = find_plugin(dir_, plugin);
  crashes_->loaded(plugin,
                   library ? reinterpret_cast<const void*>(library->descriptor().create) : nullptr);
  return library;
}

Result<const PluginLibrary*> PluginCatalog::get(const std::string& plugin) {
  auto known = loaded_.find(plugin);
  if (known == loaded_.end()) known = loaded_.emplace(plugin, load(plugin)).first;
  if (!known->second) return known->second.error();
  return &*known->second;
}

std::vector<PlannedInput> plan_inputs(const config::Config& config, PluginCatalog& catalog,
                                      std::vector<config::Problem>& problems) {
  std::vector<PlannedInput> plan;
  for (const auto& input : config.inputs) {
    if (!input.enabled) continue;
    PlannedInput planned;
    planned.input = &input;
    planned.failure = input.disabled;
    if (auto library = catalog.get(input.plugin); !library) {
      planned.failure = library.error().what;
    } else {
      const size_t before = problems.size();
      planned.values =
          config::check_options(input.options, (*library)->options(), input.plugin, problems);
      planned.secrets = SecretReader(planned.values, config.agent);
      planned.complete =
          std::none_of(problems.begin() + static_cast<std::ptrdiff_t>(before), problems.end(),
                       [](const auto& problem) { return !problem.warning; });
      if (planned.failure.empty()) planned.library = *library;
    }
    plan.push_back(std::move(planned));
  }
  return plan;
}

}  // namespace penstock::host
