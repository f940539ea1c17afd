// The Zerobus service: checks a call's metadata and hands it to a stream.
//
// Requests and responses are raw bytes here, so that a message over the limit is refused by size
// before it is parsed.
#pragma once

#include <string>

#include "zerobus.grpc.pb.h"

#include "tests/zerobus_local/stream.h"
#include "tests/zerobus_local/tokens.h"

namespace penstock::local {

class Service final : public databricks::zerobus::Zerobus::WithRawCallbackMethod_EphemeralStream<
                          databricks::zerobus::Zerobus::Service> {
 public:
  Service(StreamContext& context, const Tokens& tokens);

  RawReactor* EphemeralStream(grpc::CallbackServerContext* call) override;

 private:
  StreamContext& context_;
  const Tokens& tokens_;
};

// The pure part: OK, or the status with which the call ends. Header values as received, empty when
// absent.
grpc::Status check_metadata(std::string_view authorization, std::string_view table,
                            const Tokens& tokens, MonoTime now);

}  // namespace penstock::local
