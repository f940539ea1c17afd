// A table as the Unity Catalog REST call describes it (GET /api/2.1/unity-catalog/tables/NAME).
// Pure.
//
// Carries what schema readers use: name, type_text (lower-case SQL), type_name, type_json (a Spark
// field as JSON text), nullable, position.
#pragma once

#include <string>

#include "tests/zerobus_local/schema.h"

namespace penstock::local {

std::string catalog_json(const Table& table);

}  // namespace penstock::local
