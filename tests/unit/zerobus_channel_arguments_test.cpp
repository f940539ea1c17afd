// What a channel is made with: when a connection counts as dead, how long a name lookup or a
// connect may take. The values are those measured to find a dead peer in time without being taken
// for abuse.
#include <map>
#include <variant>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "agent/zerobus/grpc_channels.h"
#include "tests/support/net.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::zerobus {
namespace {

using Value = std::variant<int, std::string>;

std::map<std::string, Value> made_with(const Endpoint& endpoint) {
  const auto arguments = channel_arguments(endpoint, "penstock/test");
  const grpc_channel_args all = arguments.c_channel_args();
  std::map<std::string, Value> out;
  for (size_t i = 0; i < all.num_args; ++i) {
    const grpc_arg& one = all.args[i];
    if (one.type == GRPC_ARG_INTEGER) out[one.key] = one.value.integer;
    if (one.type == GRPC_ARG_STRING) out[one.key] = std::string(one.value.string);
  }
  return out;
}

const Endpoint kService{"service.example", 443, true, ""};

TEST(ZerobusChannelArguments, ADeadPeerIsFoundByPingsThatNoServerCountsAsAbuse) {
  auto made = made_with(kService);
  EXPECT_EQ(made[GRPC_ARG_KEEPALIVE_TIME_MS], Value(30'000));
  EXPECT_EQ(made[GRPC_ARG_KEEPALIVE_TIMEOUT_MS], Value(10'000));
  EXPECT_FALSE(made.contains(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA)) << "two, by gRPC itself";
  EXPECT_FALSE(made.contains(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS)) << "idle ones do not ping";
}

TEST(ZerobusChannelArguments, ALookupOrConnectThatHangsEndsAfterFiveSeconds) {
  auto made = made_with(kService);
  EXPECT_EQ(made[GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS], Value(5'000));
  EXPECT_EQ(made[GRPC_ARG_MIN_RECONNECT_BACKOFF_MS], Value(5'000));
  EXPECT_EQ(made[GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS], Value(500));
  EXPECT_EQ(made[GRPC_ARG_MAX_RECONNECT_BACKOFF_MS], Value(10'000));
}

TEST(ZerobusChannelArguments, EachChannelIsAConnectionOfItsOwnThroughTheProxyThatWasDecided) {
  auto made = made_with(kService);
  EXPECT_EQ(made[GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL], Value(1));
  EXPECT_EQ(made[GRPC_ARG_ENABLE_HTTP_PROXY], Value(0)) << "the environment decides nothing";
  EXPECT_FALSE(made.contains(GRPC_ARG_HTTP_PROXY));
  Endpoint behind = kService;
  behind.proxy = Proxy{"proxy.example", 3128, ""};
  made = made_with(behind);
  EXPECT_EQ(made[GRPC_ARG_HTTP_PROXY], Value(behind.proxy->url()));
  EXPECT_FALSE(made.contains(GRPC_ARG_ENABLE_HTTP_PROXY));
}

// Seen at the socket: gRPC sets the user timeout of TCP where keepalive is on, to its timeout.
TEST(ZerobusChannelArguments, TheConnectionsOfATransportAreMadeWithThem) {
  Server server(until_cancelled());
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  const auto sockets = test::own_connections_to(server.port());
  ASSERT_EQ(sockets.size(), 1u);
  int timeout_ms = 0;
  socklen_t size = sizeof timeout_ms;
  ASSERT_EQ(::getsockopt(sockets[0], IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &size), 0);
  EXPECT_EQ(timeout_ms, 10'000);
}

}  // namespace
}  // namespace penstock::zerobus
