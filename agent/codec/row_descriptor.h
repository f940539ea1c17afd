// The protobuf description of a table's rows, made at run time: a serialized
// google.protobuf.DescriptorProto for the create request of a PROTO stream.
//
// Pure. Written by hand, so that the agent needs no generated code; tests have protobuf's own
// library read it. Mapping and labels are those of the service's documentation and SDKs: TINYINT,
// SMALLINT, INT, DATE int32; BIGINT, TIMESTAMP, TIMESTAMP_NTZ int64; DECIMAL and VARIANT string;
// ARRAY repeated; MAP a map; STRUCT a nested message whose fields are optional; a column is
// `optional` when it may be NULL, else `required`. Every message a row uses is nested in it, named
// without a package.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

// position + 1, leaving out 19000 to 19999, which protobuf keeps for itself. Of columns by their
// position in the table, of fields of a STRUCT by their place in it.
uint32_t field_number(size_t position);

// Fields in the order of their numbers. kRejected, naming the column, when the columns cannot be
// one message: two MAP columns whose names differ in underscores only.
Result<std::string> row_descriptor(const TableSchema& table, std::string_view message_name);

}  // namespace penstock::codec
