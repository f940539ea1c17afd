#include "agent/host/plugin_library.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstring>

#include <dlfcn.h>
#include <spdlog/fmt/fmt.h>

#include "agent/config/option_table.h"

namespace penstock::host {
namespace {

Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

// Version 1.0 of each struct, up to the fields that may be missing. A size below is no version 1.
constexpr size_t kLeastDescriptor = offsetof(penstock_plugin, stats);
constexpr size_t kLeastOption = offsetof(penstock_option, help);

// The options of the table, whatever size the plugin's struct has: later versions only add fields
// at the end.
std::vector<config::OptionSpec> read_options(const penstock_plugin& plugin) {
  std::vector<config::OptionSpec> specs;
  if (plugin.option_count == 0) return specs;
  const size_t stride = plugin.options[0].struct_size;
  const auto* at = reinterpret_cast<const std::byte*>(plugin.options);
  for (size_t i = 0; i < plugin.option_count; ++i, at += stride) {
    penstock_option option{};
    std::memcpy(&option, at, std::min(stride, sizeof option));
    config::OptionSpec spec;
    spec.name = option.name ? option.name : "";
    uint32_t type = 0;  // any number until option_problem has looked at it
    std::memcpy(&type, &option.type, sizeof type);
    spec.type = static_cast<config::OptionType>(type);
    if (option.default_value) spec.default_value = option.default_value;
    for (std::string_view rest = option.choices ? option.choices : ""; !rest.empty();) {
      const size_t bar = std::min(rest.find('|'), rest.size());
      spec.choices.emplace_back(rest.substr(0, bar));
      rest.remove_prefix(std::min(bar + 1, rest.size()));
    }
    spec.min = option.min;
    spec.max = option.max;
    spec.required = option.required != 0;
    spec.help = option.help ? option.help : "";
    specs.push_back(std::move(spec));
  }
  return specs;
}

bool plain_word(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
}

std::string plugins_in(const std::filesystem::path& dir) {
  const auto names = list_plugins(dir);
  if (names.empty()) return fmt::format("there are no plugins in {}", dir.string());
  return fmt::format("there are: {}", fmt::join(names, ", "));
}

std::string version_problem(const penstock_plugin& plugin) {
  const char* advice = plugin.abi_major < PENSTOCK_ABI_MAJOR
                           ? "rebuild the plugin against this agent's headers"
                           : "update the agent, or build the plugin against this agent's headers";
  return fmt::format("it was built for plugin ABI {}.{}, this agent speaks {}.{}; {}",
                     plugin.abi_major, plugin.abi_minor, PENSTOCK_ABI_MAJOR, PENSTOCK_ABI_MINOR,
                     advice);
}

}  // namespace

std::string descriptor_problem(const penstock_plugin* plugin) {
  if (!plugin) return "its descriptor is null";
  // The first three fields stand still for ever: they say whether the rest can be understood.
  if (plugin->abi_major != PENSTOCK_ABI_MAJOR) return version_problem(*plugin);
  if (plugin->struct_size < kLeastDescriptor) {
    return fmt::format("its descriptor has {} bytes, {} are needed", plugin->struct_size,
                       kLeastDescriptor);
  }
  if (!plugin->name || !plugin->version || !plugin->create || !plugin->start ||
      !plugin->on_durable || !plugin->on_room || !plugin->quiesce || !plugin->stop ||
      !plugin->destroy) {
    return "its descriptor lacks a name, a version or a function";
  }
  if (plugin->option_count && (!plugin->options || plugin->options[0].struct_size < kLeastOption)) {
    return "its option table is missing or of an unknown shape";
  }
  if (auto problem = config::option_table_problem(read_options(*plugin)); !problem.empty())
    return "its option table: " + problem;
  return {};
}

PluginLibrary::PluginLibrary(const penstock_plugin* descriptor)
    : options_(read_options(*descriptor)) {
  std::memcpy(&descriptor_, descriptor,
              std::min<size_t>(descriptor->struct_size, sizeof descriptor_));
}

Result<PluginLibrary> PluginLibrary::load(const std::filesystem::path& file) {
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle)
    return denied(fmt::format("plugin {} cannot be loaded: {}", file.string(), dlerror()));
  const auto entry =
      reinterpret_cast<penstock_plugin_descriptor_fn>(dlsym(handle, PENSTOCK_DESCRIPTOR_SYMBOL));
  if (!entry) {
    return denied(fmt::format("{} is not a Penstock plugin: it has no symbol {}", file.string(),
                              PENSTOCK_DESCRIPTOR_SYMBOL));
  }
  auto library = of(entry());
  if (!library) {
    return denied(fmt::format("plugin {} is refused: {}", file.string(), library.error().what));
  }
  return library;
}

Result<PluginLibrary> PluginLibrary::of(const penstock_plugin* descriptor) {
  if (auto problem = descriptor_problem(descriptor); !problem.empty())
    return denied(std::move(problem));
  return PluginLibrary(descriptor);
}

std::vector<std::string> list_plugins(const std::filesystem::path& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (entry.path().extension() == ".so") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<PluginLibrary> find_plugin(const std::filesystem::path& dir, const std::string& plugin) {
  const auto file = dir / (plugin + ".so");
  std::error_code error;
  if (!plain_word(plugin) || !std::filesystem::exists(file, error)) {
    return denied(fmt::format("there is no plugin `{}`; {}", plugin, plugins_in(dir)));
  }
  return PluginLibrary::load(file);
}

}  // namespace penstock::host
