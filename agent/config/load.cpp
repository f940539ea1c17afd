#include <algorithm>

#include "agent/config/config.h"
#include "agent/config/include.h"
#include "agent/config/sections.h"

namespace penstock::config {
namespace {

void read_control(Reader& root, Control& out) {
  Reader control = root.map("control");
  set(out.socket, control.file_path("socket"));
  if (const auto listen = control.text("listen"); listen && *listen != "none") out.listen = *listen;
  control.finish();
}

Config read_config(const Node& tree, const std::vector<std::string>& absent, Context& context) {
  Config config;
  Reader root({&tree, "", "", "", tree.at}, context);
  config.agent = read_agent(root);
  context.agent = &config.agent;
  set(config.memory_limit_bytes, root.size("memory_limit", 8 * kMiB, 64 * kGiB));
  config.spool = read_spool(root);
  config.destinations = read_destinations(root);
  config.inputs = read_inputs(root);
  config.routes = read_routes(root, config);
  set(config.unrouted, root.word<Unrouted>("unrouted", {{"quarantine", Unrouted::kQuarantine},
                                                        {"drop", Unrouted::kDrop}}));
  read_control(root, config.control);
  for (const auto& key : absent) root.get(key);  // so that it can be suggested
  root.finish();
  context.agent = nullptr;
  return config;
}

// In the order a person would read them: file by file as included, then by line.
void sort_problems(std::vector<Problem>& problems, const std::vector<std::string>& files) {
  const auto rank = [&](const Problem& problem) {
    return std::find(files.begin(), files.end(), problem.at.file) - files.begin();
  };
  std::stable_sort(problems.begin(), problems.end(), [&](const Problem& a, const Problem& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
  });
}

}  // namespace

bool Loaded::ok() const {
  return std::all_of(problems.begin(), problems.end(),
                     [](const Problem& problem) { return problem.warning; });
}

const Destination* Config::destination(std::string_view name) const {
  const auto found = std::find_if(destinations.begin(), destinations.end(),
                                  [&](const Destination& one) { return one.name == name; });
  return found == destinations.end() ? nullptr : &*found;
}

const Input* Config::input(std::string_view id) const {
  const auto found =
      std::find_if(inputs.begin(), inputs.end(), [&](const Input& one) { return one.id == id; });
  return found == inputs.end() ? nullptr : &*found;
}

Loaded load_text(std::string_view text, const std::string& file,
                 const std::filesystem::path& base_dir, const Environment& environment) {
  Loaded loaded;
  Context context{environment, loaded.problems, {}, nullptr};
  Merged merged = read_with_includes(text, file, base_dir, context);
  // Without all of the text, most of what would be reported is not the matter.
  if (merged.complete) loaded.config = read_config(merged.root, merged.absent, context);
  loaded.sources = std::move(merged.sources);
  std::vector<std::string> files{file};
  for (const auto& source : loaded.sources) files.push_back(source.path.string());
  sort_problems(loaded.problems, files);
  return loaded;
}

Loaded load_file(const std::filesystem::path& path, const Environment& environment) {
  auto text = environment.read_file(path);
  if (text) return load_text(*text, path.string(), path.parent_path(), environment);
  Loaded loaded;
  loaded.problems.push_back({{path.string(), 0, 0},
                             "cannot be read: " + text.error().what,
                             "check the path and who may read it"});
  return loaded;
}

}  // namespace penstock::config
