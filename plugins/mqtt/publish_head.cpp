#include "plugins/mqtt/publish_head.h"

#include <algorithm>
#include <optional>

namespace penstock::mqtt {
namespace {

// The longest topic, its length, the packet identifier and some properties in front of a payload.
constexpr size_t kKeptBytes = 2 + 65535 + 2 + 4096 + PublishHead::kPayloadBytes;

// Where the properties of MQTT 5 that begin at `at` end; nothing: beyond the bytes.
std::optional<size_t> end_of_properties(std::span<const uint8_t> body, size_t at) {
  size_t length = 0;
  for (unsigned shift = 0; shift < 28; shift += 7) {
    if (at >= body.size()) return std::nullopt;
    const uint8_t byte = body[at++];
    length |= static_cast<size_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0)
      return at + length <= body.size() ? std::optional(at + length) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

void append_length(uint32_t length, std::vector<uint8_t>& out) {
  do {
    const auto low = static_cast<uint8_t>(length & 0x7F);
    length >>= 7;
    out.push_back(length ? low | 0x80 : low);
  } while (length);
}

void PublishHead::take(const FramePiece& piece) {
  under_way_ = !piece.ends;
  if (piece.starts) {
    first_byte_ = piece.first_byte;
    packet_bytes_ = piece.frame_bytes;
    body_.clear();
    return;
  }
  const auto kept = piece.bytes.first(std::min(piece.bytes.size(), kKeptBytes - body_.size()));
  body_.insert(body_.end(), kept.begin(), kept.end());
}

bool PublishHead::append_substitute(const SetAsideMark& mark, bool v5,
                                    std::vector<uint8_t>& out) const {
  const unsigned qos = (first_byte_ >> 1) & 3U;
  if (body_.size() < 2 || qos == 3) return false;
  const size_t topic = size_t{body_[0]} << 8 | body_[1];
  const size_t head = 2 + topic + (qos > 0 ? 2 : 0);
  if (head > body_.size()) return false;
  // With properties too long to be kept nothing is known of the payload but that it is there.
  const size_t payload_at = v5 ? end_of_properties(body_, head).value_or(body_.size()) : head;
  const auto payload = std::span(body_).subspan(payload_at);
  const auto kept = payload.first(std::min(payload.size(), kPayloadBytes));
  out.push_back(first_byte_);
  append_length(static_cast<uint32_t>(head + (v5 ? 1 : 0) + SetAsideMark::kBytes + kept.size()),
                out);
  out.insert(out.end(), body_.begin(), body_.begin() + static_cast<std::ptrdiff_t>(head));
  if (v5) out.push_back(0);
  mark.append(packet_bytes_, out);
  out.insert(out.end(), kept.begin(), kept.end());
  return true;
}

}  // namespace penstock::mqtt
