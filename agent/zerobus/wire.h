// The Zerobus messages as bytes: written and read by hand, so that a batch goes out without a copy.
//
// Pure functions, any thread. Field numbers are those of proto/zerobus.proto; tests compare with
// protobuf's own parser.
//
// A batch body is a run of rows, each `0x0A varint(length) bytes`. Both ProtoEncodedRecordBatch and
// JsonRecordBatch hold their records in field 1, so such a run *is* the body of either: a request
// is batch_header() followed by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "agent/base/clock.h"
#include "agent/base/result.h"

namespace penstock::zerobus {

inline constexpr const char* kStreamMethod = "/databricks.zerobus.Zerobus/EphemeralStream";
// The service takes messages up to 10 MiB; its own clients stop 64 KiB earlier.
inline constexpr size_t kMaxBodyBytes = 10'420'224;

enum class Encoding : uint8_t { kProto = 1, kJson = 2 };  // values of the wire's RecordType

// The first request of every stream. `descriptor` is a serialized google.protobuf.DescriptorProto;
// it is left out for kJson. `table` is catalog.schema.table.
std::string create_request(std::string_view table, Encoding encoding, std::string_view descriptor);

// What stands in front of a batch body of `body_bytes`: at most 24 bytes. Offsets count from 0 on
// every stream.
std::string batch_header(int64_t offset, Encoding encoding, size_t body_bytes);

// One row appended to a batch body.
void append_row(std::string_view row, std::string& body);
// How many bytes append_row would add.
size_t row_size(size_t row_bytes);

struct StreamCreated {
  std::string stream_id;  // opaque; quote it to the service's support
};
struct Ack {
  int64_t up_to = 0;  // every request of this stream with an offset up to here is durable
};
struct CloseSignal {
  Millis grace{0};  // the server ends the stream after this; a missing or negative duration is 0
};
struct UnknownResponse {};  // a message of a newer protocol: a sign of life and nothing more
using Response = std::variant<StreamCreated, Ack, CloseSignal, UnknownResponse>;

// Reads one EphemeralStreamResponse. Unknown fields are skipped. kTransient when the bytes are no
// message, or when a field without which the message means nothing is missing (the ack's offset,
// the stream's id).
Result<Response> parse_response(std::string_view bytes);

}  // namespace penstock::zerobus
