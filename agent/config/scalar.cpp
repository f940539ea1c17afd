// Single values: with references replaced, refused when reserved, never shown but as written.
#include "agent/config/reader.h"
#include "agent/config/unsupported.h"

namespace penstock::config {
namespace {

bool refuse_reserved(const Named& value, std::optional<std::string_view> text, Context& context) {
  const auto instead = not_supported_yet(value.pattern, text);
  if (!instead) return false;
  const bool whole_key = !text.has_value();
  const std::string which = whole_key ? "" : value.label() + value.shown() + " ";
  context.error(whole_key ? value.key_at : value.node->at,
                (whole_key ? value.path + " " : which) + "is not supported yet",
                std::string(*instead));
  return true;
}

}  // namespace

std::string Named::shown() const { return quote(node->written); }

void Context::error(const Position& at, std::string what, std::string hint) {
  problems.push_back({at, std::move(what), std::move(hint), false});
}

void Context::warn(const Position& at, std::string what, std::string hint) {
  problems.push_back({at, std::move(what), std::move(hint), true});
}

std::filesystem::path Context::folder_of(const Position& at) const {
  const auto found = folders.find(at.file);
  return found == folders.end() ? std::filesystem::path() : found->second;
}

std::optional<std::string> scalar_of(const Named& value, Context& context, unsigned allowed) {
  if (refuse_reserved(value, std::nullopt, context)) return {};
  const Node& node = *value.node;
  if (node.is_null()) {
    const std::string what = node.text.empty() ? "has no value" : "is " + quote(node.text);
    context.error(node.at, value.path + " " + what, "give a value, remove the key, or quote text");
    return {};
  }
  if (!node.is_scalar()) {
    context.error(
        node.at,
        value.label() + "a single value is needed, not " + std::string(to_string(node.kind)),
        node.is_map() ? "quote text that holds { }" : "");
    return {};
  }
  auto result = substitute(node.text, allowed, context.load_values(node.at));
  if (!result.wrong.empty()) {
    context.error(node.at, value.label() + result.wrong, std::move(result.hint));
    return {};
  }
  for (const auto& missing : result.missing) {
    context.error(node.at, value.label() + missing, missing_hint(missing, context.environment));
  }
  if (!result.missing.empty()) return {};
  if (refuse_reserved(value, result.text, context)) return {};
  return std::move(result.text);
}

std::optional<std::string> text_of(const Named& value, Context& context, unsigned allowed) {
  const Node& node = *value.node;
  if (node.is_scalar() && !node.quoted && is_boolean_word(node.written)) {
    context.error(node.at, value.label() + value.shown() + " is a boolean to many YAML readers",
                  "quote it: \"" + node.written + "\"");
    return {};
  }
  return scalar_of(value, context, allowed);
}

std::optional<Secret> secret_of(const Named& value, Context& context, bool may_be_literal) {
  if (refuse_reserved(value, std::nullopt, context)) return {};
  const Node& node = *value.node;
  if (!node.is_scalar()) {
    context.error(node.at,
                  value.label() + "text is needed, not " + std::string(to_string(node.kind)),
                  "such as \"${credential:NAME}\"");
    return {};
  }
  const auto values = context.load_values(node.at);
  auto result = substitute(node.text, kNoRecord, values);
  if (!result.wrong.empty()) {
    context.error(node.at, value.label() + "the `${...}` in it is no good", std::move(result.hint));
    return {};
  }
  Secret secret;
  secret.text = node.text;
  secret.folder = values.folder;
  secret.available = result.missing.empty();
  if (secret.available) secret.value = std::move(result.text);
  for (const auto& origin : result.origins) {
    secret.source += (secret.source.empty() ? "" : ", ") + origin;
  }
  if (secret.source.empty()) {
    secret.source = "the configuration file";
    if (!may_be_literal) {
      context.warn(node.at, value.label() + "a secret stands in the configuration file",
                   "use ${credential:NAME}, ${file:/path} or ${env:NAME}");
    }
  }
  if (secret.value.empty()) secret.available = false;
  return secret;
}

std::string missing_hint(std::string_view missing, const Environment& environment) {
  const bool is_credential = missing.starts_with("credential ");
  if (is_credential && !environment.credentials_dir)
    return "outside the service set CREDENTIALS_DIRECTORY=/etc/penstock/credentials";
  if (is_credential)
    return "put it into /etc/penstock/credentials, or give the service LoadCredential= for it";
  if (missing.starts_with("file ")) return "check the path and who may read it";
  return "set it for the service, or write the value";
}

}  // namespace penstock::config
