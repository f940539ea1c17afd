#include "agent/config/options.h"

#include <algorithm>
#include <filesystem>

#include "agent/config/units.h"
#include "agent/config/words.h"
#include "agent/config/yaml_tree.h"

namespace penstock::config {
namespace {

// One step of an option's name: `subscribe[]` is {subscribe, each element}, the last one is the
// option itself.
struct Step {
  std::string key;
  bool each = false;
};

std::vector<Step> steps_of(std::string_view name) {
  std::vector<Step> steps;
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    std::string_view key = name.substr(0, dot);
    const bool each = key.ends_with("[]");
    if (each) key.remove_suffix(2);
    steps.push_back({std::string(key), each});
    name.remove_prefix(std::min(name.size(), dot + 1));
  }
  return steps;
}

struct Option {
  const OptionSpec* spec;
  std::vector<Step> steps;
};

class Checker {
 public:
  Checker(std::span<const OptionSpec> specs, std::string_view plugin,
          std::vector<Problem>& problems)
      : plugin_(plugin), problems_(problems) {
    for (const auto& spec : specs) options_.push_back({&spec, steps_of(spec.name)});
  }

  std::vector<OptionValue> run(const Node& root) {
    std::vector<const Option*> all;
    for (const auto& option : options_) all.push_back(&option);
    check_keys(root, all, 0, "");
    for (const auto& option : options_) collect(option, 0, &root, root.at, "");
    return std::move(values_);
  }

 private:
  void error(const Position& at, const std::string& what, std::string hint) {
    problems_.push_back({at, plugin_ + ": " + what, std::move(hint), false});
  }

  // Reports unknown keys and maps and lists in the wrong places. `options` share their first
  // `depth` steps.
  void check_keys(const Node& map, const std::vector<const Option*>& options, size_t depth,
                  const std::string& path) {
    for (const auto& entry : map.entries) {
      std::vector<const Option*> below;
      for (const auto* option : options) {
        if (option->steps[depth].key == entry.key) below.push_back(option);
      }
      if (below.empty()) {
        error(entry.at, "unknown key " + quote(path + entry.key),
              suggest(map, entry.key, options, depth));
        continue;
      }
      const Option& first = *below.front();
      const bool is_leaf = first.steps.size() == depth + 1;
      if (is_leaf || entry.node.is_null()) continue;
      if (first.steps[depth].each) {
        check_elements(entry.node, below, depth, path + entry.key);
      } else if (entry.node.is_map()) {
        check_keys(entry.node, below, depth + 1, path + entry.key + ".");
      } else {
        wrong_kind(entry.node, path + entry.key, "a map");
      }
    }
  }

  void check_elements(const Node& list, const std::vector<const Option*>& options, size_t depth,
                      const std::string& path) {
    if (!list.is_list()) return wrong_kind(list, path, "a list of maps");
    for (size_t i = 0; i < list.items.size(); ++i) {
      const std::string name = path + "[" + std::to_string(i) + "]";
      if (list.items[i].is_map()) {
        check_keys(list.items[i], options, depth + 1, name + ".");
      } else {
        wrong_kind(list.items[i], name, "a map");
      }
    }
  }

  static std::string suggest(const Node& map, const std::string& key,
                             const std::vector<const Option*>& options, size_t depth) {
    std::vector<std::string_view> free;
    std::vector<std::string_view> taken;
    for (const auto* option : options) {
      const std::string& known = option->steps[depth].key;
      auto& keys = map.find(known) ? taken : free;
      if (std::find(keys.begin(), keys.end(), known) == keys.end()) keys.push_back(known);
    }
    return key_suggestion(key, free, taken);
  }

  void wrong_kind(const Node& node, const std::string& name, std::string_view wanted) {
    error(
        node.at,
        name + ": " + std::string(wanted) + " is needed, not " + std::string(to_string(node.kind)),
        "");
  }

  // Walks to the places where `option` can stand, below `map` (null: absent), and takes the values.
  void collect(const Option& option, size_t depth, const Node* map, const Position& at,
               const std::string& path) {
    const Step& step = option.steps[depth];
    const Node* child = map ? map->find(step.key) : nullptr;
    const std::string name = path + step.key;
    if (depth + 1 == option.steps.size()) {
      take(*option.spec, child, at, name);
    } else if (!step.each) {
      if (child && !child->is_map() && !child->is_null()) return;  // reported by check_keys
      collect(option, depth + 1, child, child ? child->at : at, name + ".");
    } else if (child) {
      for (size_t i = 0; i < child->items.size(); ++i) {
        const Node& item = child->items[i];
        if (!item.is_map()) continue;
        collect(option, depth + 1, &item, item.at, name + "[" + std::to_string(i) + "].");
      }
    }
  }

  // `at`: of the map that holds the option or should.
  void take(const OptionSpec& spec, const Node* node, const Position& at, const std::string& name) {
    if (node) return convert(spec, *node, name);
    if (spec.required) return error(at, name + " is missing", spec.help);
    if (!spec.default_value) return;
    Node preset;
    preset.kind = Node::Kind::kScalar;
    preset.at = at;
    preset.text = preset.written = *spec.default_value;
    preset.quoted = true;
    if (spec.type == OptionType::kStringList) {
      preset = parse_yaml(*spec.default_value, "default of " + name, problems_).value_or(Node{});
    }
    convert(spec, preset, name);
  }

  void convert(const OptionSpec& spec, const Node& node, const std::string& name) {
    if (spec.type == OptionType::kStringList) return convert_list(spec, node, name);
    if (node.is_null()) {
      return error(node.at,
                   name + (node.text.empty() ? " has no value" : " is " + quote(node.text)),
                   "give a value, remove the key, or quote text");
    }
    if (!node.is_scalar()) return wrong_kind(node, name, "a single value");
    switch (spec.type) {
      case OptionType::kBool:
        return convert_flag(spec, node, name);
      case OptionType::kInteger:
      case OptionType::kSize:
      case OptionType::kDuration:
        return convert_number(spec, node, name);
      case OptionType::kEnum:
        return convert_choice(spec, node, name);
      default:
        return convert_text(spec, node, name);
    }
  }

  void convert_list(const OptionSpec& spec, const Node& node, const std::string& name) {
    const bool empty = node.is_null() || (node.is_list() && node.items.empty());
    // The plugin would take it for absent, which may mean the opposite: nobody, everybody.
    if (empty && !spec.default_value)
      return error(node.at, name + " has no entries", "remove the key or list some; " + spec.help);
    if (node.is_null()) return;
    if (!node.is_list()) return wrong_kind(node, name, "a list, such as [a, b],");
    for (size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const std::string item_name = name + "[" + std::to_string(i) + "]";
      if (item.is_scalar()) {
        convert_text(spec, item, item_name);
      } else {
        wrong_kind(item, item_name, "a single value");
      }
    }
  }

  void convert_flag(const OptionSpec& spec, const Node& node, const std::string& name) {
    if (node.text == "true" || node.text == "false")
      return add(spec, name, "", node.text == "true");
    error(node.at, name + ": " + quote(node.written) + " is not true or false",
          "write true or false");
  }

  void convert_number(const OptionSpec& spec, const Node& node, const std::string& name) {
    const auto number = parse_number(spec.type, node.text);
    if (!number) {
      return error(node.at, name + ": " + quote(node.written) + " " + number.error().what,
                   std::string(number_hint(spec.type)));
    }
    const bool limited = spec.min != 0 || spec.max != 0;
    if (limited && (*number < spec.min || *number > spec.max)) {
      return error(
          node.at, name + ": " + quote(node.written) + " is out of range",
          "from " + show_number(spec.type, spec.min) + " to " + show_number(spec.type, spec.max));
    }
    add(spec, name, "", *number);
  }

  void convert_choice(const OptionSpec& spec, const Node& node, const std::string& name) {
    const auto& choices = spec.choices;
    if (std::find(choices.begin(), choices.end(), node.text) != choices.end()) {
      return add(spec, name, node.text, 0);
    }
    const std::vector<std::string_view> words(choices.begin(), choices.end());
    error(node.at, name + ": " + quote(node.written) + " is not one of " + join(words, ", "),
          nearest(node.written, words).empty() ? "" : suggestion(node.written, words));
  }

  void convert_text(const OptionSpec& spec, const Node& node, const std::string& name) {
    const bool is_secret = spec.type == OptionType::kSecret;
    if (!node.quoted && is_boolean_word(node.written)) {
      return error(node.at,
                   name + ": " + (is_secret ? "the text" : quote(node.written)) +
                       " is a boolean to many YAML readers",
                   "quote it");
    }
    if (is_secret && node.written.find("${") == std::string::npos && !node.text.empty()) {
      problems_.push_back({node.at,
                           plugin_ + ": " + name + ": a secret stands in the configuration file",
                           "use ${credential:NAME}, ${file:/path} or ${env:NAME}", true});
    }
    const auto folder = std::filesystem::path(node.at.file).parent_path();
    if (spec.type == OptionType::kPath && !node.text.empty())
      return add(spec, name, (folder / node.text).lexically_normal().string(), 0);
    add(spec, name, node.text, 0);
    if (is_secret) {
      values_.back().written = node.written;
      values_.back().folder = folder;
    }
  }

  static Result<int64_t> parse_number(OptionType type, std::string_view text) {
    if (type == OptionType::kInteger) return parse_integer(text);
    if (type == OptionType::kSize) {
      const auto bytes = parse_size(text);
      if (!bytes) return bytes.error();
      return static_cast<int64_t>(*bytes);
    }
    const auto time = parse_duration(text);
    if (!time) return time.error();
    return int64_t{time->count()};
  }

  static std::string_view number_hint(OptionType type) {
    if (type == OptionType::kSize) return kSizeHint;
    return type == OptionType::kDuration ? kDurationHint : "write a whole number";
  }

  static std::string show_number(OptionType type, int64_t number) {
    if (type == OptionType::kSize) return format_size(static_cast<uint64_t>(number));
    if (type == OptionType::kDuration) return format_duration(Millis(number));
    return std::to_string(number);
  }

  void add(const OptionSpec& spec, const std::string& name, std::string text, int64_t number) {
    values_.push_back({name, spec.type, std::move(text), number});
  }

  std::string plugin_;
  std::vector<Problem>& problems_;
  std::vector<Option> options_;
  std::vector<OptionValue> values_;
};

}  // namespace

std::vector<OptionValue> check_options(const Node& options, std::span<const OptionSpec> specs,
                                       std::string_view plugin, std::vector<Problem>& problems) {
  return Checker(specs, plugin, problems).run(options);
}

}  // namespace penstock::config
