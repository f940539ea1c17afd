#include "agent/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace penstock {
namespace {

spdlog::level::level_enum native(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

Log Log::to_stderr(LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>("penstock",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(native(level));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %n: %v");
  logger->flush_on(spdlog::level::debug);
  return Log(std::move(logger));
}

Log Log::none() { return Log(nullptr); }

Log Log::named(std::string_view name) const {
  return logger_ ? Log(logger_->clone(std::string(name))) : Log(nullptr);
}

void Log::write(LogLevel level, std::string_view line) const {
  if (logger_) logger_->log(native(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace penstock
