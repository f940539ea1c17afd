#include "tests/support/agent_process.h"

namespace penstock::test {

void AgentProcess::start() {
  process_.reset();
  process_ = std::make_unique<Process>(
      ProcessSpec{{setup_.binary.string(), "run", "--config", setup_.config.string(),
                   "--plugin-dir", setup_.plugin_dir.string()},
                  setup_.env,
                  setup_.log});
}

bool AgentProcess::wait_ready(Millis within) { return wait_for_log("agent ready", within); }

bool AgentProcess::wait_for_log(std::string_view text, Millis within) {
  return process_ && process_->wait_for_line(text, within).has_value();
}

void AgentProcess::kill_now() {
  if (process_) process_->kill_now();
}

std::optional<int> AgentProcess::stop(Millis within) {
  if (!process_) return std::nullopt;
  const auto code = process_->terminate(within);
  if (!code) process_->kill_now();
  return code;
}

}  // namespace penstock::test
