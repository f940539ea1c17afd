#include "agent/config/yaml_tree.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <unordered_map>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "agent/config/words.h"

namespace penstock::config {
namespace {

// Ends the parse; becomes the problem. Thrown through yaml-cpp, which unwinds cleanly.
struct Stop {
  Problem problem;
};

size_t count_nodes(const Node& node) {
  size_t count = 1;
  for (const auto& item : node.items) count += count_nodes(item);
  for (const auto& entry : node.entries) count += count_nodes(entry.node);
  return count;
}

// yaml-cpp takes the end of the text for the end of a quoted scalar.
bool quote_is_closed(std::string_view text, size_t begin) {
  const char mark = text[begin];
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (mark == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == mark) {
      if (mark == '"' || i + 1 >= text.size() || text[i + 1] != mark) return true;
      ++i;  // '' inside single quotes
    }
  }
  return false;
}

// Builds the tree bottom up: a stack of what is still open.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, const std::string& file, const YamlLimits& limits,
              std::vector<Problem>& problems)
      : text_(text), file_(file), limits_(limits), problems_(problems) {}

  Node take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(mark, "a second YAML document", "one file holds one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node = start(Node::Kind::kNull, mark, "?");
    node.text = written_null(mark);
    // An empty value has no place of its own: yaml-cpp reports the next token's.
    if (node.text.empty() && !open_.empty() && open_.back().has_key) node.at = open_.back().key.at;
    finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "an alias stands inside of what it stands for", "");
    nodes_ += count_nodes(found->second);
    check_count(mark);
    finish(Node(found->second), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = start(Node::Kind::kScalar, mark, tag);
    node.quoted = tag == "!";
    node.text = node.written = value;
    const auto begin = static_cast<size_t>(mark.pos);
    if (node.quoted && begin < text_.size() && (text_[begin] == '"' || text_[begin] == '\'') &&
        !quote_is_closed(text_, begin)) {
      stop(mark, "the quoted text is not closed", "end it with the same quote");
    }
    finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(start(Node::Kind::kList, mark, tag), anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(start(Node::Kind::kMap, mark, tag), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    Entry key;                                       // the entry whose value comes next
    bool skip = false;                               // the key is no good: drop its value
    std::unordered_map<std::string, Position> keys;  // so far, with their places
  };

  Position at(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  [[noreturn]] void stop(const YAML::Mark& mark, std::string what, std::string hint) const {
    throw Stop{{at(mark), std::move(what), std::move(hint)}};
  }

  void check_count(const YAML::Mark& mark) const {
    if (nodes_ > limits_.max_nodes) {
      stop(mark, "more than " + std::to_string(limits_.max_nodes) + " values in one file", "");
    }
  }

  Node start(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    ++nodes_;
    check_count(mark);
    if (!tag.empty() && tag != "?" && tag != "!") {
      problems_.push_back({at(mark), "YAML tags such as " + quote(tag) + " are not understood",
                           "remove the tag; quote text"});
    }
    Node node;
    node.kind = kind;
    node.at = at(mark);
    return node;
  }

  std::string written_null(const YAML::Mark& mark) const {
    const auto rest = text_.substr(std::min(text_.size(), static_cast<size_t>(mark.pos)));
    for (const std::string_view word : {"null", "Null", "NULL"}) {
      if (rest.starts_with(word)) return "null";
    }
    return rest.starts_with('~') ? "~" : "";
  }

  void open(Node node, YAML::anchor_t anchor) {
    if (open_.size() >= limits_.max_depth) {
      throw Stop{{node.at, "nested more than " + std::to_string(limits_.max_depth) + " deep", ""}};
    }
    open_.push_back({std::move(node), anchor, false, {}, false, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    finish(std::move(done.node), done.anchor);
  }

  void finish(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is_list()) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      take_key(parent, std::move(node));
    } else {
      parent.has_key = false;
      if (parent.skip) return;
      parent.key.node = std::move(node);
      parent.node.entries.push_back(std::move(parent.key));
    }
  }

  void take_key(Open& parent, Node key) {
    parent.has_key = true;
    parent.skip = true;
    // `null:` is the text null to everyone who writes it; nothing and collections are not.
    if (!key.is_scalar() && key.text.empty()) {
      problems_.push_back(
          {key.at, "a key has to be a single word", "quote text that holds { } [ ]"});
      return;
    }
    if (key.text == "<<" && !key.quoted) {
      problems_.push_back({key.at, "merge keys (<<) are not understood", "write the keys out"});
      return;
    }
    const auto [first, is_new] = parent.keys.emplace(key.text, key.at);
    if (!is_new) {
      problems_.push_back({key.at, "the key " + quote(key.text) + " stands twice in the same map",
                           "first at " + to_string(first->second) + "; remove one"});
      return;
    }
    parent.skip = false;
    parent.key = {std::move(key.text), std::move(key.at), key.quoted, {}};
  }

  std::string_view text_;
  const std::string& file_;
  const YamlLimits& limits_;
  std::vector<Problem>& problems_;
  int documents_ = 0;
  size_t nodes_ = 0;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Node> anchors_;
  Node root_;
};

std::string_view line_of(std::string_view text, int line) {
  for (; line > 0; --line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

std::string syntax_hint(std::string_view line) {
  const bool braces =
      std::count(line.begin(), line.end(), '{') > 1 || line.find("${") < line.size();
  if (braces) return "inside { } and [ ] quote text that holds braces: \"${...}\"";
  if (line.find('\t') < line.size()) return "indent with spaces, not tabs";
  return "look at indentation, colons and quotes here and in the line above";
}

// Bytes of the UTF-8 character at the front of `text`; 0 when it is none or a control character.
size_t character_size(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80; };
  const unsigned head = byte(0);
  if (head < 0x80) return head >= 0x20 || head == '\t' || head == '\n' || head == '\r' ? 1 : 0;
  if (head >= 0xC2 && head < 0xE0) return tail(1) ? 2 : 0;
  if (head >= 0xE0 && head < 0xF0) return tail(1) && tail(2) ? 3 : 0;
  if (head >= 0xF0 && head < 0xF5) return tail(1) && tail(2) && tail(3) ? 4 : 0;
  return 0;
}

std::optional<Problem> check_text(std::string_view text, const std::string& file,
                                  size_t max_bytes) {
  if (text.size() > max_bytes) {
    return Problem{{file, 0, 0}, "larger than " + std::to_string(max_bytes) + " bytes", ""};
  }
  Position at{file, 1, 1};
  while (!text.empty()) {
    const size_t size = character_size(text);
    if (size == 0) {
      return Problem{at, "a byte that is not text",
                     "the file has to be UTF-8 without control bytes"};
    }
    at.column = text.front() == '\n' ? 1 : at.column + static_cast<int>(size);
    at.line += text.front() == '\n' ? 1 : 0;
    text.remove_prefix(size);
  }
  return {};
}

}  // namespace

std::optional<Node> parse_yaml(std::string_view text, const std::string& file,
                               std::vector<Problem>& problems, const YamlLimits& limits) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (auto problem = check_text(text, file, limits.max_bytes)) {
    problems.push_back(*std::move(problem));
    return {};
  }
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(text, file, limits, problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take_root();
  } catch (const Stop& stopped) {
    problems.push_back(stopped.problem);
  } catch (const YAML::Exception& bad) {
    const Position at{file, bad.mark.line + 1, bad.mark.column + 1};
    problems.push_back(
        {at, "not valid YAML: " + bad.msg, syntax_hint(line_of(text, bad.mark.line))});
  }
  return {};
}

}  // namespace penstock::config
