#include "agent/cli/plugins_command.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <CLI/CLI.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/plugin_docs.h"
#include "agent/config/config.h"
#include "agent/host/plugin_library.h"
#include "agent/host/plugin_trial.h"

namespace penstock::cli {
namespace {

constexpr int kExitFound = 1;
constexpr int kExitUsage = 2;

int complain(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  return kExitUsage;
}

PluginFace face_of(const host::PluginLibrary& library) {
  const auto& descriptor = library.descriptor();
  return {descriptor.name, descriptor.version, descriptor.summary ? descriptor.summary : ""};
}

// A name of the plugin directory, or a file.
Result<host::PluginLibrary> open_plugin(const std::filesystem::path& dir,
                                        const std::string& plugin) {
  const bool is_file = plugin.find('/') != plugin.npos || plugin.ends_with(".so");
  return is_file ? host::PluginLibrary::load(std::filesystem::absolute(plugin))
                 : host::find_plugin(dir, plugin);
}

// The options as a configuration would hold them, checked against the table. Empty: `problems` says
// why, or there are none.
std::vector<config::OptionValue> read_options(const host::PluginLibrary& library,
                                              const std::string& options,
                                              std::vector<config::Problem>& problems) {
  const auto text = "version: 1\nagent: {id: test}\ninputs: {test: {plugin: " + library.name() +
                    (options.empty() ? "" : ", ") + options + "}}\n";
  const auto loaded =
      config::load_text(text, "--options", std::filesystem::current_path() / "options.yaml",
                        config::system_environment());
  if (loaded.config.inputs.size() != 1) {
    problems = loaded.problems;
    return {};
  }
  return config::check_options(loaded.config.inputs.front().options, library.options(),
                               library.name(), problems);
}

int report(const host::PluginLibrary& library, const host::TrialReport& trial) {
  const auto face = face_of(library);
  for (const auto& finding : trial.findings)
    std::printf("%s: %s\n", finding.fault.c_str(), finding.text.c_str());
  for (const auto& note : trial.notes) std::printf("note: %s\n", note.c_str());
  std::printf("%s %s: %zu fault%s found, %llu records taken\n", face.name.c_str(),
              face.version.c_str(), trial.findings.size(), trial.findings.size() == 1 ? "" : "s",
              static_cast<unsigned long long>(trial.records));
  return trial.findings.empty() ? 0 : kExitFound;
}

}  // namespace

PluginsCommand::PluginsCommand(CLI::App& app, std::filesystem::path plugin_dir)
    : dir_(std::move(plugin_dir)) {
  auto* plugins = app.add_subcommand("plugins", "The inputs that are installed");
  plugins->require_subcommand(1);
  list_ = plugins->add_subcommand("ls", "List them");
  show_ = plugins->add_subcommand("show", "The options of one: text, markdown or JSON Schema");
  test_ = plugins->add_subcommand(
      "test", "Run one against the conformance kit; exit 1 if it breaks a promise");
  for (auto* command : {list_, show_, test_})
    command->add_option("--plugin-dir", dir_, "Where the input plugins are")->capture_default_str();
  for (auto* command : {show_, test_})
    command->add_option("plugin", plugin_, "A name, or a file.so")->required();
  show_->add_option("--format", format_, "text, markdown or schema")
      ->check(CLI::IsMember({"text", "markdown", "schema"}))
      ->capture_default_str();
  test_->add_option("--options", options_, "The plugin's options, as `listen: \"127.0.0.1:5140\"`");
  test_->add_option("--source", source_,
                    "A shell command that plays the device while the plugin runs; each line `ack` "
                    "it prints is a message the plugin acknowledged");
  test_->add_option("--wait", wait_s_, "Seconds to wait for the source's next record")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
}

std::optional<int> PluginsCommand::run() const {
  if (*list_) return list();
  if (*show_) return show();
  if (*test_) return test();
  return std::nullopt;
}

int PluginsCommand::list() const {
  int code = 0;
  const auto names = host::list_plugins(dir_);
  if (names.empty()) return complain("there are no plugins in " + dir_.string());
  for (const auto& name : names) {
    const auto library = host::find_plugin(dir_, name);
    if (!library) {
      std::printf("%-12s cannot be used: %s\n", name.c_str(), library.error().what.c_str());
      code = kExitFound;
      continue;
    }
    const auto& descriptor = library->descriptor();
    std::printf("%-12s %-10s ABI %u.%u  %s\n", name.c_str(), descriptor.version,
                descriptor.abi_major, descriptor.abi_minor, face_of(*library).summary.c_str());
  }
  return code;
}

int PluginsCommand::show() const {
  const auto library = open_plugin(dir_, plugin_);
  if (!library) return complain(library.error().what);
  const auto face = face_of(*library);
  const auto& options = library->options();
  const auto text = format_ == "schema"     ? options_schema(face, options)
                    : format_ == "markdown" ? options_markdown(face, options)
                                            : options_text(face, options);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int PluginsCommand::test() const {
  const auto library = open_plugin(dir_, plugin_);
  if (!library) return complain(library.error().what);
  std::vector<config::Problem> problems;
  const auto values = read_options(*library, options_, problems);
  for (const auto& problem : problems) std::fprintf(stderr, "%s\n", to_string(problem).c_str());
  if (std::any_of(problems.begin(), problems.end(), [](const auto& one) { return !one.warning; }))
    return kExitUsage;
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return complain("cannot start a process for the test");
  if (child == 0) {
    const int code =
        report(*library, host::try_plugin(*library, values, {source_, Millis(wait_s_ * 1000)}));
    std::fflush(nullptr);
    ::_exit(code);  // whatever threads the plugin has left behind
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  std::printf("crash: the plugin ended the test with signal %d (%s)\n", WTERMSIG(status),
              strsignal(WTERMSIG(status)));
  return kExitFound;
}

}  // namespace penstock::cli
