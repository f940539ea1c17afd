// Values as they stand in a protobuf message (wire format: tag, then value).
//
// Pure. Which type of column has which form: row_descriptor.h.
#pragma once

#include <cstdint>
#include <string>

#include "agent/codec/cast.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

// Of a column that is not an ARRAY or MAP.
Wire wire_of(TypeKind kind);

void append_tag(uint32_t number, Wire wire, std::string& out);

// What stands behind the tag, for a cell that cast_value made for a column of this type, neither
// kNull nor kJson.
void append_scalar(const Cell& cell, TypeKind kind, std::string& out);

// Puts the length of what stands in `out` from `begin` on in front of it.
void insert_length(size_t begin, std::string& out);

}  // namespace penstock::codec
