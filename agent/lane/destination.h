// Destination: what all lanes of one configured destination share: the transport and the token.
//
// Built by the composition; used on the agent thread. `bearer` may read a file there but does not
// wait for a network.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/lane/batch_builder.h"
#include "agent/lane/stream_turns.h"
#include "agent/zerobus/body_buffers.h"
#include "agent/zerobus/session.h"
#include "agent/zerobus/transport.h"

namespace penstock::lane {

struct Destination {
  std::string name;
  std::unique_ptr<zerobus::Transport> transport;
  // The access token for a table; `fresh` asks for another one because the last one was refused.
  // `done` is called at most once, at once or later, on any thread.
  using Token = std::function<void(Result<std::string>)>;
  std::function<void(const std::string& table, bool fresh, Token done)> bearer;
  zerobus::SessionConfig session;
  BatchLimits batch;
  uint64_t max_rows_per_s = 0;  // 0: unlimited
  std::shared_ptr<zerobus::BodyBuffers> buffers = zerobus::BodyBuffers::make();
  std::shared_ptr<StreamTurns> turns;  // null: every lane may have a stream at any time
};

}  // namespace penstock::lane
