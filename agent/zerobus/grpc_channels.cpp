#include "agent/zerobus/grpc_channels.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <grpcpp/create_channel.h>

namespace penstock::zerobus {
namespace {

using Owned = std::unique_ptr<PooledChannel>;

// Moves those out of `from` that do not meet `keep`.
template <class Keep>
void move_out(std::vector<Owned>& from, std::vector<Owned>& to, Keep keep) {
  const auto first = std::stable_partition(from.begin(), from.end(), keep);
  to.insert(to.end(), std::make_move_iterator(first), std::make_move_iterator(from.end()));
  from.erase(first, from.end());
}

}  // namespace

Channels::Channels(std::string address, std::shared_ptr<grpc::ChannelCredentials> credentials,
                   const grpc::ChannelArguments& arguments, Log log)
    : address_(std::move(address)),
      credentials_(std::move(credentials)),
      arguments_(arguments),
      log_(std::move(log)) {}

PooledChannel& Channels::pick() {
  move_out(channels_, failed_, [](const Owned& one) {
    const auto state = one->channel->GetState(false);
    const bool left = state == GRPC_CHANNEL_IDLE && one->answered > 0;
    return state != GRPC_CHANNEL_TRANSIENT_FAILURE && !left;
  });
  for (const auto& one : channels_) {
    if (one->streams < one->capacity) return *one;
  }
  auto made = std::make_unique<PooledChannel>();
  made->channel = grpc::CreateCustomChannel(address_, credentials_, arguments_);
  channels_.push_back(std::move(made));
  log_.debug("connection {} to {}", channels_.size(), address_);
  return *channels_.back();
}

std::vector<Owned> Channels::unused() {
  std::vector<Owned> out;
  move_out(failed_, out, [](const Owned& one) { return one->streams > 0; });
  return out;
}

}  // namespace penstock::zerobus
