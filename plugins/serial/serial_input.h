// The serial input as the host sees it: settings checked in create, then a Reader.
//
// Threads as in penstock_plugin.h: the host calls one function at a time. stop() reports STOPPED
// before it returns.
#pragma once

#include <memory>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::serial {

class Reader;

class SerialInput final : public sdk::Input {
 public:
  // Throws std::invalid_argument with the key, what is wrong and what to write.
  SerialInput(sdk::Host host, const sdk::Options& options);
  ~SerialInput() override;

  void start() override;
  void on_durable(uint64_t) override {}  // a serial line cannot be acknowledged
  void on_room() override;
  void quiesce() override;
  void stop() override;
  std::vector<sdk::Stat> stats() const override;

 private:
  sdk::Host host_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace penstock::serial
