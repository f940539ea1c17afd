// The framings, one .cpp each. All obey the contract of framing.h; limits are in bytes, gaps in
// microseconds.
#pragma once

#include <memory>

#include "plugins/serial/framing.h"

namespace penstock::serial {

// Frames end with `delimiter` (not empty), found as the first occurrence of exactly these bytes.
// With `strip_cr` one
// '\r' before it is not part of the frame: lines that end in "\n" or "\r\n", mixed as they come.
std::unique_ptr<Framing> make_delimiter_framing(std::string delimiter, bool strip_cr,
                                                size_t max_bytes);

// Every `length` bytes are a frame. The only way back after a lost byte is a pause: an unfinished
// frame followed by `gap_us` of silence is discarded as a resync.
std::unique_ptr<Framing> make_fixed_framing(size_t length, int64_t gap_us);

// A length in 1, 2 or 4 bytes, then so many bytes. A length over max_bytes skips that frame; one
// over 16 times that is taken for a lost place, and the next believable length is looked for byte
// by byte. Silence as in fixed.
std::unique_ptr<Framing> make_length_prefix_framing(int prefix_bytes, bool little_endian,
                                                    size_t max_bytes, int64_t gap_us);

// STX (0x02) bytes ETX (0x03), no escapes. CR and LF between frames are silently passed over, all
// else there is noise.
std::unique_ptr<Framing> make_stx_etx_framing(size_t max_bytes);

// SLIP, RFC 1055. An escape followed by a byte the RFC does not name loses the frame (the RFC would
// keep it).
std::unique_ptr<Framing> make_slip_framing(size_t max_bytes);

// Consistent overhead byte stuffing (Cheshire and Baker, 1999): frames end with a zero byte.
std::unique_ptr<Framing> make_cobs_framing(size_t max_bytes);

// NMEA 0183 sentences, from '$' or '!' to the line end, passed on with start and checksum but
// without the line end. A wrong or missing checksum drops the sentence.
std::unique_ptr<Framing> make_nmea_framing(size_t max_bytes);

// What came without a pause of `gap_us` is a frame. Silence is measured where bytes are read, so a
// gap must stay well above the latency of the adapter (16 ms for common USB ones) and of the
// machine.
std::unique_ptr<Framing> make_idle_gap_framing(size_t max_bytes, int64_t gap_us);

// Modbus RTU, listened to: requests and replies, each with its CRC. The length follows from the
// function code, so frames that come without a pause between them (USB adapters) are told apart;
// where the function does not say, silence of `gap_us` ends the frame.
std::unique_ptr<Framing> make_modbus_framing(size_t max_bytes, int64_t gap_us);
uint16_t modbus_crc(std::string_view bytes);

}  // namespace penstock::serial
