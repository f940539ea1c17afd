// The lines of a file of any size, one at a time, in bounded memory. Owner: one function; the file
// stays the caller's.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace penstock::cli {

class LineReader {
 public:
  // A record of the largest size as base64 and what surrounds it.
  static constexpr size_t kMaxLineBytes = size_t{96} << 20;

  explicit LineReader(std::FILE* file) : file_(file), buffer_(size_t{256} << 10, '\0') {}

  // False at the end, or when the file cannot be read any further: then failed(), errno says why.
  // The last line needs no newline.
  bool next() {
    line_.clear();
    too_long_ = false;
    bool any = false;
    for (;;) {
      if (at_ == end_ && !refill()) break;
      any = true;
      const std::string_view rest(buffer_.data() + at_, end_ - at_);
      const auto newline = rest.find('\n');
      keep(rest.substr(0, newline));
      at_ += newline == rest.npos ? rest.size() : newline + 1;
      if (newline != rest.npos) break;
    }
    if (any) ++number_;
    return any;
  }
  std::string_view line() const { return line_; }
  uint64_t number() const { return number_; }  // from 1
  bool too_long() const { return too_long_; }
  bool failed() const { return std::ferror(file_) != 0; }

 private:
  bool refill() {
    at_ = 0;
    end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_);
    return end_ > 0;
  }
  void keep(std::string_view part) {
    if (line_.size() + part.size() > kMaxLineBytes) too_long_ = true;
    if (too_long_) {
      line_ = {};
    } else {
      line_.append(part);
    }
  }

  std::FILE* file_;
  std::string buffer_;
  size_t at_ = 0;
  size_t end_ = 0;
  std::string line_;
  uint64_t number_ = 0;
  bool too_long_ = false;
};

}  // namespace penstock::cli
