// What a table looks like. Immutable once made; shared by streams, decoders and the store.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/zerobus_local/types.h"

namespace penstock::local {

struct Column {
  std::string name;
  Type type;
  bool nullable = true;
};

class Table {
 public:
  Table(std::string name, std::vector<Column> columns)
      : name_(std::move(name)), columns_(std::move(columns)) {
    for (size_t i = 0; i < columns_.size(); ++i) index_.emplace(columns_[i].name, i);
  }
  Table(const Table&) = delete;  // index_ points into columns_
  Table& operator=(const Table&) = delete;

  const std::string& name() const { return name_; }  // catalog.schema.table
  const std::vector<Column>& columns() const { return columns_; }

  // Position of the column of exactly this name.
  std::optional<size_t> find(std::string_view column) const {
    const auto it = index_.find(column);
    if (it == index_.end()) return std::nullopt;
    return it->second;
  }

 private:
  std::string name_;
  std::vector<Column> columns_;
  std::unordered_map<std::string_view, size_t> index_;
};

using TablePtr = std::shared_ptr<const Table>;

}  // namespace penstock::local
