#include "agent/host/plugin_host.h"

#include <algorithm>

namespace penstock::host {

PluginHost::~PluginHost() { end_all(kDestroyLimit); }

void PluginHost::add(const PlannedInput& input, spool::SourceId source, intake::Sink& sink) {
  const auto& id = input.input->id;
  const auto log = log_.named(fmt::format("{}/{}", input.input->plugin, id));
  if (input.library) {
    const auto file = [&](const char* kind) {
      return notes_dir_.empty() ? notes_dir_ : notes_dir_ / (id + kind);
    };
    auto instance = Instance::create(*input.library, id, agent_id_, input.values, source, sink, log,
                                     {file(".note"), file(".lost"), input.secrets}, limits_);
    if (instance) {
      instances_.push_back(*std::move(instance));
      return;
    }
    failed_.push_back({id, input.input->plugin, InstanceState::kFailed, instance.error().what});
  } else {
    failed_.push_back({id, input.input->plugin, InstanceState::kFailed, input.failure});
  }
  log.error("this input is left out, the others go on: {}", failed_.back().text);
}

void PluginHost::start(Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto& instance : instances_) instance->start();
  for (auto& instance : instances_) (void)instance->wait_reported(deadline);
}

Instance* PluginHost::find(spool::SourceId source) const {
  const auto found = std::find_if(instances_.begin(), instances_.end(), [&](const auto& instance) {
    return instance->source() == source;
  });
  return found == instances_.end() ? nullptr : found->get();
}

void PluginHost::durable(spool::SourceId source, uint64_t up_to) {
  if (auto* instance = find(source)) instance->durable(up_to);
}

void PluginHost::room() {
  for (auto& instance : instances_) instance->room();
}

void PluginHost::leave_behind(std::unique_ptr<Instance>& instance, std::string_view step) {
  const auto status = instance->status();
  log_.error(
      "input {} ({}) did not finish {} in time and is left behind; records not acknowledged to its "
      "source may "
      "come again",
      status.id, status.plugin, step);
  Instance::abandon(std::move(instance));
}

void PluginHost::quiesce(Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto& instance : instances_) instance->quiesce();
  for (auto& instance : instances_) {
    const bool in_time = instance->wait_quiesced(deadline);
    if (!in_time)
      log_.warning("input {} is still reading; stopping goes on", instance->status().id);
  }
}

// The vector keeps its elements until destroy(): durable() may still be looking at it from the
// spool thread.
void PluginHost::stop(Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto& instance : instances_) instance->stop();
  for (auto& instance : instances_) (void)instance->wait_stopped(deadline);
}

void PluginHost::destroy(Millis limit) {
  const auto now = std::chrono::steady_clock::now();
  for (auto& instance : instances_) {
    if (!instance->wait_stopped(now)) leave_behind(instance, "stopping");
  }
  std::erase(instances_, nullptr);
  end_all(limit);
}

void PluginHost::end_all(Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto& instance : instances_) instance->end();
  for (auto& instance : instances_) {
    if (!instance->wait_destroyed(deadline)) leave_behind(instance, "its destroy");
  }
  instances_.clear();
}

std::vector<InstanceStatus> PluginHost::status() const {
  auto all = failed_;
  for (const auto& instance : instances_) all.push_back(instance->status());
  return all;
}

std::vector<std::tuple<std::string, std::string, uint64_t>> PluginHost::stats() const {
  std::vector<std::tuple<std::string, std::string, uint64_t>> all;
  for (const auto& instance : instances_) {
    for (const auto& [name, value] : instance->stats())
      all.emplace_back(instance->status().id, name, value);
  }
  return all;
}

}  // namespace penstock::host
