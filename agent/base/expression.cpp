#include "agent/base/expression.h"

#include <charconv>

namespace penstock {
namespace {

bool is_name_start(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }
// Field names also hold hyphens and, in UTF-8, letters beyond ASCII.
bool is_step_char(char c) {
  return is_name_char(c) || c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

Error syntax_error(size_t offset, std::string_view problem) {
  return {ErrorKind::kRejected,
          "at offset " + std::to_string(offset) + ": " + std::string(problem),
          {}};
}

// Parses one reference; `at` stands on its `$` and is left behind its `}`.
class ReferenceParser {
 public:
  ReferenceParser(std::string_view text, size_t& at) : text_(text), begin_(at), at_(at) {}

  Result<Reference> parse() {
    at_ += 2;
    Reference reference;
    if (!is_name_start(peek())) {
      return closed() ? error("expected a name such as topic, payload or env") : unclosed();
    }
    reference.root = take_while(is_name_char);
    if (peek() == ':') {
      if (auto done = take_argument(reference); !done) return std::move(done).error();
    }
    while (peek() == '.' || peek() == '[') {
      auto step = peek() == '.' ? take_field() : take_bracket();
      if (!step) return std::move(step).error();
      reference.path.push_back(*std::move(step));
    }
    if (at_end()) return unclosed();
    if (peek() != '}') return error("expected `.name`, `[index]` or `}`");
    ++at_;
    reference.text = text_.substr(begin_, at_ - begin_);
    return reference;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool closed() const { return text_.find('}', begin_) != std::string_view::npos; }

  std::string take_while(bool (*accept)(char)) {
    const size_t first = at_;
    while (!at_end() && accept(text_[at_])) ++at_;
    return std::string(text_.substr(first, at_ - first));
  }

  Result<void> take_argument(Reference& reference) {
    ++at_;
    const size_t close = text_.find('}', at_);
    if (close == std::string_view::npos) return unclosed();
    if (close == at_) return error("expected a name or path after `:`");
    reference.argument = text_.substr(at_, close - at_);
    at_ = close;
    return {};
  }

  Result<PathStep> take_field() {
    ++at_;
    std::string name = take_while(is_step_char);
    if (name.empty()) {
      return closed() ? error("expected a field name after `.`; write other characters as ['name']")
                      : unclosed();
    }
    return PathStep(std::move(name));
  }

  Result<PathStep> take_bracket() {
    ++at_;
    if (peek() == '\'' || peek() == '"') return take_quoted();
    const std::string digits = take_while(is_digit);
    size_t index = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (digits.empty()) return error("expected an index such as [0] or a quoted name");
    if (parsed.ec != std::errc()) return error("the index is too large");
    return close_bracket(PathStep(index));
  }

  Result<PathStep> take_quoted() {
    const char quote = text_[at_++];
    const size_t close = text_.find(quote, at_);
    if (close == std::string_view::npos) return error("the quoted name is not closed");
    std::string name(text_.substr(at_, close - at_));
    at_ = close + 1;
    return close_bracket(PathStep(std::move(name)));
  }

  Result<PathStep> close_bracket(PathStep step) {
    if (at_end()) return unclosed();
    if (peek() != ']') return error("expected `]`");
    ++at_;
    return step;
  }

  Error error(std::string_view problem) const { return syntax_error(at_, problem); }
  Error unclosed() const {
    return {ErrorKind::kRejected,
            "`${` at " + std::to_string(begin_) +
                " is not closed by `}`; write `$${` for the text `${`",
            {}};
  }

  std::string_view text_;
  size_t begin_;
  size_t& at_;
};

}  // namespace

Result<Expression> Expression::parse(std::string_view text) {
  Expression expression;
  expression.text_ = text;
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) expression.parts_.emplace_back(std::move(literal));
    literal.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("$${")) {
      literal += "${";
      at += 3;
    } else if (rest.starts_with("${")) {
      flush();
      auto reference = ReferenceParser(text, at).parse();
      if (!reference) return std::move(reference).error();
      expression.parts_.emplace_back(*std::move(reference));
    } else {
      literal += text[at++];
    }
  }
  flush();
  return expression;
}

bool Expression::is_literal() const {
  for (const auto& part : parts_) {
    if (std::holds_alternative<Reference>(part)) return false;
  }
  return true;
}

const Reference* Expression::single() const {
  return parts_.size() == 1 ? std::get_if<Reference>(&parts_[0]) : nullptr;
}

}  // namespace penstock
