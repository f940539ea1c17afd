#include <array>
#include <cstdint>
#include <utility>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

// MODBUS over Serial Line V1.02: address, function, data, CRC; at most 256 bytes.
constexpr size_t kShortest = 4;
constexpr size_t kLongest = 256;
constexpr uint8_t kLastAddress = 247;

// The lengths a frame that begins like `bytes` can have, by the function (MODBUS Application
// Protocol V1.1b3): of the request and of the reply. 0: not known yet, more bytes are needed.
// Empty: the function does not say, only silence ends the frame.
struct Lengths {
  std::array<size_t, 2> values{};
  size_t count = 0;
};

size_t counted(std::string_view bytes, size_t at, size_t rest) {
  return bytes.size() > at ? rest + static_cast<uint8_t>(bytes[at]) : 0;
}

Lengths lengths_of(std::string_view bytes) {
  const auto function = static_cast<uint8_t>(bytes[1]);
  if (function & 0x80) return {{5}, 1};
  switch (function) {
    case 1:
    case 2:
    case 3:
    case 4:
      return {{8, counted(bytes, 2, 5)}, 2};
    case 5:
    case 6:
    case 8:
      return {{8}, 1};
    case 7:
      return {{4, 5}, 2};
    case 11:
      return {{4, 8}, 2};
    case 12:
    case 17:
      return {{4, counted(bytes, 2, 5)}, 2};
    case 15:
    case 16:
      return {{8, counted(bytes, 6, 9)}, 2};
    case 20:
    case 21:
      return {{counted(bytes, 2, 5)}, 1};
    case 22:
      return {{10}, 1};
    case 23:
      return {{counted(bytes, 2, 5), counted(bytes, 10, 13)}, 2};
    default:
      return {};
  }
}

bool crc_holds(std::string_view frame) {
  if (frame.size() < kShortest) return false;
  const auto low = static_cast<uint8_t>(frame[frame.size() - 2]);
  const auto high = static_cast<uint8_t>(frame[frame.size() - 1]);
  return modbus_crc(frame.substr(0, frame.size() - 2)) == (high << 8 | low);
}

class ModbusFraming final : public Framing {
 public:
  ModbusFraming(size_t max_bytes, int64_t gap_us)
      : longest_(std::min(max_bytes, kLongest)), gap_us_(gap_us) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    on_time(at, out);
    for (const char byte : bytes) {
      last_ = at;
      buffer_.push_back(byte);
      while (take_head(out)) {
      }
    }
  }

  std::optional<int64_t> deadline_us() const override {
    if (buffer_.empty()) return std::nullopt;
    return last_.mono_us + gap_us_;
  }

  // After silence everything that was one frame is here.
  void on_time(Instant now, std::vector<Frame>& out) override {
    if (buffer_.empty() || now.mono_us < last_.mono_us + gap_us_) return;
    while (!buffer_.empty()) {
      if (buffer_.size() <= longest_ && crc_holds(buffer_)) {
        emit(buffer_.size(), out);
      } else if (const size_t length = good_length()) {
        emit(length, out);
      } else {
        skip();
      }
    }
    reset();
  }

 protected:
  bool has_partial() const override { return !buffer_.empty() && in_place_; }
  void reset() override {
    buffer_.clear();
    in_place_ = true;
  }

 private:
  // The length of the frame at the head whose CRC holds; 0: none.
  size_t good_length() const {
    if (buffer_.size() < kShortest) return 0;
    const auto lengths = lengths_of(buffer_);
    for (size_t i = 0; i < lengths.count; ++i) {
      const size_t length = lengths.values[i];
      const bool here = length >= kShortest && length <= longest_ && length <= buffer_.size();
      if (here && crc_holds(std::string_view(buffer_).substr(0, length))) return length;
    }
    return 0;
  }

  // Whether the head can still become a frame when more comes.
  bool may_become_frame() const {
    if (static_cast<uint8_t>(buffer_[0]) > kLastAddress) return false;
    if (buffer_.size() < 2) return true;
    if ((buffer_[1] & 0x7F) == 0 || buffer_.size() >= longest_) return false;
    const auto lengths = lengths_of(buffer_);
    for (size_t i = 0; i < lengths.count; ++i) {
      const size_t length = lengths.values[i];
      if (length == 0 || (length <= longest_ && length > buffer_.size())) return true;
    }
    return lengths.count == 0;
  }

  // True when the head was dealt with and there is another.
  bool take_head(std::vector<Frame>& out) {
    if (buffer_.empty()) return false;
    if (const size_t length = good_length()) {
      emit(length, out);
    } else if (may_become_frame()) {
      return false;
    } else {
      skip();
    }
    return true;
  }

  void emit(size_t length, std::vector<Frame>& out) {
    out.push_back({buffer_.substr(0, length), last_.wall_us});
    buffer_.erase(0, length);
    in_place_ = true;
  }

  // One byte that begins no frame. The first of a run is counted: a wrong CRC where a frame was to
  // be, or a lost place.
  void skip() {
    if (in_place_) {
      const bool frame_like = buffer_.size() >= kShortest &&
                              static_cast<uint8_t>(buffer_[0]) <= kLastAddress &&
                              (buffer_[1] & 0x7F) != 0;
      ++(frame_like ? counts_.checksum_errors : counts_.resyncs);
    }
    in_place_ = false;
    buffer_.erase(0, 1);
  }

  const size_t longest_;
  const int64_t gap_us_;
  std::string buffer_;
  Instant last_;
  bool in_place_ = true;  // the head is where a frame is to begin
};

}  // namespace

uint16_t modbus_crc(std::string_view bytes) {
  uint16_t crc = 0xFFFF;
  for (const char byte : bytes) {
    crc = static_cast<uint16_t>(crc ^ static_cast<uint8_t>(byte));
    for (int bit = 0; bit < 8; ++bit)
      crc = static_cast<uint16_t>(crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1);
  }
  return crc;
}

std::unique_ptr<Framing> make_modbus_framing(size_t max_bytes, int64_t gap_us) {
  return std::make_unique<ModbusFraming>(max_bytes, gap_us);
}

}  // namespace penstock::serial
