#include "agent/zerobus/grpc_channels.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <grpcpp/create_channel.h>

#include "agent/zerobus/grpc_words.h"

namespace penstock::zerobus {
namespace {

// A status text is a header. gRPC's own limit, 8 KiB, would replace a long one, and its code, by an
// error of its own.
constexpr int kMaxHeaderBytes = 1 << 20;

using Owned = std::unique_ptr<PooledChannel>;

// Moves those out of `from` that do not meet `keep`.
template <class Keep>
void move_out(std::vector<Owned>& from, std::vector<Owned>& to, Keep keep) {
  const auto first = std::stable_partition(from.begin(), from.end(), keep);
  to.insert(to.end(), std::make_move_iterator(first), std::make_move_iterator(from.end()));
  from.erase(first, from.end());
}

}  // namespace

grpc::ChannelArguments channel_arguments(const Endpoint& endpoint, const std::string& user_agent) {
  grpc::ChannelArguments arguments;
  // Separate channels are separate connections.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Pings also give the connection a TCP user timeout. At most two without data (the default), so
  // that no server counts them as abuse; an idle stream has nothing to lose.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Between attempts of its own, which nobody waits for.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // also the limit of one connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, 5'000);  // default: two minutes
  arguments.SetMaxSendMessageSize(-1);  // the batch size is bounded elsewhere
  arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxHeaderBytes);
  arguments.SetUserAgentPrefix(user_agent);
  // Which proxy is decided by proxy.h; gRPC itself would look at the environment.
  if (endpoint.proxy) {
    arguments.SetString(GRPC_ARG_HTTP_PROXY, endpoint.proxy->url());
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  }
  return arguments;
}

Channels::Channels(std::string address, Credentials credentials,
                   const grpc::ChannelArguments& arguments, Log log)
    : address_(std::move(address)),
      credentials_(std::move(credentials)),
      arguments_(arguments),
      log_(std::move(log)) {}

Result<Place> Channels::pick(const std::string& table, MonoTime now) {
  forget(now);
  PooledChannel* channel = with_room(table);
  if (!channel) channel = to_try_again(table, now);
  if (!channel) {
    auto made = make();
    if (!made) return std::move(made).error();
    channel = *made;
  }
  ++channel->streams;
  return Place{channel, table, now, channel->heard};
}

void Channels::forget(MonoTime now) {
  move_out(channels_, failed_, [](const Owned& one) {
    const auto state = one->channel->GetState(false);
    const bool left = state == GRPC_CHANNEL_IDLE && one->answered > 0;
    return state != GRPC_CHANNEL_TRANSIENT_FAILURE && !left;
  });
  for (const auto& one : channels_) {
    std::erase_if(one->silent,
                  [&](const auto& entry) { return now - entry.second.noted >= kRemembered; });
  }
}

PooledChannel* Channels::with_room(const std::string& table) const {
  for (const auto& one : channels_) {
    if (one->streams < one->capacity && !one->silent.contains(table)) return one.get();
  }
  return nullptr;
}

// One at a time, so that behind a server that does limit its streams few wait in vain.
PooledChannel* Channels::to_try_again(const std::string& table, MonoTime now) {
  const bool silent = std::any_of(channels_.begin(), channels_.end(),
                                  [&](const Owned& one) { return one->silent.contains(table); });
  if (silent) return nullptr;
  for (const auto& one : channels_) {
    const bool limited = one->capacity < kStreamsPerChannel;
    if (!limited || now - one->full_since < kRemembered) continue;
    one->full_since = now;
    return one.get();
  }
  return nullptr;
}

Result<PooledChannel*> Channels::make() {
  auto credentials = credentials_();
  if (!credentials) return std::move(credentials).error();
  auto made = std::make_unique<PooledChannel>();
  made->channel = grpc::CreateCustomChannel(address_, *credentials, arguments_);
  channels_.push_back(std::move(made));
  log_.debug("connection {} to {}", channels_.size(), address_);
  return channels_.back().get();
}

void Channels::answered(const Place& place, MonoTime now) {
  PooledChannel& channel = *place.channel;
  if (++channel.answered > channel.capacity) channel.capacity = kStreamsPerChannel;
  channel.silent.erase(place.table);
  for (const auto& one : channels_) {
    const auto silence = one->silent.extract(place.table);
    if (silence.empty() || one->answered > silence.mapped().answered) continue;
    one->capacity = std::max(1, silence.mapped().answered);
    one->full_since = now;
    log_.debug("a connection to {} takes {} streams", address_, one->capacity);
  }
}

void Channels::given_up(const Place& place, MonoTime now) {
  PooledChannel& channel = *place.channel;
  if (now - place.since < kSilence || channel.heard == place.heard_before) return;
  channel.silent[place.table] = {now, channel.answered};
}

void Channels::left(const Place& place, bool answered) {
  --place.channel->streams;
  if (answered) --place.channel->answered;
}

std::vector<Owned> Channels::unused() {
  std::vector<Owned> out;
  move_out(failed_, out, [](const Owned& one) { return one->streams > 0; });
  return out;
}

}  // namespace penstock::zerobus
