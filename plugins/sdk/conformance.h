// Conformance kit: puts an input plugin through the life the host gives it, answers and watches,
// and says which promises of penstock_plugin.h it breaks.
//
// Runs the plugin in this process, on threads of its own; a plugin that crashes takes the process
// with it (`penstock plugins test` therefore forks). What it finds: records after the stop, FULL,
// TOO_BIG or CLOSED ignored, acknowledgements to the source before the records are safe, memory,
// threads and descriptors that stay, calls after destroy, functions that block, records that break
// the contract, a stop that does not end.
//
// It sees what passes the border. Whether acknowledgements come too early only the source can say:
// give it one (Source). Times in milliseconds. The Report owns what a late call of the plugin might
// still touch: keep it until the plugin's threads are gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock_plugin.h"

namespace penstock::sdk {

// What plays the device or broker the plugin reads from. Called from the thread of run_conformance.
// It begins and ends several times. Memory that one in this process keeps for each message looks
// like the plugin's.
class Source {
 public:
  virtual ~Source() = default;
  // The plugin is started: send messages, one after the other, until end(). Payloads that differ
  // let the kit notice one that is lost.
  virtual void begin() = 0;
  virtual void end() = 0;
  // How many messages the plugin has acknowledged since the kit was started.
  virtual uint64_t acknowledged() const = 0;
};

struct ConformanceLimits {
  std::chrono::milliseconds callback{1000};  // on_durable, on_room, create, start, destroy
  std::chrono::milliseconds stop{3000};      // quiesce; stop until STOPPED
  std::chrono::milliseconds record{5000};    // until the source's next record comes in
  std::chrono::milliseconds watch{500};      // for what must not happen
  int lives = 10;                            // per measurement of what is left over
};

enum class Fault {
  kRefused,        // create or start refused: nothing could be tested
  kEmitAfterStop,  // emit after STOPPED was reported
  kIgnoresFull,    // emit again and again, or the refused records never came again
  kIgnoresClosed,  // emit again and again
  kEarlyAck,       // the source got an acknowledgement for what was not safe
  kLeak,           // memory, threads or descriptors grow with every life, memory with every record
  kCallAfterDestroy,  // any call of the host after destroy returned
  kBlocks,            // a function did not return in time, or not while emit was under way
  kBadRecord,         // NULL, a size of another version, a topic that is not UTF-8
  kNotStopped,        // no STOPPED in time
  kIgnoresTooBig,     // a record answered TOO_BIG came again, or none came after it
  kNothingCame        // there is a source, and no record came: most was not tested
};
std::string_view to_string(Fault fault);  // "early acknowledgement"

struct Finding {
  Fault fault;
  std::string text;  // what happened, in numbers, and what to do
};

struct ConformanceReport {
  std::vector<Finding> findings;   // each fault at most once
  std::vector<std::string> notes;  // what could not be tested, and why
  uint64_t records = 0;            // taken from the plugin
  std::shared_ptr<void> kept;      // what the plugin may still call into

  bool found(Fault fault) const;
};

// `values` as the host would pass them to create (checked, defaults in place). `source` may be
// null.
ConformanceReport run_conformance(const penstock_plugin& plugin,
                                  std::span<const penstock_value> values, Source* source,
                                  const ConformanceLimits& limits = {});

}  // namespace penstock::sdk
