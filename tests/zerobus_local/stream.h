// One gRPC stream: the driver between the protocol rules (Intake), the store and the
// acknowledgement schedule.
//
// Callback API. Reactions come from gRPC threads, durability from the store's thread, ends from
// timers and the admin side; one mutex per stream orders them. Requests are decoded outside it, by
// the one thread that reads. At most one read and one write are under way; a stream reads no
// further while 16 MiB of it are not durable, so HTTP/2 holds the client.
#pragma once

#include <string>

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "agent/base/log.h"
#include "tests/zerobus_local/ack_schedule.h"
#include "tests/zerobus_local/faults.h"
#include "tests/zerobus_local/registry.h"
#include "tests/zerobus_local/store.h"
#include "tests/zerobus_local/tables.h"
#include "tests/zerobus_local/timers.h"

namespace penstock::local {

// What all streams share. Outlives them: the server waits for the registry to be empty.
struct StreamContext {
  Catalog& catalog;
  GroupCommitter& store;
  Timers& timers;
  Faults& faults;
  Registry& registry;
  AckRules acks;
  Log log;
};

using RawReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// The reactor for an authenticated call; it owns itself until the call is done.
RawReactor* start_stream(StreamContext& context, std::string header_table);

// A reactor that ends the call at once.
RawReactor* refuse_stream(const grpc::Status& status);

}  // namespace penstock::local
