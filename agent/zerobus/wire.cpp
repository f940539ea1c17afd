#include "agent/zerobus/wire.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "agent/base/varint.h"

namespace penstock::zerobus {
namespace {

// Tags: field number * 8 + wire type. Names follow proto/zerobus.proto.
constexpr char kRow = 0x0A;           // *RecordBatch.records
constexpr char kCreateStream = 0x0A;  // EphemeralStreamRequest
constexpr char kIngestBatch = 0x1A;
constexpr char kTableName = 0x0A;  // CreateIngestStreamRequest
constexpr char kDescriptor = 0x1A;
constexpr char kRecordType = 0x20;
constexpr char kOffsetId = 0x08;  // IngestRecordBatchRequest
constexpr char kProtoBatch = 0x12;
constexpr char kJsonBatch = 0x1A;

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  uint32_t type = 0;
  uint64_t varint = 0;
  std::string_view bytes;
};

Error unreadable(const char* what) {
  return Error{
      ErrorKind::kTransient, std::string("the server's message is unreadable: ") + what, {}};
}

bool take_fixed(std::string_view& in, size_t size) {
  if (in.size() < size) return false;
  in.remove_prefix(size);
  return true;
}

// Takes one field off the front. Groups (wire types 3 and 4) are not part of this protocol and
// count as damage.
bool take_field(std::string_view& in, Field& field) {
  const auto tag = take_varint(in);
  if (!tag || *tag > std::numeric_limits<uint32_t>::max() || *tag < 8) return false;
  field = {static_cast<uint32_t>(*tag >> 3), static_cast<uint32_t>(*tag & 7), 0, {}};
  switch (field.type) {
    case kVarint:
      if (const auto value = take_varint(in)) {
        field.varint = *value;
        return true;
      }
      return false;
    case kBytes:
      if (const auto bytes = take_bytes(in)) {
        field.bytes = *bytes;
        return true;
      }
      return false;
    case kFixed64:
      return take_fixed(in, 8);
    case kFixed32:
      return take_fixed(in, 4);
    default:
      return false;
  }
}

// Calls `use` for every field of a message; false when the bytes are no message or `use` says so.
template <class Use>
bool each_field(std::string_view in, Use use) {
  Field field;
  while (!in.empty()) {
    if (!take_field(in, field) || !use(field)) return false;
  }
  return true;
}

// What was seen of the response's oneof. As in protobuf, the last member wins, and the same member
// again is merged.
struct Seen {
  uint32_t member = 0;
  std::optional<std::string> stream_id;
  std::optional<int64_t> up_to;
  int64_t seconds = 0;
  int64_t nanos = 0;
};

bool read_duration(std::string_view bytes, Seen& seen) {
  return each_field(bytes, [&](const Field& field) {
    if (field.type != kVarint) return true;
    if (field.number == 1) seen.seconds = static_cast<int64_t>(field.varint);
    if (field.number == 2) seen.nanos = static_cast<int32_t>(field.varint);
    return true;
  });
}

bool read_member(const Field& member, Seen& seen) {
  return each_field(member.bytes, [&](const Field& field) {
    if (field.number != 1) return true;
    if (member.number == 1 && field.type == kBytes) seen.stream_id = field.bytes;
    if (member.number == 2 && field.type == kVarint) {
      seen.up_to = static_cast<int64_t>(field.varint);
    }
    if (member.number == 3 && field.type == kBytes) return read_duration(field.bytes, seen);
    return true;
  });
}

Millis to_grace(const Seen& seen) {
  constexpr int64_t kMaxSeconds =
      int64_t{365} * 24 * 3600;  // far beyond any use; keeps the arithmetic safe
  const int64_t seconds = std::clamp<int64_t>(seen.seconds, 0, kMaxSeconds);
  const int64_t nanos = seen.seconds < 0 ? 0 : std::max<int64_t>(seen.nanos, 0);
  return Millis(seconds * 1000 + nanos / 1'000'000);
}

}  // namespace

std::string create_request(std::string_view table, Encoding encoding, std::string_view descriptor) {
  std::string inner;
  inner.push_back(kTableName);
  append_bytes(table, inner);
  if (encoding == Encoding::kProto) {
    inner.push_back(kDescriptor);
    append_bytes(descriptor, inner);
  }
  inner.push_back(kRecordType);
  append_varint(static_cast<uint64_t>(encoding), inner);
  std::string out(1, kCreateStream);
  append_bytes(inner, out);
  return out;
}

std::string batch_header(int64_t offset, Encoding encoding, size_t body_bytes) {
  const auto wire_offset = static_cast<uint64_t>(offset);
  const size_t inner = 1 + varint_size(wire_offset) + 1 + varint_size(body_bytes) + body_bytes;
  std::string out(1, kIngestBatch);
  append_varint(inner, out);
  out.push_back(kOffsetId);
  append_varint(wire_offset, out);
  out.push_back(encoding == Encoding::kProto ? kProtoBatch : kJsonBatch);
  append_varint(body_bytes, out);
  return out;
}

void append_row(std::string_view row, std::string& body) {
  body.push_back(kRow);
  append_bytes(row, body);
}

size_t row_size(size_t row_bytes) { return 1 + varint_size(row_bytes) + row_bytes; }

Result<Response> parse_response(std::string_view bytes) {
  Seen seen;
  const bool readable = each_field(bytes, [&](const Field& field) {
    if (field.type != kBytes || field.number > 3) return true;
    if (field.number != seen.member) seen = Seen{field.number, {}, {}, 0, 0};
    return read_member(field, seen);
  });
  if (!readable) return unreadable("malformed or cut short");
  switch (seen.member) {
    case 1:
      if (!seen.stream_id) return unreadable("a create response without stream_id");
      return Response(StreamCreated{*std::move(seen.stream_id)});
    case 2:
      if (!seen.up_to) return unreadable("an ack without durability_ack_up_to_offset");
      return Response(Ack{*seen.up_to});
    case 3:
      return Response(CloseSignal{to_grace(seen)});
    default:
      return Response(UnknownResponse{});
  }
}

}  // namespace penstock::zerobus
