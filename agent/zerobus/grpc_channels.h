// Channels: the connections of one transport, and which of them a new stream goes on. Private to
// the gRPC transport.
//
// - At most kStreamsPerChannel streams on each, below the limit of 100 that HTTP/2 servers usually
//   set. A stream over the server's limit waits unseen. So when one is given up without an answer
//   while others on its channel got answers, the channel counts as full with what it has: the next
//   attempt goes to another.
// - A channel whose connection failed takes no new stream; one made in its place connects at once.
//   gRPC would fail the stream with the old failure until its own backoff (connection: 10 s, name
//   lookup: two minutes) is over; when to try again is for the session alone to decide.
// - A new channel's credentials are made for it, so that a CA file that was replaced, or is there
//   only now, counts from the next connection on.
// - Nor does one that has left its connection while streams are still on it (GOAWAY): they find out
//   by its state.
//
// Owner: the transport; everything under its lock but for destroying what unused() returns, which
// may wait for gRPC's threads and so must happen on none of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/zerobus/endpoint.h"

namespace penstock::zerobus {

inline constexpr int kStreamsPerChannel = 32;

// What every channel to `endpoint` is made with: its limits, when a connection counts as dead, and
// the proxy.
grpc::ChannelArguments channel_arguments(const Endpoint& endpoint, const std::string& user_agent);

struct PooledChannel {
  std::shared_ptr<grpc::Channel> channel;
  int streams = 0;
  int answered = 0;  // of those, how many the server has said something on
  int capacity = kStreamsPerChannel;
  std::atomic<uint64_t> heard{0};  // messages of the server, on any stream; needs no lock
};

class Channels {
 public:
  using Credentials = std::function<Result<std::shared_ptr<grpc::ChannelCredentials>>()>;

  Channels(std::string address, Credentials credentials, const grpc::ChannelArguments& arguments,
           Log log);

  // For a new stream; valid as long as `streams` counts it. The error is that of `credentials`.
  Result<PooledChannel*> pick();
  // Channels that failed and have no stream left.
  std::vector<std::unique_ptr<PooledChannel>> unused();

 private:
  const std::string address_;
  const Credentials credentials_;
  const grpc::ChannelArguments arguments_;
  const Log log_;
  std::vector<std::unique_ptr<PooledChannel>> channels_;
  std::vector<std::unique_ptr<PooledChannel>> failed_;
};

}  // namespace penstock::zerobus
