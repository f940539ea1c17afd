// Takes in a PUBLISH that is too big to be let through, keeps its head, and makes the small PUBLISH
// that takes its place towards Paho: same flags, topic and packet identifier, so that delivery,
// order and acknowledgement stay Paho's; no properties; as payload the mark and the first bytes.
//
// Pure; owned by the gate's session, one thread. Memory is bounded whatever the packet's size.
// Source: MQTT 3.1.1 section 3.3 and MQTT 5 section 3.3.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plugins/mqtt/frame_scan.h"
#include "plugins/mqtt/set_aside_mark.h"

namespace penstock::mqtt {

class PublishHead {
 public:
  static constexpr size_t kPayloadBytes = 4096;  // kept of a payload

  // One piece after the other, from the header on.
  void take(const FramePiece& piece);
  // Between the first piece of a packet and the last.
  bool under_way() const { return under_way_; }
  // After the last piece: appends the packet that goes on instead. False: this one has no topic and
  // identifier that could be read, so nothing can stand for it.
  bool append_substitute(const SetAsideMark& mark, bool v5, std::vector<uint8_t>& out) const;

 private:
  uint8_t first_byte_ = 0;
  uint32_t packet_bytes_ = 0;
  bool under_way_ = false;
  std::vector<uint8_t> body_;  // as far as kept
};

// Appends a length as MQTT writes it, in one to four bytes.
void append_length(uint32_t length, std::vector<uint8_t>& out);

}  // namespace penstock::mqtt
