// The table expression of one route, compiled: fixed text and places where a record's own value
// goes.
//
// Values are checked, never rewritten. Immutable after compile; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/expression.h"
#include "agent/base/record.h"
#include "agent/base/result.h"
#include "agent/route/topic_pattern.h"

namespace penstock::route {

// What a reference may be resolved with before the first record.
struct TemplateScope {
  const TopicPattern* pattern = nullptr;  // null: the route takes any topic
  const std::map<std::string, std::string>& labels;
  const std::string& agent_id;
};

// True for three non-empty parts of at most 255 characters [A-Za-z0-9_], joined by dots: the
// identifiers the service takes (its limits page), and the length Unity Catalog allows.
bool is_legal_table(std::string_view table);

class TableTemplate {
 public:
  // kRejected saying which reference cannot have a value, or which fixed text is illegal in a table
  // name.
  static Result<TableTemplate> compile(std::string_view text, const TemplateScope& scope);

  // The table of `record`, or kRejected saying which reference has which unusable value.
  Result<std::string> expand(const RecordView& record) const;

  // The table when it is the same for every record, else empty.
  const std::string& fixed() const { return fixed_; }

 private:
  struct TopicLevel {
    size_t index;
    std::string text;  // the reference as written
  };
  struct Source {};
  struct Attribute {
    std::string key;
    std::string text;
  };
  using Part = std::variant<std::string, TopicLevel, Source, Attribute>;

  static Result<Part> compile_reference(const Reference& reference, const TemplateScope& scope);
  static Result<Part> compile_topic(const Reference& reference, const TemplateScope& scope);
  Result<void> check_fixed_text() const;

  std::string text_;
  std::string fixed_;
  std::vector<Part> parts_;
};

}  // namespace penstock::route
