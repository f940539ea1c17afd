// Nested protobuf values as JSON text, the form in which rows keep ARRAY, MAP and STRUCT columns.
//
// Field names as declared, 64-bit integers as numbers, bytes as base64, absent struct fields left
// out: the same text a JSON client would have sent. Pure.
#pragma once

#include <string>

#include <google/protobuf/message.h>

namespace penstock::local {

// Appends the value of `field` (repeated, map or single) of `message`.
void append_field_json(const google::protobuf::Message& message,
                       const google::protobuf::FieldDescriptor& field, std::string& out);

}  // namespace penstock::local
