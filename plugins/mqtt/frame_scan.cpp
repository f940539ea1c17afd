#include "plugins/mqtt/frame_scan.h"

#include <algorithm>

namespace penstock::mqtt {

FrameScan::Status FrameScan::next(std::span<const uint8_t>& in, FramePiece& piece) {
  if (malformed_) return Status::kMalformed;
  if (body_left_ == 0) return next_of_header(in, piece);
  if (in.empty()) return Status::kNeedMore;
  const size_t taken = std::min<size_t>(in.size(), body_left_);
  body_left_ -= static_cast<uint32_t>(taken);
  piece.first_byte = header_[0];
  piece.frame_bytes = frame_bytes_;
  piece.bytes = in.first(taken);
  piece.starts = false;
  piece.ends = body_left_ == 0;
  in = in.subspan(taken);
  return Status::kPiece;
}

FrameScan::Status FrameScan::next_of_header(std::span<const uint8_t>& in, FramePiece& piece) {
  while (!in.empty()) {
    const uint8_t byte = in.front();
    in = in.subspan(1);
    header_[header_bytes_++] = byte;
    if (header_bytes_ == 1) {
      body_bytes_ = 0;
      if (byte >> 4 != 0) continue;
      malformed_ = true;
      return Status::kMalformed;
    }
    body_bytes_ |= static_cast<uint32_t>(byte & 0x7F) << (7 * (header_bytes_ - 2));
    if ((byte & 0x80) != 0) {
      if (header_bytes_ < header_.size()) continue;
      malformed_ = true;
      return Status::kMalformed;
    }
    piece.first_byte = header_[0];
    piece.frame_bytes = frame_bytes_ = header_bytes_ + body_bytes_;
    piece.bytes = std::span<const uint8_t>(header_).first(header_bytes_);
    piece.starts = true;
    piece.ends = body_bytes_ == 0;
    header_bytes_ = 0;
    body_left_ = body_bytes_;
    return Status::kPiece;
  }
  return Status::kNeedMore;
}

}  // namespace penstock::mqtt
