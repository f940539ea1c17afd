#include "agent/config/table_name.h"

#include "agent/base/expression.h"
#include "agent/config/words.h"

namespace penstock::config {
namespace {

constexpr size_t kLongestPart = 255;

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

bool is_legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

Result<void> check_table_template(std::string_view expression) {
  const auto parsed = Expression::parse(expression);
  if (!parsed) return parsed.error();
  size_t parts = 1;
  size_t length = 0;      // of the literal text of this part
  bool has_text = false;  // a reference counts: what it gives is checked per record
  for (const auto& part : parsed->parts()) {
    if (std::holds_alternative<Reference>(part)) {
      has_text = true;
      continue;
    }
    for (const char c : std::get<std::string>(part)) {
      if (c == '.') {
        if (!has_text) return refused("has an empty part");
        ++parts;
        length = 0;
        has_text = false;
      } else if (!is_legal(c)) {
        return refused("holds " + quote({&c, 1}) + ", which no table name can");
      } else if (++length > kLongestPart) {
        return refused("has a part longer than 255 characters");
      } else {
        has_text = true;
      }
    }
  }
  if (!has_text) return refused("has an empty part");
  if (parts != 3) return refused("has " + std::to_string(parts) + " parts instead of 3");
  return {};
}

}  // namespace penstock::config
