// A client's row descriptor, checked against the table.
//
// Rules (the service's documented table match): fields pair with columns by exact name; every field
// needs its column; the protobuf type must be the one the Delta type maps to; a NOT NULL column
// needs a `required` field; a nullable column may be absent. Types used inside must be nested in
// the row message.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>

#include "agent/base/result.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

struct ProtoSchema {
  struct Field {
    const google::protobuf::FieldDescriptor* field;
    size_t column;  // position in the table
  };
  std::unique_ptr<google::protobuf::DescriptorPool> pool;  // owns `row` and the fields
  const google::protobuf::Descriptor* row = nullptr;
  std::vector<Field> fields;
};

// `descriptor` is one serialized google.protobuf.DescriptorProto. kRejected lists every mismatch,
// separated by "; ".
Result<ProtoSchema> match_descriptor(std::string_view descriptor, const Table& table);

}  // namespace penstock::local
