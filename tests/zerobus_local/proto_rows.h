// Protobuf records -> rows, by the descriptor the client declared when it opened the stream.
//
// Refused: bytes that are not such a message, absent required fields, fields the descriptor does
// not have (a client whose descriptor and rows disagree would lose data silently), and values their
// column cannot hold.
#pragma once

#include <memory>
#include <string_view>

#include "agent/base/result.h"
#include "tests/zerobus_local/rows.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

// kRejected: the descriptor does not fit the table; every mismatch is named.
Result<std::unique_ptr<RowDecoder>> make_proto_decoder(std::string_view descriptor, TablePtr table);

}  // namespace penstock::local
