// JSON records -> rows: a JSON -> protobuf style conversion against the declared table, as the
// service behaves.
//
// One record is one JSON object. Keys are column names, exact. Refused: unknown and repeated keys,
// a NULL or missing NOT NULL column, and every value that is not of the one form the column's type
// takes (README.md has the table).
#pragma once

#include <memory>

#include "tests/zerobus_local/rows.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

std::unique_ptr<RowDecoder> make_json_decoder(TablePtr table);

}  // namespace penstock::local
