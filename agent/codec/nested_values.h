// ARRAY, MAP and STRUCT columns of a protobuf row, from JSON text.
//
// Casts and refusals are those of scalar columns. NULL fields of a STRUCT are left out; protobuf
// has no NULL for an element of an ARRAY or a value of a MAP, so there it is refused; and so are
// two keys of a MAP that stand for one number. One thread; buffers are reused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

class NestedValues {
 public:
  // `ignore_unknown`: fields that a STRUCT does not have are left out instead of refused.
  explicit NestedValues(bool ignore_unknown);
  NestedValues(NestedValues&&) noexcept;
  NestedValues& operator=(NestedValues&&) noexcept;
  ~NestedValues();

  // Appends `json`, an object or array as JsonReader gives it, as field `number` of `type`. An
  // empty ARRAY or MAP appends nothing: protobuf knows no difference. kRejected with where and
  // what; `out` then ends in a part of it.
  Result<void> append(std::string_view json, const DataType& type, uint32_t number,
                      std::string& out);

  void release_large_buffers();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::codec
