// One connection of one Paho client, through the gate. The only place that knows Paho.
//
// A new client for every connection, so that nothing of an earlier one (queued messages, callbacks,
// tokens) can reach a later one; the broker keeps the session by client id. Paho's rules that shape
// this: its one receive thread holds a process-wide lock during callbacks, so ours return at once;
// it queues *and acknowledges* what arrives without a callback, so the callback is set before
// connect and messages are never consumed from its queue; a destroyed client calls back no more,
// and destroy waits for a running callback.
//
// Owned and called by the driver's thread. The handlers run on Paho's thread, until the destructor
// returns.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/mqtt/message_tap.h"
#include "plugins/mqtt/settings.h"

namespace penstock::mqtt {

// Keeps Paho's process-wide state alive. While one exists, ending a connection does not stop Paho's
// threads, which takes seconds and is not safe against a client being created at that moment. The
// last one to go stops them.
class PahoKeeper {
 public:
  PahoKeeper();
  PahoKeeper(const PahoKeeper&) = delete;
  PahoKeeper& operator=(const PahoKeeper&) = delete;
  ~PahoKeeper();

 private:
  struct Client;
  std::unique_ptr<Client> client_;
};

class PahoLink {
 public:
  struct Handlers {
    std::function<void(const IncomingMessage&)> message;
    std::function<void()> lost;
  };
  // Asked every few ms while waiting; true: give up.
  using Abandon = std::function<bool()>;

  struct Connected {
    bool ok = false;
    bool abandoned = false;
    bool session_present = false;
    int refusal = 0;  // the broker's code, 0: none
    // MQTT 5: the longest silence the broker bears, whatever was asked for; 0: it does not say.
    std::chrono::seconds server_keepalive{0};
    std::string detail;  // Paho's words, when neither the gate nor the broker has better ones
  };
  struct Granted {
    bool ok = false;
    int qos = 0;      // what the broker grants
    int refusal = 0;  // its code
  };

  PahoLink(const Settings& settings, Version version, uint16_t gate_port, Handlers handlers);
  PahoLink(const PahoLink&) = delete;
  PahoLink& operator=(const PahoLink&) = delete;
  ~PahoLink();

  Connected connect(const std::optional<std::string>& password, const Abandon& abandon);
  // One answer for each index of settings.filters in `which`; nothing: abandoned, or the connection
  // was lost. No limit of time but that of `abandon`.
  std::optional<std::vector<Granted>> subscribe(const std::vector<size_t>& which,
                                                const Abandon& abandon);
  // False: abandoned, or the connection was lost. Filters that the broker does not want to end are
  // appended to `refused`.
  bool unsubscribe(const std::vector<std::string>& filters, const Abandon& abandon,
                   std::vector<std::string>& refused);
  void disconnect(std::chrono::milliseconds limit);

 private:
  struct Client;
  const Settings& settings_;
  const Version version_;
  std::unique_ptr<Client> client_;
};

}  // namespace penstock::mqtt
