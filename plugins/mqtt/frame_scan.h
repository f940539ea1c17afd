// Streaming scanner of MQTT fixed headers, for one direction of one connection. Pure, no
// allocation, one owner.
//
// Feeds on bytes as they come off a socket, cut anywhere, and hands back pieces of frames in order:
// the whole fixed header (one to five bytes) is one piece, the body follows in as many pieces as
// the input was cut into. The bytes of all pieces, put together, are exactly the bytes fed. Bodies
// are not looked at. Source: MQTT 3.1.1 section 2.2 and MQTT 5 section 2.1: type and flags byte,
// then a length of one to four bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace penstock::mqtt {

enum class FrameType : uint8_t {
  kReserved = 0,
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kPubrec = 5,
  kPubrel = 6,
  kPubcomp = 7,
  kSubscribe = 8,
  kSuback = 9,
  kUnsubscribe = 10,
  kUnsuback = 11,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
  kAuth = 15,
};

struct FramePiece {
  uint8_t first_byte = 0;    // of the frame this piece belongs to
  uint32_t frame_bytes = 0;  // header and body of that frame
  std::span<const uint8_t>
      bytes;            // header piece: valid until the next call; else part of the input
  bool starts = false;  // this is the header
  bool ends = false;    // with this piece the frame is complete

  FrameType type() const { return static_cast<FrameType>(first_byte >> 4); }
  unsigned qos() const { return (first_byte >> 1) & 3U; }  // meaningful for PUBLISH only
};

class FrameScan {
 public:
  enum class Status {
    kPiece,      // `piece` is filled and its bytes are taken off the front of `in`
    kNeedMore,   // `in` is used up
    kMalformed,  // no MQTT stream: reserved type, or a length of more than four bytes. Final.
  };

  Status next(std::span<const uint8_t>& in, FramePiece& piece);

 private:
  Status next_of_header(std::span<const uint8_t>& in, FramePiece& piece);

  std::array<uint8_t, 5> header_{};
  uint32_t header_bytes_ = 0;
  uint32_t body_bytes_ = 0;  // length field as far as read
  uint32_t body_left_ = 0;   // bytes of the current body still to come
  uint32_t frame_bytes_ = 0;
  bool malformed_ = false;
};

}  // namespace penstock::mqtt
