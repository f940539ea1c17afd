#include "agent/codec/type_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/text.h"

namespace penstock::codec {
namespace {

using Word = std::pair<std::string_view, TypeKind>;

constexpr std::array kWords = {
    Word{"tinyint", TypeKind::kTinyint},
    Word{"byte", TypeKind::kTinyint},
    Word{"smallint", TypeKind::kSmallint},
    Word{"short", TypeKind::kSmallint},
    Word{"int", TypeKind::kInt},
    Word{"integer", TypeKind::kInt},
    Word{"bigint", TypeKind::kBigint},
    Word{"long", TypeKind::kBigint},
    Word{"float", TypeKind::kFloat},
    Word{"real", TypeKind::kFloat},
    Word{"double", TypeKind::kDouble},
    Word{"boolean", TypeKind::kBoolean},
    Word{"string", TypeKind::kString},
    Word{"varchar", TypeKind::kVarchar},
    Word{"binary", TypeKind::kBinary},
    Word{"date", TypeKind::kDate},
    Word{"timestamp", TypeKind::kTimestamp},
    Word{"timestamp_ntz", TypeKind::kTimestampNtz},
    Word{"decimal", TypeKind::kDecimal},
    Word{"dec", TypeKind::kDecimal},
    Word{"numeric", TypeKind::kDecimal},
    Word{"variant", TypeKind::kVariant},
    Word{"array", TypeKind::kArray},
    Word{"map", TypeKind::kMap},
    Word{"struct", TypeKind::kStruct},
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<DataType> parse() {
    auto type = one(1);
    if (type && !at_end()) return wrong("the end of the type");
    return type;
  }

 private:
  bool at_end() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    return at_ == text_.size();
  }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    if (at_end()) return {};
    const size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // A word that is exactly `wanted`, or nothing is taken.
  bool keyword(std::string_view wanted) {
    const size_t before = at_;
    if (same_name(word(), wanted)) return true;
    at_ = before;
    return false;
  }
  Error wrong(std::string_view expected) const {
    const auto found = at_ < text_.size() ? "'" + shown(text_.substr(at_), 24) + "'" : "its end";
    return {ErrorKind::kRejected,
            "type '" + shown(text_) + "': expected " + std::string(expected) + " at offset " +
                std::to_string(at_) + ", found " + found,
            {}};
  }

  // At most 9 digits, so that it cannot overflow.
  Result<int> number() {
    const auto digits = word();
    const bool good = !digits.empty() && digits.size() <= 9 &&
                      digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (!good) return wrong("a number");
    int value = 0;
    for (const char c : digits) value = value * 10 + (c - '0');
    return value;
  }

  Result<DataType> one(size_t depth) {
    if (depth > kMaxTypeDepth) {
      return Error{ErrorKind::kRejected, "types are nested more than 100 levels deep", {}};
    }
    if (++parts_ > kMaxTypeParts) {
      return Error{ErrorKind::kRejected, "the type has more than 20000 parts", {}};
    }
    const auto name = word();
    if (name.empty()) return wrong("a type");
    const auto* known = std::find_if(kWords.begin(), kWords.end(), [&](const Word& entry) {
      return same_name(entry.first, name);
    });
    if (known == kWords.end()) {
      return Error{
          ErrorKind::kRejected, "the service does not take columns of type " + shown(name), {}};
    }
    DataType type;
    type.kind = known->second;
    if (auto read = arguments(type, depth); !read) return std::move(read).error();
    if (auto checked = check_composition(type); !checked) return std::move(checked).error();
    return type;
  }

  Result<void> arguments(DataType& type, size_t depth) {
    switch (type.kind) {
      case TypeKind::kVarchar:
        return varchar(type);
      case TypeKind::kDecimal:
        return decimal(type);
      case TypeKind::kArray:
        return list(type, 1, depth);
      case TypeKind::kMap:
        return list(type, 2, depth);
      case TypeKind::kStruct:
        return fields(type, depth);
      default:
        return {};
    }
  }

  Result<void> varchar(DataType& type) {
    if (!take('(')) return wrong("'('");
    const auto length = number();
    if (!length) return length.error();
    type.precision = *length;
    if (!take(')')) return wrong("')'");
    return {};
  }

  Result<void> decimal(DataType& type) {
    type.precision = 10;
    if (!take('(')) return {};
    const auto precision = number();
    if (!precision) return precision.error();
    type.precision = *precision;
    if (take(',')) {
      const auto scale = number();
      if (!scale) return scale.error();
      type.scale = *scale;
    }
    if (!take(')')) return wrong("')'");
    return {};
  }

  Result<void> list(DataType& type, size_t count, size_t depth) {
    if (!take('<')) return wrong("'<'");
    for (size_t i = 0; i < count; ++i) {
      if (i > 0 && !take(',')) return wrong("','");
      auto part = one(depth + 1);
      if (!part) return std::move(part).error();
      type.parts.push_back(*std::move(part));
    }
    if (!take('>')) return wrong("'>'");
    return {};
  }

  Result<std::string> field_name() {
    if (!take('`')) {
      const auto name = word();
      if (name.empty()) return wrong("a field name");
      return std::string(name);
    }
    std::string name;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '`') {
        if (at_ == text_.size() || text_[at_] != '`') return name;
        ++at_;  // a doubled one stands for itself
      }
      name += c;
    }
    return wrong("'`'");
  }

  Result<void> fields(DataType& type, size_t depth) {
    if (!take('<')) return wrong("'<'");
    do {
      auto name = field_name();
      if (!name) return std::move(name).error();
      if (!take(':')) return wrong("':'");
      auto part = one(depth + 1);
      if (!part) return std::move(part).error();
      type.names.push_back(*std::move(name));
      type.parts.push_back(*std::move(part));
      type.required.push_back(keyword("not"));
      if (type.required.back() && !keyword("null")) return wrong("NULL");
    } while (take(','));
    if (!take('>')) return wrong("'>'");
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t parts_ = 0;
};

}  // namespace

Result<DataType> parse_type_text(std::string_view text) {
  if (text.size() > kMaxTypeTextBytes) {
    return Error{ErrorKind::kRejected, "the type has more than 1 MiB of text", {}};
  }
  return Parser(text).parse();
}

}  // namespace penstock::codec
