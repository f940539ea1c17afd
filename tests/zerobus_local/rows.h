// A row in memory, and the interface of what turns one received record into a row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::local {

struct Blob {
  std::string bytes;
  bool operator==(const Blob&) const = default;
};

// NULL, integers (also BOOLEAN, DATE, TIMESTAMP), floating point, text (also JSON text of nested
// types), BINARY.
using Value = std::variant<std::monostate, int64_t, double, std::string, Blob>;

// Cells of `count` rows, row after row, one per column of the table in the table's order.
struct Rows {
  size_t count = 0;
  std::vector<Value> cells;
};

class RowDecoder {
 public:
  virtual ~RowDecoder() = default;

  // Checks one record against the table and appends its cells, one per column. On failure `cells`
  // is as before and the reason names the column: "column ts (TIMESTAMP): ...". Not thread-safe:
  // scratch memory is reused.
  virtual std::optional<std::string> decode(std::string_view record, std::vector<Value>& cells) = 0;
};

}  // namespace penstock::local
