#include "agent/config/columns_section.h"

#include <array>

#include "agent/config/units.h"

namespace penstock::config {
namespace {

constexpr unsigned kColumnScope =
    kTopicScope | kSourceScope | kAttrScope | kPayloadScope | kMetaScope;
constexpr std::array<std::string_view, 14> kCasts{
    "string", "boolean", "int",    "bigint",         "float",       "double",  "timestamp",
    "date",   "variant", "binary", "binary(base64)", "binary(hex)", "decimal", "auto"};
constexpr int64_t kMostDigits = 38;  // of a decimal in Spark and Delta

bool is_column_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         name.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
             std::string_view::npos;
}

// decimal(p) or decimal(p,s)
bool is_decimal(std::string_view text) {
  constexpr std::string_view kStart = "decimal(";
  if (!text.starts_with(kStart) || !text.ends_with(')')) return false;
  text = text.substr(kStart.size(), text.size() - kStart.size() - 1);
  if (text.find_first_not_of("0123456789,") != std::string_view::npos) return false;
  const size_t comma = text.find(',');
  const auto precision = parse_integer(text.substr(0, comma));
  const bool in_range = precision && *precision >= 1 && *precision <= kMostDigits;
  if (comma == std::string_view::npos || !in_range) return in_range;
  const auto scale = parse_integer(text.substr(comma + 1));
  return scale && *scale >= 0 && *scale <= *precision;
}

// RFC 8259 section 6.
bool is_json_number(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t first = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - first;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const bool leading_zero = i < text.size() && text[i] == '0';
  const size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void read_default(Reader& reader, Column& out) {
  const auto value = reader.get("default");
  if (!value) return;
  if (value->node->is_null() && !value->node->text.empty()) {
    out.default_json = "null";
    return;
  }
  const auto text = scalar_of(*value, reader.context());
  if (!text) return;
  const bool is_text = value->node->quoted || *text != value->node->written;
  if (!is_text && is_boolean_word(*text) && *text != "true" && *text != "false") {
    reader.context().error(value->node->at,
                           value->path + ": " + quote(*text) + " is a boolean to many YAML readers",
                           "write true or false, or quote it: \"" + *text + "\"");
    return;
  }
  out.default_json = to_json(*text, is_text);
}

void read_cast(Reader& reader, Column& out) {
  if (const auto cast = reader.text("as")) {
    if (is_cast(*cast)) {
      out.as = *cast;
    } else {
      const auto value = reader.get("as");
      std::vector<std::string_view> known(kCasts.begin(), kCasts.end());
      known.push_back("decimal(p,s)");
      reader.context().error(
          value->node->at,
          value->path + ": " + quote(value->node->written) + " is not a type to cast to",
          suggestion(value->node->written, known));
    }
  }
  enum class TimeUnit { kAuto, kS, kMs, kUs, kNs, kIso };
  const bool has_unit = reader
                            .word<TimeUnit>("unit", {{"auto", TimeUnit::kAuto},
                                                     {"s", TimeUnit::kS},
                                                     {"ms", TimeUnit::kMs},
                                                     {"us", TimeUnit::kUs},
                                                     {"ns", TimeUnit::kNs},
                                                     {"iso", TimeUnit::kIso}})
                            .has_value();
  if (!has_unit) return;
  out.unit = reader.text("unit").value_or("");
  if (out.as != "timestamp" && out.as != "date") {
    reader.context().error(reader.get("unit")->key_at,
                           reader.path() + ": unit goes with `as: timestamp` or `as: date`",
                           "remove it, or say what to cast to");
  }
}

// `value` is the shorthand, text in place of a map, or the `from` of a map.
void read_from(const Named& value, const TopicShape& shape, Context& context, Column& out) {
  const auto text = text_of(value, context, kColumnScope);
  if (!text) return;
  out.from = *text;
  check_references(value, out.from, shape, context);
}

Column read_column(const Named& value, const TopicShape& shape, Context& context) {
  Column out;
  out.name = value.key;
  out.at = value.key_at;
  if (value.node->is_scalar()) {
    read_from(value, shape, context, out);
    return out;
  }
  Reader reader(value, context);
  reader.require("from", "such as \"${payload." + out.name + "}\"");
  if (const auto from = reader.get("from")) read_from(*from, shape, context, out);
  read_cast(reader, out);
  set(out.on_error,
      reader.word<OnError>("on_error", {{"reject", OnError::kReject}, {"null", OnError::kNull}}));
  read_default(reader, out);
  set(out.nullable, reader.flag("nullable"));
  out.nullable_stated = reader.has("nullable");
  reader.finish();
  return out;
}

}  // namespace

bool is_cast(std::string_view text) {
  for (const auto cast : kCasts) {
    if (text == cast) return true;
  }
  return is_decimal(text);
}

std::string to_json(std::string_view text, bool is_text) {
  const bool is_word = text == "null" || text == "true" || text == "false";
  if (!is_text && (is_word || is_json_number(text))) return std::string(text);
  return json_string(text);
}

std::vector<Column> read_columns(Reader& route, const TopicShape& shape) {
  std::vector<Column> out;
  const auto entries =
      route.named_entries("columns", is_column_name, "a column has 1 to 255 of A-Z a-z 0-9 _");
  for (const auto& value : entries) out.push_back(read_column(value, shape, route.context()));
  if (route.has("columns") && entries.empty()) {
    route.context().error(route.get("columns")->key_at, route.path() + ".columns is empty",
                          "name columns, or remove the key to match fields by name");
  }
  return out;
}

}  // namespace penstock::config
