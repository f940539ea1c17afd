#include "agent/config/include.h"

#include <algorithm>

#include "agent/config/yaml_tree.h"

namespace penstock::config {
namespace {

constexpr size_t kMostFiles = 100;
constexpr size_t kDeepest = 8;

// Moves `from` into `into`; `path` names them in messages.
void merge(Node& into, Node&& from, const std::string& path, Context& context) {
  if (from.is_null()) return;
  if (into.is_null()) {
    into = std::move(from);
  } else if (into.is_list() && from.is_list()) {
    std::move(from.items.begin(), from.items.end(), std::back_inserter(into.items));
  } else if (into.is_map() && from.is_map()) {
    for (auto& entry : from.entries) {
      if (Node* same = into.find(entry.key)) {
        merge(*same, std::move(entry.node), path + (path.empty() ? "" : ".") + entry.key, context);
      } else {
        into.entries.push_back(std::move(entry));
      }
    }
  } else {
    context.error(
        from.at, path + " is set twice",
        "first at " + to_string(into.at) + "; only maps and lists can be spread over files");
  }
}

std::optional<Node> take(Node& map, std::string_view key) {
  const auto found = std::find_if(map.entries.begin(), map.entries.end(),
                                  [&](const Entry& entry) { return entry.key == key; });
  if (found == map.entries.end()) return {};
  Node node = std::move(found->node);
  map.entries.erase(found);
  return node;
}

class Includer {
 public:
  explicit Includer(Context& context) : context_(context) {}

  Merged run(std::string_view text, const std::string& file,
             const std::filesystem::path& base_dir) {
    merged_.root.kind = Node::Kind::kMap;
    merged_.root.at = {file, 1, 1};
    open_.push_back((base_dir / std::filesystem::path(file).filename()).lexically_normal());
    read_text(std::string(text), file, base_dir);
    return std::move(merged_);
  }

 private:
  // The innermost of open_ is the file that `text` came from.
  void read_text(std::string text, const std::string& file, const std::filesystem::path& folder) {
    context_.folders[file] = folder;
    auto root = parse_yaml(text, file, context_.problems);
    merged_.sources.push_back({open_.back(), std::move(text)});
    if (!root) {
      merged_.complete = false;
      return;
    }
    if (!root->is_map() && !root->is_null()) {
      context_.error(root->at,
                     "a configuration is a map, not " + std::string(to_string(root->kind)),
                     "start with `version: 1`");
      merged_.complete = false;
      return;
    }
    const auto version = take(*root, "version");
    const auto include = take(*root, "include");
    check_version(version, Position{file, 1, 1});
    if (open_.size() == 1 && !version) merged_.absent.emplace_back("version");
    if (open_.size() == 1 && !include) merged_.absent.emplace_back("include");
    merge(merged_.root, std::move(*root), "", context_);
    if (include) read_includes(*include, folder);
  }

  void check_version(const std::optional<Node>& version, const Position& file) {
    const bool is_main = open_.size() == 1;
    if (!version) {
      if (is_main) context_.error(file, "version is missing", "write `version: 1`");
    } else if (version->text != "1") {
      context_.error(version->at, "version: only 1 is known", "write `version: 1`");
    }
  }

  void read_includes(const Node& include, const std::filesystem::path& folder) {
    const Node map{.kind = Node::Kind::kMap,
                   .at = include.at,
                   .text = {},
                   .written = {},
                   .quoted = false,
                   .items = {},
                   .entries = {Entry{"include", include.at, false, include}}};
    Reader reader({&map, "", "", "", include.at}, context_);
    for (const auto& item : reader.list("include")) {
      const auto pattern = text_of(item, context_);
      if (!pattern) continue;
      const bool is_pattern = pattern->find_first_of("*?[") != std::string::npos;
      const auto full = (folder / *pattern).lexically_normal();
      const auto files = find_files(full);
      if (!files) {
        context_.error(item.node->at, item.path + ": cannot be read: " + files.error().what, "");
        merged_.complete = false;
        continue;
      }
      if (files->empty() && !is_pattern) {
        context_.error(item.node->at, item.path + ": there is no file " + quote(item.node->written),
                       "relative paths start at the folder of this file");
        merged_.complete = false;
      }
      for (const auto& file : *files) read_file(file.lexically_normal(), item);
    }
  }

  Result<std::vector<std::filesystem::path>> find_files(const std::filesystem::path& full) const {
    if (context_.environment.find_files) return context_.environment.find_files(full);
    return std::vector<std::filesystem::path>();
  }

  void read_file(const std::filesystem::path& file, const Named& from) {
    const auto refuse = [&](const std::string& why, const std::string& hint) {
      context_.error(from.node->at, from.path + ": " + file.string() + " " + why, hint);
      merged_.complete = false;
    };
    if (std::find(open_.begin(), open_.end(), file) != open_.end()) {
      return refuse("includes itself", "break the circle");
    }
    const auto is_file = [&](const SourceFile& source) { return source.path == file; };
    if (std::any_of(merged_.sources.begin(), merged_.sources.end(), is_file)) {
      return refuse("is included twice", "include it once");
    }
    if (open_.size() >= kDeepest) return refuse("is included too deep", "include it further up");
    if (merged_.sources.size() >= kMostFiles) return refuse("is one file too many", "");
    if (!context_.environment.read_file) return refuse("cannot be read", "");
    auto text = context_.environment.read_file(file);
    if (!text) return refuse("cannot be read: " + text.error().what, "");
    open_.push_back(file);
    read_text(*std::move(text), file.string(), file.parent_path());
    open_.pop_back();
  }

  Context& context_;
  Merged merged_;
  std::vector<std::filesystem::path> open_;  // the file being read and those that include it
};

}  // namespace

Merged read_with_includes(std::string_view text, const std::string& file,
                          const std::filesystem::path& base_dir, Context& context) {
  return Includer(context).run(text, file, base_dir);
}

}  // namespace penstock::config
