// Records of the delivery bench and the encoders for their tables. The records are those of the
// spool's bench, with field names that can be columns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/codec/row_encoder.h"

namespace penstock::bench {

// As make_bodies.
std::vector<std::string> table_bodies(size_t payload_bytes, size_t count);
// The JSON documents in them.
std::vector<std::string> payloads(size_t bytes, size_t count);

// For the records of 200 bytes: ten typed columns, _origin and _seq. For JSON the columns are taken
// from the payload as they are.
codec::RowEncoder telemetry_encoder(codec::RowForm form);
// For those of 1 KB, as protobuf: a column for each of their fields.
codec::RowEncoder document_encoder();
// As a lane has it: by name when rows are JSON.
codec::RowEncoder encoder_for(size_t payload_bytes, codec::RowForm form);

std::vector<std::string> encoded_rows(codec::RowEncoder& encoder, size_t payload_bytes,
                                      size_t count);
// Encodes records in their stored form, into batches of 256 KB that are thrown away; how many.
uint64_t encode_all(codec::RowEncoder& encoder, const std::vector<std::string>& bodies);

}  // namespace penstock::bench
