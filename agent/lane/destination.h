// Destination: what all lanes of one configured destination share: the transport and the token.
//
// Built by the composition; used on the agent thread. `bearer` may read a file there but does not
// wait for a network.
#pragma once

#include <functional>
#include <map>
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
  // A lane's streams are named in the log at most this often: the service's support asks for them.
  Millis name_streams_every{60'000};

  // A record that does not fit its table as it was known last is kept this long while the workspace
  // does not say what the table is like now.
  Millis table_patience{900'000};

  // Lanes of several routes into one table open streams at one rate.
  std::shared_ptr<zerobus::OpenRate> open_rate(const std::string& table) {
    auto& rate = open_rates[table];
    if (!rate) rate = std::make_shared<zerobus::OpenRate>(session.search_opens_per_min);
    return rate;
  }
  std::map<std::string, std::shared_ptr<zerobus::OpenRate>> open_rates;  // by table
};

}  // namespace penstock::lane
