// The dispatcher of an instance: its calls into the plugin, from create to destroy, in order.
#include <array>

#include "agent/host/instance.h"
#include "agent/host/native_values.h"

namespace penstock::host {
namespace {

constexpr Millis kRoomRepeat{250};

}  // namespace

void Instance::dispatch() {
  if (!call_create()) return;
  serve();
  look_at_losses(true);
  plugin_.destroy(plugin_instance_);
  const std::lock_guard lock(mutex_);
  life_ = Life::kDestroyed;
  changed_.notify_all();
}

bool Instance::call_create() {
  const auto native = native_values(values_);
  std::array<char, 1024> reason{};
  void* made = nullptr;
  const bool failed = plugin_.create(&functions_, native.data(), native.size(), &made,
                                     reason.data(), reason.size()) != 0;
  reason.back() = '\0';
  values_ = {};
  const std::lock_guard lock(mutex_);
  life_ = failed || !made ? Life::kRefused : Life::kAlive;
  if (life_ == Life::kAlive) {
    plugin_instance_ = made;
  } else {
    refusal_ = reason.data();
  }
  changed_.notify_all();
  return life_ == Life::kAlive;
}

bool Instance::call_start() {
  std::array<char, 1024> reason{};
  if (plugin_.start(plugin_instance_, reason.data(), reason.size()) == 0) return true;
  reason.back() = '\0';
  set_state(InstanceState::kFailed, fmt::format("it did not start: {}", reason.data()));
  return false;
}

void Instance::serve() {
  const auto begin = std::chrono::steady_clock::now();
  next_loss_look_ = begin + limits_.loss_look;
  next_loss_report_ = begin + limits_.loss_report;
  std::unique_lock lock(mutex_);
  for (;;) {
    const Round round = next_round();
    if (round.any()) {
      lock.unlock();
      perform(round);
      lock.lock();
      note_done(round);
    } else if (end_wanted_) {
      return;
    } else if (room_due()) {
      changed_.wait_until(lock, std::min(next_room_, next_loss_look_));
    } else {
      next_room_ = {};
      changed_.wait_until(lock, next_loss_look_);
    }
  }
}

// With mutex_ held.
Instance::Round Instance::next_round() {
  const auto now = std::chrono::steady_clock::now();
  Round round;
  round.start = start_wanted_ && !started_ && !stop_wanted_;
  round.durable = started_ && durable_ > durable_told_;
  round.up_to = durable_;
  round.room = room_due() && now >= next_room_;
  round.quiesce = quiesce_wanted_ && !quiesce_told_;
  round.stop = stop_wanted_ && !stop_told_;
  round.losses = now >= next_loss_look_;
  return round;
}

// The order matters: a watermark goes before stop, so that the plugin can flush what it covers.
// on_room is repeated until the plugin emits again: the first call may come before the plugin has
// looked at the FULL that its emit returned.
void Instance::perform(const Round& round) {
  if (round.start) {
    started_ = call_start();
    stop_told_ = !started_;
  }
  if (round.durable) plugin_.on_durable(plugin_instance_, durable_told_ = round.up_to);
  if (round.room) {
    next_room_ = std::chrono::steady_clock::now() + kRoomRepeat;
    plugin_.on_room(plugin_instance_);
  }
  if (round.quiesce) {
    quiesce_told_ = true;
    if (started_) plugin_.quiesce(plugin_instance_);
  }
  if (round.stop) {
    stop_told_ = true;
    if (started_) {
      plugin_.stop(plugin_instance_);
    } else {
      set_state(InstanceState::kStopped, "");
    }
  }
  if (round.losses) {
    const auto now = std::chrono::steady_clock::now();
    const bool say = now >= next_loss_report_;
    next_loss_look_ = now + limits_.loss_look;
    if (say) next_loss_report_ = now + limits_.loss_report;
    look_at_losses(say);
  }
}

// With mutex_ held.
void Instance::note_done(const Round& round) {
  if (round.start) start_wanted_ = false;
  quiesced_ = quiesce_told_;
  stop_returned_ = stop_told_;
  if (round.quiesce || round.stop || stop_told_) changed_.notify_all();
}

void Instance::look_at_losses(bool say) {
  LossCounts now;
  for (const auto& stat : read_stats()) {
    if (stat.loss) now.emplace_back(stat.name, stat.value);
  }
  losses_.look(now, say);
}

std::vector<penstock_stat> Instance::read_stats() const {
  if (!plugin_.stats) return {};
  std::vector<penstock_stat> stats(64);
  for (auto& stat : stats) stat.struct_size = sizeof stat;
  const size_t count = plugin_.stats(plugin_instance_, stats.data(), stats.size());
  stats.resize(std::min(count, stats.size()));
  std::erase_if(stats, [](const auto& stat) { return !stat.name; });
  return stats;
}

}  // namespace penstock::host
