#include "tests/zerobus_local/types.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace penstock::local {
namespace {

constexpr int kMaxDepth = 100;  // the service's limit on nesting

struct Named {
  std::string_view name;
  Kind kind;
};
// The first name of a kind is its canonical one.
constexpr std::array kNames = {
    Named{"TINYINT", Kind::kTinyint},
    Named{"BYTE", Kind::kTinyint},
    Named{"SMALLINT", Kind::kSmallint},
    Named{"SHORT", Kind::kSmallint},
    Named{"INT", Kind::kInt},
    Named{"INTEGER", Kind::kInt},
    Named{"BIGINT", Kind::kBigint},
    Named{"LONG", Kind::kBigint},
    Named{"FLOAT", Kind::kFloat},
    Named{"REAL", Kind::kFloat},
    Named{"DOUBLE", Kind::kDouble},
    Named{"STRING", Kind::kString},
    Named{"VARCHAR", Kind::kVarchar},
    Named{"BOOLEAN", Kind::kBoolean},
    Named{"BINARY", Kind::kBinary},
    Named{"DATE", Kind::kDate},
    Named{"TIMESTAMP", Kind::kTimestamp},
    Named{"TIMESTAMP_NTZ", Kind::kTimestampNtz},
    Named{"DECIMAL", Kind::kDecimal},
    Named{"DEC", Kind::kDecimal},
    Named{"NUMERIC", Kind::kDecimal},
    Named{"VARIANT", Kind::kVariant},
    Named{"ARRAY", Kind::kArray},
    Named{"MAP", Kind::kMap},
    Named{"STRUCT", Kind::kStruct},
};

std::string_view canonical(Kind kind) {
  for (const auto& named : kNames) {
    if (named.kind == kind) return named.name;
  }
  return "?";
}

Error wrong(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

bool may_be_map_key(Kind kind) {
  return kind <= Kind::kBigint || kind == Kind::kBoolean || kind == Kind::kString ||
         kind == Kind::kVarchar;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : whole_(text), rest_(text) {}

  Result<Type> parse() {
    auto type = parse_one(0);
    if (!type) return type;
    skip_blanks();
    if (!rest_.empty()) return wrong("unexpected '" + std::string(rest_) + "' after the type");
    return type;
  }

 private:
  void skip_blanks() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) {
      rest_.remove_prefix(1);
    }
  }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view take_word() {
    skip_blanks();
    size_t n = 0;
    while (n < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[n])) || rest_[n] == '_')) {
      ++n;
    }
    const auto word = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return word;
  }
  Result<int> take_number() {
    skip_blanks();
    int value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) return wrong("a number is missing in '" + std::string(whole_) + "'");
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  Error expected(char c) {
    std::string what = "'?' is missing in '";
    what[1] = c;
    what += whole_;
    what += '\'';
    return wrong(std::move(what));
  }

  Result<Type> parse_one(int depth) {
    if (depth > kMaxDepth) return wrong("types are nested more than 100 deep");
    std::string word(take_word());
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (word.empty()) return wrong("a type is missing in '" + std::string(whole_) + "'");
    const auto* found = std::find_if(kNames.begin(), kNames.end(),
                                     [&](const Named& named) { return named.name == word; });
    if (found == kNames.end()) {
      return wrong(
          "type " + word + " is not supported by the service; use one of TINYINT, " +
          "SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, VARCHAR(n), BOOLEAN, BINARY, " +
          "DATE, TIMESTAMP, TIMESTAMP_NTZ, DECIMAL(p,s), VARIANT, ARRAY<>, MAP<,>, STRUCT<:>");
    }
    Type type;
    type.kind = found->kind;
    return parse_arguments(std::move(type), depth);
  }

  Result<Type> parse_arguments(Type type, int depth) {
    switch (type.kind) {
      case Kind::kVarchar:
        return parse_varchar(std::move(type));
      case Kind::kDecimal:
        return parse_decimal(std::move(type));
      case Kind::kArray:
        return parse_list(std::move(type), 1, depth);
      case Kind::kMap:
        return parse_list(std::move(type), 2, depth);
      case Kind::kStruct:
        return parse_struct(std::move(type), depth);
      default:
        return type;
    }
  }

  Result<Type> parse_varchar(Type type) {
    if (!take('(')) return expected('(');
    auto length = take_number();
    if (!length) return length.error();
    if (!take(')')) return expected(')');
    if (*length < 1) return wrong("VARCHAR needs a length of at least 1");
    type.precision = *length;
    return type;
  }

  Result<Type> parse_decimal(Type type) {
    type.precision = 10;
    if (!take('(')) return type;
    auto precision = take_number();
    if (!precision) return precision.error();
    type.precision = *precision;
    if (take(',')) {
      auto scale = take_number();
      if (!scale) return scale.error();
      type.scale = *scale;
    }
    if (!take(')')) return expected(')');
    if (type.precision < 1 || type.precision > 38 || type.scale < 0 ||
        type.scale > type.precision) {
      return wrong("DECIMAL(p,s) needs 1 <= p <= 38 and 0 <= s <= p");
    }
    return type;
  }

  Result<Type> parse_list(Type type, size_t count, int depth) {
    if (!take('<')) return expected('<');
    for (size_t i = 0; i < count; ++i) {
      if (i > 0 && !take(',')) return expected(',');
      auto arg = parse_one(depth + 1);
      if (!arg) return arg;
      type.args.push_back(std::move(*arg));
    }
    if (!take('>')) return expected('>');
    if (type.kind == Kind::kMap && !may_be_map_key(type.args[0].kind)) {
      return wrong("a MAP key must be an integer, BOOLEAN or STRING, not " +
                   to_string(type.args[0]));
    }
    const Kind inner = type.args.back().kind;
    if (inner == Kind::kArray || inner == Kind::kMap) {
      return wrong(to_string(type) + " is not supported by the service: put a STRUCT in between");
    }
    return type;
  }

  Result<Type> parse_struct(Type type, int depth) {
    if (!take('<')) return expected('<');
    do {
      std::string name(take_word());
      if (!legal_name(name))
        return wrong("a STRUCT field needs a name in '" + std::string(whole_) + "'");
      if (!take(':')) return expected(':');
      auto arg = parse_one(depth + 1);
      if (!arg) return arg;
      type.names.push_back(std::move(name));
      type.args.push_back(std::move(*arg));
    } while (take(','));
    if (!take('>')) return expected('>');
    return type;
  }

  std::string_view whole_;
  std::string_view rest_;
};

}  // namespace

Result<Type> parse_type(std::string_view text) { return Parser(text).parse(); }

std::string to_string(const Type& type) {
  std::string out(canonical(type.kind));
  if (type.kind == Kind::kVarchar) return out + "(" + std::to_string(type.precision) + ")";
  if (type.kind == Kind::kDecimal) {
    return out + "(" + std::to_string(type.precision) + "," + std::to_string(type.scale) + ")";
  }
  if (type.args.empty()) return out;
  out += '<';
  for (size_t i = 0; i < type.args.size(); ++i) {
    if (i > 0) out += ',';
    if (type.kind == Kind::kStruct) out += type.names[i] + ":";
    out += to_string(type.args[i]);
  }
  return out + ">";
}

bool legal_name(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front()))) return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c < 0x80 && (std::isalnum(c) || c == '_'); });
}

}  // namespace penstock::local
