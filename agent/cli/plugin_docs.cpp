#include "agent/cli/plugin_docs.h"

#include <vector>

#include <spdlog/fmt/fmt.h>

#include "agent/codec/json_text.h"
#include "agent/config/units.h"

namespace penstock::cli {
namespace {

using config::OptionSpec;
using config::OptionType;

std::string number_text(OptionType type, int64_t number) {
  if (type == OptionType::kSize) return config::format_size(static_cast<uint64_t>(number));
  if (type == OptionType::kDuration) return config::format_duration(Millis(number));
  return std::to_string(number);
}

std::string type_text(const OptionSpec& option) {
  switch (option.type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInteger:
      return "number";
    case OptionType::kSize:
      return "size";
    case OptionType::kDuration:
      return "duration";
    case OptionType::kEnum:
      return fmt::format("{}", fmt::join(option.choices, " | "));
    case OptionType::kSecret:
      return "secret";
    case OptionType::kPath:
      return "path";
    case OptionType::kStringList:
      return "list of texts";
    default:
      return "text";
  }
}

std::string limits_text(const OptionSpec& option) {
  if (option.min == 0 && option.max == 0) return "";
  return number_text(option.type, option.min) + " to " + number_text(option.type, option.max);
}

std::string default_text(const OptionSpec& option) {
  if (option.required) return "required";
  return option.default_value ? "default " + *option.default_value : "no default";
}

std::string json(std::string_view text) {
  std::string out;
  codec::append_json_string(codec::is_utf8(text) ? text : "(not UTF-8)", out);
  return out;
}

// The schema of one value.
std::string leaf_schema(const OptionSpec& option) {
  std::string out;
  switch (option.type) {
    case OptionType::kBool:
      out = R"("type": "boolean")";
      break;
    case OptionType::kInteger:
      out = R"("type": "integer")";
      if (!limits_text(option).empty())
        out += fmt::format(R"(, "minimum": {}, "maximum": {})", option.min, option.max);
      break;
    case OptionType::kSize:
      out = R"("type": "string", "pattern": "^[0-9]+([KMGT]iB|[kMGT]B|B)$")";
      break;
    case OptionType::kDuration:
      out = R"("type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$")";
      break;
    case OptionType::kEnum:
      out = R"("enum": [)";
      for (size_t i = 0; i < option.choices.size(); ++i)
        out += (i ? ", " : "") + json(option.choices[i]);
      out += "]";
      break;
    case OptionType::kStringList:
      out = R"("type": "array", "items": {"type": "string"})";
      break;
    case OptionType::kSecret:
      out = R"("type": "string", "writeOnly": true)";
      break;
    default:
      out = R"("type": "string")";
  }
  std::string description = option.help;
  if (!limits_text(option).empty()) description += " " + limits_text(option) + ".";
  if (option.default_value) description += " Default: " + *option.default_value + ".";
  return "{" + out + R"(, "description": )" + json(description) + "}";
}

// The option names as the tree they are paths of.
struct Branch {
  std::string key;
  bool each = false;  // of a list: the children stand in each element
  const OptionSpec* leaf = nullptr;
  std::vector<Branch> children;

  Branch& child(std::string_view name, bool list) {
    for (auto& one : children) {
      if (one.key == name) return one;
    }
    children.push_back({std::string(name), list, nullptr, {}});
    return children.back();
  }
};

Branch tree_of(std::span<const OptionSpec> options) {
  Branch root;
  for (const auto& option : options) {
    Branch* at = &root;
    for (std::string_view rest = option.name; !rest.empty();) {
      const size_t dot = std::min(rest.find('.'), rest.size());
      auto key = rest.substr(0, dot);
      const bool each = key.ends_with("[]");
      if (each) key.remove_suffix(2);
      at = &at->child(key, each);
      rest.remove_prefix(std::min(rest.size(), dot + 1));
    }
    at->leaf = &option;
  }
  return root;
}

bool is_required(const Branch& branch) { return branch.leaf && branch.leaf->required; }

std::string map_schema(const Branch& map, const std::string& first, const std::string& indent) {
  std::string properties = first;
  std::string required;
  for (const auto& child : map.children) {
    const std::string inner = indent + "  ";
    std::string schema =
        child.leaf ? leaf_schema(*child.leaf) : map_schema(child, "", inner + "  ");
    if (child.each) schema = R"({"type": "array", "items": )" + schema + "}";
    properties +=
        (properties.empty() ? "" : ",") + ("\n" + inner) + json(child.key) + ": " + schema;
    if (is_required(child)) required += (required.empty() ? "" : ", ") + json(child.key);
  }
  if (!first.empty()) required = R"("plugin")" + (required.empty() ? "" : ", " + required);
  return R"({"type": "object", "additionalProperties": false, "required": [)" + required +
         R"(], "properties": {)" + properties + "\n" + indent + "}}";
}

}  // namespace

std::string options_text(const PluginFace& plugin, std::span<const OptionSpec> options) {
  std::string out = fmt::format("{} {}: {}\n", plugin.name, plugin.version, plugin.summary);
  for (const auto& option : options) {
    const auto limits = limits_text(option);
    out += fmt::format("\n  {}  ({}; {}{}{})\n      {}\n", option.name, type_text(option),
                       default_text(option), limits.empty() ? "" : "; ", limits, option.help);
  }
  return out;
}

std::string options_markdown(const PluginFace& plugin, std::span<const OptionSpec> options) {
  std::string out =
      fmt::format("## {} {}\n\n{}\n\n| key | value | default | limits | |\n|---|---|---|---|---|\n",
                  plugin.name, plugin.version, plugin.summary);
  const auto cell = [](std::string text) {
    for (size_t at = 0; (at = text.find('|', at)) != text.npos; at += 2) text.insert(at, "\\");
    return text;
  };
  for (const auto& option : options) {
    const std::string standard = option.required        ? "required"
                                 : option.default_value ? "`" + *option.default_value + "`"
                                                        : "";
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", option.name, cell(type_text(option)),
                       cell(standard), limits_text(option), cell(option.help));
  }
  return out;
}

std::string options_schema(const PluginFace& plugin, std::span<const OptionSpec> options) {
  const std::string own = "\n  \"plugin\": {\"const\": " + json(plugin.name) +
                          "},\n  \"topic\": {\"type\": \"string\"},\n  \"enabled\": {\"type\": "
                          "\"boolean\"}";
  std::string schema = map_schema(tree_of(options), own, "");
  schema.insert(1, "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": " +
                       json(plugin.name) + ", \"description\": " + json(plugin.summary) + ",\n ");
  return schema + "\n";
}

}  // namespace penstock::cli
