// A table's schema as text for people: the SQL that creates it, and how rows are made for it.
//
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "agent/codec/table_schema.h"

namespace penstock::codec {

// CREATE TABLE for `name` (catalog.schema.table) and the grants that a service principal needs to
// write to it. `principal`: its application id; empty: a placeholder.
std::string create_table_sql(const TableSchema& table, std::string_view name,
                             std::string_view principal);

// One line a column: protobuf field number, name, type in the table, type on the wire.
std::string mapping_text(const TableSchema& table);

// "optional int64", "repeated message", "map": of a column in the descriptor.
std::string wire_text(const TableColumn& column);

}  // namespace penstock::codec
