#include "agent/config/substitute.h"

#include <array>

#include "agent/base/expression.h"
#include "agent/config/words.h"

namespace penstock::config {
namespace {

struct RecordRoot {
  std::string_view name;
  RecordScope scope;
};
constexpr std::array kRecordRoots{
    RecordRoot{"topic", kTopicScope}, RecordRoot{"source", kSourceScope},
    RecordRoot{"attr", kAttrScope},   RecordRoot{"payload", kPayloadScope},
    RecordRoot{"meta", kMetaScope},
};
constexpr std::array<std::string_view, 10> kAllRoots{
    "env", "file", "credential", "agent", "label", "topic", "source", "attr", "payload", "meta"};

std::string escaped(std::string_view literal) {
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal.substr(i).starts_with("${")) out += '$';
    out += literal[i];
  }
  return out;
}

// Works through the parts of one text.
class Substitution {
 public:
  Substitution(unsigned allowed, const LoadValues& values) : allowed_(allowed), values_(values) {}

  Substituted run(std::string_view written) {
    const auto expression = Expression::parse(written);
    if (!expression) {
      refuse(expression.error().what, "");
      return std::move(out_);
    }
    for (const auto& part : expression->parts()) {
      if (const auto* text = std::get_if<std::string>(&part)) {
        literal_ += *text;
      } else {
        take(std::get<Reference>(part));
      }
    }
    flush();
    return std::move(out_);
  }

 private:
  void refuse(std::string what, std::string hint) {
    if (!out_.wrong.empty()) return;  // the first problem of a text is enough
    out_.wrong = std::move(what);
    out_.hint = std::move(hint);
  }

  void flush() {
    out_.text += allowed_ == kNoRecord ? literal_ : escaped(literal_);
    literal_.clear();
  }

  void take(const Reference& reference) {
    const std::string& root = reference.root;
    if (root == "env" || root == "file" || root == "credential") {
      take_external(reference);
    } else if (root == "agent" || root == "label") {
      take_own(reference);
    } else {
      take_record(reference);
    }
  }

  void take_external(const Reference& reference) {
    const std::string& name = reference.argument;
    if (name.empty()) {
      refuse(quote(reference.text) + " names nothing", "write ${" + reference.root + ":NAME}");
    } else if (reference.root == "env") {
      std::optional<std::string> value;
      if (values_.environment.env) value = values_.environment.env(name);
      put("environment variable " + name, std::move(value), "is not set");
    } else if (reference.root == "file") {
      put("file " + name, read(values_.folder / name), "cannot be read");
    } else if (name.find('/') != std::string::npos || name.starts_with('.')) {
      refuse(quote(reference.text) + " is a path", "a credential has a plain name; see ${file:}");
    } else {
      put("credential " + name, read_credential(name), "is missing");
    }
  }

  // A folder of credentials (LoadCredential=penstock:/folder) gives each file a name in two parts.
  std::optional<std::string> read_credential(const std::string& name) const {
    const auto& folder = values_.environment.credentials_dir;
    if (!folder) return {};
    auto value = read(*folder / name);
    return value ? value : read(*folder / ("penstock_" + name));
  }

  std::optional<std::string> read(const std::filesystem::path& path) const {
    if (!values_.environment.read_file) return {};
    auto text = values_.environment.read_file(path);
    if (!text) return {};
    return without_line_end(*std::move(text));
  }

  void put(std::string origin, std::optional<std::string> value, std::string_view otherwise) {
    if (!value) {
      out_.missing.push_back(origin + " " + std::string(otherwise));
    } else {
      literal_ += *value;
    }
    out_.origins.push_back(std::move(origin));
  }

  void take_own(const Reference& reference) {
    const auto* name =
        reference.path.size() == 1 ? std::get_if<std::string>(&reference.path[0]) : nullptr;
    const bool is_agent = reference.root == "agent";
    if (!reference.argument.empty() || !name || (is_agent && *name != "id")) {
      refuse(quote(reference.text) + " is not known", "write ${agent.id} or ${label.NAME}");
    } else if (!values_.agent) {
      refuse(quote(reference.text) + " cannot be used here",
             "agent and include are read before it");
    } else if (is_agent) {
      literal_ += values_.agent->id;
    } else if (const auto found = values_.agent->labels.find(*name);
               found != values_.agent->labels.end()) {
      literal_ += found->second;
    } else {
      std::vector<std::string_view> known;
      for (const auto& [label, value] : values_.agent->labels) known.push_back(label);
      refuse("there is no label " + quote(*name),
             known.empty() ? "agent.labels is empty" : suggestion(*name, known));
    }
  }

  void take_record(const Reference& reference) {
    const RecordRoot* found = nullptr;
    for (const auto& root : kRecordRoots) {
      if (root.name == reference.root) found = &root;
    }
    if (!found) {
      refuse(quote(reference.text) + " is not known", suggestion(reference.root, kAllRoots));
    } else if ((allowed_ & found->scope) == 0) {
      refuse(quote(reference.text) + " cannot be used here", allowed_hint());
    } else if (literal_.ends_with('$')) {
      refuse("a `$` stands right before " + quote(reference.text), "put another character between");
    } else {
      flush();
      out_.text += reference.text;
    }
  }

  std::string allowed_hint() const {
    if (allowed_ == kNoRecord) {
      return "per record there are values only in a route's table and columns and an input's topic";
    }
    std::vector<std::string_view> names;
    for (const auto& root : kRecordRoots) {
      if ((allowed_ & root.scope) != 0) names.push_back(root.name);
    }
    return "per record only " + join(names, ", ") + " can be used here";
  }

  unsigned allowed_;
  const LoadValues& values_;
  std::string literal_;  // not yet escaped
  Substituted out_;
};

}  // namespace

Substituted substitute(std::string_view written, unsigned allowed, const LoadValues& values) {
  return Substitution(allowed, values).run(written);
}

std::string without_line_end(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace penstock::config
