// Channels: the connections of one transport, and which of them a new stream goes on. Private to
// the gRPC transport.
//
// - At most kStreamsPerChannel streams on each, below the limit of 100 that HTTP/2 servers usually
//   set. A stream over the server's limit waits unseen. So a table whose stream got no answer for
//   kSilence, while the server spoke to others on that channel, goes to another for kRemembered.
//   What happens there tells a full channel from a table that the server does not answer: when it
//   is answered, the channels it was silent on are full with what had been answered on them. A
//   table that is answered nowhere takes no room from others.
// - A channel that was found full is not so for ever: after kRemembered it gets one stream more, of
//   a table that is silent nowhere, before another connection is made. When that one is answered,
//   the channel has room for kStreamsPerChannel again.
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
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/zerobus/endpoint.h"

namespace penstock::zerobus {

inline constexpr int kStreamsPerChannel = 32;
inline constexpr Millis kSilence{5'000};
inline constexpr std::chrono::minutes kRemembered{15};

using MonoClock = std::function<MonoTime()>;

// What every channel to `endpoint` is made with: its limits, when a connection counts as dead, and
// the proxy.
grpc::ChannelArguments channel_arguments(const Endpoint& endpoint, const std::string& user_agent);

struct PooledChannel {
  struct Silence {
    MonoTime noted;
    int answered = 0;  // streams then
  };
  std::shared_ptr<grpc::Channel> channel;
  int streams = 0;
  int answered = 0;  // of those, how many the server has said something on
  int capacity = kStreamsPerChannel;
  MonoTime full_since{};                  // or tried since; with a smaller `capacity`
  std::map<std::string, Silence> silent;  // by table, that may be over the server's limit
  std::atomic<uint64_t> heard{0};         // messages of the server, on any stream; needs no lock
};

// Where one stream is, from pick() to left().
struct Place {
  PooledChannel* channel = nullptr;
  std::string table;
  MonoTime since;
  uint64_t heard_before = 0;
};

class Channels {
 public:
  using Credentials = std::function<Result<std::shared_ptr<grpc::ChannelCredentials>>()>;

  Channels(std::string address, Credentials credentials, const grpc::ChannelArguments& arguments,
           Log log);

  // For a new stream. The error is that of `credentials`.
  Result<Place> pick(const std::string& table, MonoTime now);
  // The server has said the first thing on this stream.
  void answered(const Place& place, MonoTime now);
  // This stream is given up before that.
  void given_up(const Place& place, MonoTime now);
  // It has ended. `answered`: told so before.
  void left(const Place& place, bool answered);
  // Channels that failed and have no stream left.
  std::vector<std::unique_ptr<PooledChannel>> unused();

 private:
  void forget(MonoTime now);
  PooledChannel* with_room(const std::string& table) const;
  PooledChannel* to_try_again(const std::string& table, MonoTime now);
  Result<PooledChannel*> make();

  const std::string address_;
  const Credentials credentials_;
  const grpc::ChannelArguments arguments_;
  const Log log_;
  std::vector<std::unique_ptr<PooledChannel>> channels_;
  std::vector<std::unique_ptr<PooledChannel>> failed_;
};

}  // namespace penstock::zerobus
