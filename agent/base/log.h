// Log: one line per change of state, never one per record. Thin face over spdlog, which only this
// module includes.
//
// Copies share one sink; any thread may log. Lines go to standard error, where journald reads them.
// A Log made by Log::none() swallows everything, for tests.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace spdlog {
class logger;
}

namespace penstock {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class Log {
 public:
  static Log to_stderr(LogLevel level);
  static Log none();

  // The same sink with a name in front of every line: "mqtt/plc".
  Log named(std::string_view name) const;

  template <class... A>
  void debug(fmt::format_string<A...> format, A&&... args) const {
    write(LogLevel::kDebug, fmt::format(format, std::forward<A>(args)...));
  }
  template <class... A>
  void info(fmt::format_string<A...> format, A&&... args) const {
    write(LogLevel::kInfo, fmt::format(format, std::forward<A>(args)...));
  }
  template <class... A>
  void warning(fmt::format_string<A...> format, A&&... args) const {
    write(LogLevel::kWarning, fmt::format(format, std::forward<A>(args)...));
  }
  template <class... A>
  void error(fmt::format_string<A...> format, A&&... args) const {
    write(LogLevel::kError, fmt::format(format, std::forward<A>(args)...));
  }
  void write(LogLevel level, std::string_view line) const;

 private:
  explicit Log(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  std::shared_ptr<spdlog::logger> logger_;  // null: log nothing
};

}  // namespace penstock
