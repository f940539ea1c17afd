#include "agent/app/launch.h"

#include <algorithm>
#include <cstdio>

#include <spdlog/fmt/fmt.h>

#include "agent/app/run.h"

namespace penstock::app {
namespace {

std::string count_of_errors(const std::vector<config::Problem>& problems) {
  const auto errors = std::count_if(problems.begin(), problems.end(),
                                    [](const auto& problem) { return !problem.warning; });
  return fmt::format("{} error{}", errors, errors == 1 ? "" : "s");
}

void print(const std::vector<config::Problem>& problems) {
  for (const auto& problem : problems) std::fprintf(stderr, "%s\n", to_string(problem).c_str());
}

// Without them the agent runs all the same.
std::unique_ptr<host::CrashNotes> open_crash_notes(const config::Loaded& loaded) {
  if (!loaded.ok()) return nullptr;
  auto notes = host::CrashNotes::open(loaded.config.spool.dir);
  return notes ? *std::move(notes) : nullptr;
}

// Reads and checks the file, and the plugins with it.
void load(Launch& out, const std::filesystem::path& config_file, const AgentSettings& settings,
          const config::Environment& environment) {
  out.crashes.reset();  // one at a time
  out.loaded = config::load_file(config_file, environment);
  out.crashes = open_crash_notes(out.loaded);  // before any plugin is loaded
  out.tolerated = check_loaded(out.loaded, settings.plugin_dir, true, out.crashes.get());
}

// The files to fall back to; none when they are those of `now`, word by word, and none when what is
// kept is another agent's.
std::vector<config::SourceFile> files_to_fall_back_to(const LastGood& last_good,
                                                      const std::filesystem::path& config_file,
                                                      const std::vector<config::SourceFile>& now,
                                                      const Log& log) {
  auto files = last_good.sources();
  if (!files) {
    log.error("there is no last good configuration to fall back to: {}", files.error().what);
    return {};
  }
  if (files->empty()) return {};
  if (files->front().path != config_file.lexically_normal()) {
    log.error("the last good configuration that is kept is not of {}, but of {}: not used",
              config_file.string(), files->front().path.string());
    return {};
  }
  const auto same = [](const auto& a, const auto& b) {
    return a.path == b.path && a.text == b.text;
  };
  if (std::equal(files->begin(), files->end(), now.begin(), now.end(), same)) return {};
  return *std::move(files);
}

// Null on failure, which is worth a restart.
std::unique_ptr<Agent> start_agent(const Launch& launch, AgentSettings settings, Error& failure) {
  const auto& loaded = launch.loaded;
  settings.crashes = launch.crashes.get();
  const Log log = log_of(loaded);
  // Inputs that can wait do; a restart would help nothing.
  const auto on_fault = [log](const Error& error) {
    log.error("nothing can be written to the spool, trying again every second: {}", error.what);
  };
  for (const auto& problem : loaded.problems) log.warning("{}", to_string(problem));
  log.info("penstock {} as {}, spool {}", settings.version, loaded.config.agent.id,
           loaded.config.spool.dir.string());
  auto agent = std::make_unique<Agent>(loaded.config, std::move(settings), on_fault, log);
  if (auto started = agent->start(); !started) {
    failure = std::move(started).error();
    return nullptr;
  }
  return agent;
}

// A full disk, or a spool that is still in use, passes: the next start is to be with the new
// configuration.
bool is_of_the_configuration(const Error& failure) {
  return failure.kind != ErrorKind::kFull && failure.kind != ErrorKind::kTransient;
}

// Why not to run on it instead of a configuration that could be used in part (`whole`), or not at
// all.
const config::Problem* flaw(const Launch& old, bool whole) {
  const auto& problems = old.loaded.problems;
  const auto error = std::find_if(problems.begin(), problems.end(),
                                  [](const auto& problem) { return !problem.warning; });
  if (error != problems.end()) return &*error;
  return whole && !old.tolerated.problems.empty() ? &old.tolerated.problems.front() : nullptr;
}

// What falling back is about.
struct Fall {
  const std::filesystem::path& config_file;
  std::string why;
  bool whole = false;  // only to what has no flaw itself
};

// False when there is nothing to fall back to; else `out` has it, and it was said.
bool fall_back(Launch& out, Fall fall, const LastGood& last_good, const AgentSettings& settings) {
  const Log log = log_of(out.loaded);
  auto files = files_to_fall_back_to(last_good, fall.config_file, out.loaded.sources, log);
  if (files.empty()) return false;
  const auto main_file = files.front().path;
  Launch old;
  out.crashes.reset();
  load(old, main_file, settings, with_files(config::system_environment(), std::move(files)));
  if (const auto* problem = flaw(old, fall.whole)) {
    log.error("the last good configuration does not work any more either: {}", to_string(*problem));
    return false;
  }
  out = std::move(old);
  out.instead_of = std::move(fall.why);
  log.error(
      "ALARM: {}; running on the last good configuration, of {}. Mend the file (`penstock check` "
      "lists what is wrong) and restart",
      out.instead_of, last_good.saved_at());
  return true;
}

// The present configuration can be used, but for inputs that their plugins refuse.
void prefer_last_good(Launch& out, const std::filesystem::path& config_file,
                      const LastGood& last_good, const AgentSettings& settings) {
  const auto refused = out.tolerated.problems;
  auto why = fmt::format("{} has {}", config_file.string(), count_of_errors(refused));
  if (fall_back(out, {config_file, std::move(why), true}, last_good, settings)) {
    print(refused);
  } else if (!out.crashes) {
    out.crashes = open_crash_notes(out.loaded);
  }
}

}  // namespace

Log log_of(const config::Loaded& loaded) {
  return Log::to_stderr(loaded.ok() ? loaded.config.agent.level : LogLevel::kInfo).named("agent");
}

Launch launch(const std::filesystem::path& config_file, const AgentSettings& settings,
              const LastGood& last_good) {
  Launch out;
  load(out, config_file, settings, config::system_environment());
  if (!out.loaded.ok()) {
    print(out.loaded.problems);
    auto why = fmt::format("{} has {}", config_file.string(), count_of_errors(out.loaded.problems));
    if (!fall_back(out, {config_file, std::move(why)}, last_good, settings)) {
      log_of(out.loaded)
          .error(
              "the configuration cannot be used; nothing was started. `penstock check` shows "
              "the same list");
      out.exit_code = kExitConfig;
      return out;
    }
  } else if (!out.tolerated.problems.empty()) {
    prefer_last_good(out, config_file, last_good, settings);
  }
  Error failure;
  out.agent = start_agent(out, settings, failure);
  if (!out.agent && out.instead_of.empty() && is_of_the_configuration(failure)) {
    auto why =
        fmt::format("the agent does not start with {}: {}", config_file.string(), failure.what);
    if (fall_back(out, {config_file, std::move(why)}, last_good, settings))
      out.agent = start_agent(out, settings, failure);
  }
  if (!out.agent) {
    log_of(out.loaded).error("not started: {}", failure.what);
    out.exit_code = kExitFailure;
  }
  return out;
}

}  // namespace penstock::app
