#include <algorithm>

#include "agent/base/expression.h"
#include "agent/config/sections.h"
#include "agent/config/topic_filter.h"

namespace penstock::config {
namespace {

// Replaces the references in every text below `node`. A reference without a value disables the
// input, no more.
void resolve_tree(Node& node, const std::string& path, Context& context, Input& out) {
  for (size_t i = 0; i < node.items.size(); ++i) {
    resolve_tree(node.items[i], path + "[" + std::to_string(i) + "]", context, out);
  }
  for (auto& entry : node.entries) {
    resolve_tree(entry.node, path + "." + entry.key, context, out);
  }
  if (!node.is_scalar()) return;
  auto result = substitute(node.text, kNoRecord, context.load_values(node.at));
  if (!result.wrong.empty()) {
    context.error(node.at, path + ": " + result.wrong, std::move(result.hint));
    return;
  }
  for (const auto& missing : result.missing) {
    context.warn(node.at, "input " + quote(out.id) + " is disabled: " + missing,
                 missing_hint(missing, context.environment));
    if (out.disabled.empty()) out.disabled = missing;
  }
  node.text = std::move(result.text);
}

// What is left for the plugin.
Node plugin_options(const Node& input) {
  Node options;
  options.kind = Node::Kind::kMap;
  options.at = input.at;
  for (const auto& entry : input.entries) {
    const bool is_host_key =
        entry.key == "plugin" || entry.key == "topic" || entry.key == "enabled";
    if (!is_host_key) options.entries.push_back(entry);
  }
  return options;
}

bool holds_wildcard(std::string_view expression) {
  const auto parsed = Expression::parse(expression);
  if (!parsed) return false;
  const auto& parts = parsed->parts();
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) {
    const auto* literal = std::get_if<std::string>(&part);
    return literal && literal->find_first_of("+#") != std::string::npos;
  });
}

void read_topic(Reader& reader, Input& out) {
  const auto topic = reader.text("topic", kAttrScope | kSourceScope);
  if (!topic) return;
  out.topic = *topic;
  const auto value = reader.get("topic");
  check_references(*value, *topic, {}, reader.context());
  if (holds_wildcard(*topic)) {
    reader.context().error(value->node->at,
                           value->path + ": " + quote(value->node->written) + " holds a wildcard",
                           "this is the topic of records, not a filter: no + and #");
  }
}

bool is_plugin_name(std::string_view name) {
  return is_name(name) && name.find('.') == std::string_view::npos;
}

Input read_input(const Named& value, Context& context) {
  Input out;
  out.id = value.key;
  out.at = value.key_at;
  Reader reader(value, context);
  reader.require("plugin", "such as mqtt, serial or udp");
  set(out.plugin, reader.text("plugin"));
  if (!out.plugin.empty() && !is_plugin_name(out.plugin)) {
    const auto plugin = reader.get("plugin");
    context.error(plugin->node->at,
                  plugin->path + ": " + quote(plugin->node->written) + " cannot be a plugin",
                  "a plugin is named like mqtt");
  }
  read_topic(reader, out);
  set(out.enabled, reader.flag("enabled"));
  out.options = plugin_options(*value.node);
  resolve_tree(out.options, value.path, context, out);
  return out;
}

}  // namespace

std::vector<Input> read_inputs(Reader& root) {
  std::vector<Input> out;
  for (const auto& value : root.named_entries("inputs", is_name, kNameHint)) {
    out.push_back(read_input(value, root.context()));
  }
  return out;
}

}  // namespace penstock::config
