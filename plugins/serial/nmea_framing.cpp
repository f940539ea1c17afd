#include "plugins/serial/framings.h"
#include "plugins/serial/start_framing.h"

namespace penstock::serial {
namespace {

constexpr size_t kChecksumChars = 3;  // "*47"

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

// NMEA 0183: the exclusive or of all characters between the start and '*', as two hexadecimal
// digits after it.
bool checksum_holds(std::string_view sentence) {
  if (sentence.size() <= kChecksumChars) return false;
  const auto sum = sentence.substr(sentence.size() - kChecksumChars);
  const int high = hex_digit(sum[1]);
  const int low = hex_digit(sum[2]);
  if (sum[0] != '*' || high < 0 || low < 0) return false;
  unsigned char value = 0;
  for (const char c : sentence.substr(1, sentence.size() - kChecksumChars - 1)) {
    value = static_cast<unsigned char>(value ^ static_cast<unsigned char>(c));
  }
  return value == (high << 4 | low);
}

class NmeaFraming final : public StartFraming {
 public:
  explicit NmeaFraming(size_t max_bytes) : StartFraming(max_bytes) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    for (const char byte : bytes) {
      if (byte == '$' || byte == '!') {  // reserved: never inside a sentence
        begin();
        push(byte);
      } else if (byte == '\r' || byte == '\n') {
        if (state_ == State::kInside) finish(at, out);
        state_ = State::kOutside;
      } else if (state_ == State::kInside) {
        push(byte);
      } else {
        stray();
      }
    }
  }

 private:
  void finish(Instant at, std::vector<Frame>& out) {
    if (checksum_holds(buffer_.bytes())) {
      out.push_back({buffer_.take(), at.wall_us});
    } else {
      ++counts_.checksum_errors;
    }
    buffer_.clear();
  }
};

}  // namespace

std::unique_ptr<Framing> make_nmea_framing(size_t max_bytes) {
  return std::make_unique<NmeaFraming>(max_bytes);
}

}  // namespace penstock::serial
