// Reads a JSON payload and keeps the values at the paths asked for; all of the payload is checked
// on the way.
//
// Numbers and strings are kept as they were written, so that nothing is changed by reading. One
// thread; buffers are reused from payload to payload.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/path_tree.h"

namespace penstock::codec {

struct JsonValue {
  enum class Kind { kMissing, kNull, kBoolean, kNumber, kString, kObject, kArray };
  Kind kind = Kind::kMissing;
  std::string_view
      json;  // the value as JSON text without white space; numbers and strings as written
  std::string_view text;  // kString: what it stands for
};

class JsonReader {
 public:
  JsonReader(PathTree paths, size_t max_depth);
  JsonReader(JsonReader&&) noexcept;
  JsonReader& operator=(JsonReader&&) noexcept;
  ~JsonReader();

  // kRejected with what is wrong and about where: not one complete JSON value, not UTF-8, nested
  // deeper than `max_depth`, or a key given twice in an object that a path leads through or to
  // (which of the two is meant is for no one to guess; objects that nobody asked for are not
  // checked for that).
  Result<void> read(std::string_view payload);

  // Of the payload read last; valid until the next read or release. Nothing is valid after a failed
  // read.
  const JsonValue& value(size_t slot) const;

  // The first field of the payload's outermost object that no path leads to. Valid as value().
  std::optional<std::string_view> stranger() const;
  // Whether the payload read last is an object.
  bool is_object() const;

  // Gives back buffers that a single large payload has blown up.
  void release_large_buffers();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::codec
