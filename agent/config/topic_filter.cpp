#include "agent/config/topic_filter.h"

#include <algorithm>
#include <array>

#include "agent/base/expression.h"

namespace penstock::config {
namespace {

constexpr size_t kLongestTopic = 65'535;
constexpr std::array<std::string_view, 10> kMetaNames{
    "origin", "seq",    "sub",   "agent_id",    "epoch",
    "lane",   "source", "topic", "received_at", "time_quality"};

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

Result<void> take_level(std::string_view level, bool is_last, TopicShape& shape) {
  if (level == "#") {
    if (!is_last) return refused("`#` has to be the last level");
    shape.open_end = true;
    return {};
  }
  ++shape.levels;
  if (level == "+") return {};
  if (level.find_first_of("+#") != std::string_view::npos) {
    return refused("`+` and `#` have to be whole levels, between slashes");
  }
  if (level.find_first_of("{}") == std::string_view::npos) return {};
  if (level.size() < 2 || level.front() != '{' || level.back() != '}') {
    return refused("{name} has to be a whole level, between slashes");
  }
  const std::string name(level.substr(1, level.size() - 2));
  if (!is_identifier(name)) return refused("{name} takes letters, digits and _ between the braces");
  if (std::find(shape.names.begin(), shape.names.end(), name) != shape.names.end()) {
    return refused("a {name} stands twice");
  }
  shape.names.push_back(name);
  return {};
}

// The reason why `path` is no good, or empty.
struct Verdict {
  std::string what;
  std::string hint;
};

Verdict check_topic(const Reference& reference, const TopicShape& shape) {
  if (reference.path.empty() && shape.whole) return {};
  if (reference.path.size() != 1) return {"takes one level", "write ${topic[0]} or ${topic.name}"};
  if (const auto* index = std::get_if<size_t>(&reference.path[0])) {
    if (*index < shape.levels || shape.open_end) return {};
    return {"is beyond the levels of match.topic",
            "the last level is ${topic[" + std::to_string(shape.levels - 1) + "]}"};
  }
  const auto& name = std::get<std::string>(reference.path[0]);
  if (std::find(shape.names.begin(), shape.names.end(), name) != shape.names.end()) return {};
  const std::vector<std::string_view> known(shape.names.begin(), shape.names.end());
  return {"names no level of match.topic",
          known.empty() ? "write {" + name + "} for a level there" : suggestion(name, known)};
}

Verdict check_meta(const Reference& reference) {
  const auto* name =
      reference.path.size() == 1 ? std::get_if<std::string>(&reference.path[0]) : nullptr;
  if (!name) return {"takes one name", "such as ${meta.seq}"};
  if (std::find(kMetaNames.begin(), kMetaNames.end(), *name) != kMetaNames.end()) return {};
  return {"is not known", suggestion(*name, kMetaNames)};
}

// An attribute's name may hold dots, which read like steps: ${attr.mqtt.content_type}.
Verdict check_attribute(const Reference& reference) {
  std::string name;
  for (const auto& step : reference.path) {
    const auto* word = std::get_if<std::string>(&step);
    if (!word) return {"takes one name", "such as ${attr.source_ip}"};
    name += (name.empty() ? "" : ".") + *word;
  }
  if (reference.path.size() == 1) return {};
  if (name.empty()) return {"takes one name", "such as ${attr.source_ip}"};
  return {"takes one name", "a name with dots stands in brackets: ${attr[\"" + name + "\"]}"};
}

Verdict check_reference(const Reference& reference, const TopicShape& shape) {
  if (!reference.argument.empty()) return {"takes no `:`", "see the reference of expressions"};
  if (reference.root == "topic") return check_topic(reference, shape);
  if (reference.root == "meta") return check_meta(reference);
  if (reference.root == "source" && !reference.path.empty()) {
    return {"takes no path", "write ${source}"};
  }
  if (reference.root == "attr") return check_attribute(reference);
  return {};
}

}  // namespace

Result<TopicShape> parse_topic_filter(std::string_view filter) {
  if (filter.empty()) return refused("is empty");
  if (filter.size() > kLongestTopic) return refused("is longer than 65535 bytes");
  if (filter.find('\0') != std::string_view::npos) return refused("holds a zero byte");
  TopicShape shape;
  shape.open_end = false;
  for (size_t begin = 0; begin <= filter.size();) {
    const size_t end = std::min(filter.find('/', begin), filter.size());
    const auto taken = take_level(filter.substr(begin, end - begin), end == filter.size(), shape);
    if (!taken) return taken.error();
    begin = end + 1;
  }
  return shape;
}

void check_references(const Named& named, std::string_view expression, const TopicShape& shape,
                      Context& context) {
  const auto parsed = Expression::parse(expression);
  if (!parsed) return;  // reported by substitute()
  for (const auto& part : parsed->parts()) {
    const auto* reference = std::get_if<Reference>(&part);
    if (!reference) continue;
    const auto verdict = check_reference(*reference, shape);
    if (verdict.what.empty()) continue;
    context.error(named.node->at, named.path + ": " + quote(reference->text) + " " + verdict.what,
                  verdict.hint);
  }
}

}  // namespace penstock::config
