#include "agent/codec/compact_object.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "agent/codec/json_text.h"
#include "agent/codec/number_text.h"

namespace penstock::codec {
namespace {

constexpr size_t kKeptBytes = size_t{256} * 1024;
constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighs = 0x8080808080808080;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

template <size_t kBytes>
uint64_t load(const char* from) {
  uint64_t word = 0;
  std::memcpy(&word, from, kBytes);
  return word;
}

// A high bit in each byte that is `c`, and perhaps in bytes above the lowest of those.
uint64_t equal_to(uint64_t word, char c) {
  const uint64_t differs = word ^ (kOnes * static_cast<unsigned char>(c));
  return (differs - kOnes) & ~differs & kHighs;
}

bool ends_plain_text(char c) {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

// The first quote, backslash or control character; `end` when there is none. Eight bytes a step.
const char* plain_text_end(const char* at, const char* end) {
  if constexpr (std::endian::native == std::endian::little) {
    for (; end - at >= 8; at += 8) {
      const uint64_t word = load<8>(at);
      const uint64_t control = (word - kOnes * 0x20) & ~word & kHighs;
      const uint64_t hits = equal_to(word, '"') | equal_to(word, '\\') | control;
      if (hits != 0) return at + (std::countr_zero(hits) >> 3);
    }
  }
  while (at < end && !ends_plain_text(*at)) ++at;
  return at;
}

// Its bytes, more or less: the first and the last ones of names that are longer than sixteen. Loads
// of fixed sizes; names that look alike only make the search longer.
uint32_t hash_of(std::string_view name) {
  const char* const begin = name.data();
  const char* const end = begin + name.size();
  uint64_t first = 0;
  uint64_t last = 0;
  if (name.size() >= 8) {
    first = load<8>(begin);
    last = load<8>(end - 8);
  } else if (name.size() >= 4) {
    first = load<4>(begin);
    last = load<4>(end - 4);
  } else {
    for (const char c : name) first = first << 8 | static_cast<unsigned char>(c);
  }
  const uint64_t mixed = (first ^ name.size()) * 0x9E3779B97F4A7C15 ^ std::rotl(last, 32);
  return static_cast<uint32_t>((mixed * 0xC2B2AE3D27D4EB4F) >> 32);
}

// As memcmp() == 0, without the call for what field names are: 4 to 16 bytes.
bool same_bytes(const char* one, const char* other, size_t size) {
  if (size < 4 || size > 16) return std::memcmp(one, other, size) == 0;
  if (size < 8) {
    return load<4>(one) == load<4>(other) && load<4>(one + size - 4) == load<4>(other + size - 4);
  }
  return load<8>(one) == load<8>(other) && load<8>(one + size - 8) == load<8>(other + size - 8);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string_view> CompactObject::read(std::string_view payload) {
  const char* begin = payload.data();
  end_ = begin + payload.size();
  while (begin != end_ && is_space(*begin)) ++begin;
  while (begin != end_ && is_space(end_[-1])) --end_;
  if (begin == end_ || *begin != '{' || max_depth_ < 1 || !is_utf8(payload)) return std::nullopt;
  kept_ = begin;
  key_count_ = 0;
  objects_ = 0;
  same_shape_ = true;
  buffer_.clear();
  if (object(begin, 1) != end_) return std::nullopt;
  const std::string_view last(kept_, static_cast<size_t>(end_ - kept_));
  if (buffer_.empty()) return last;
  buffer_.append(last);
  return buffer_;
}

void CompactObject::release_large_buffers() {
  if (buffer_.capacity() > kKeptBytes) buffer_ = {};
  if (shape_text_.capacity() <= kKeptBytes) return;
  shape_text_ = {};
  shape_.clear();
}

const char* CompactObject::skip_space(const char* at) {
  if (!is_space(*at)) return at;  // a control character; whoever comes next will not take it
  buffer_.append(kept_, static_cast<size_t>(at - kept_));
  while (at != end_ && is_space(*at)) ++at;
  kept_ = at;
  return at;
}

const char* CompactObject::object(const char* at, size_t depth) {
  const uint32_t self = ++objects_;
  at = space(at + 1);
  if (at != end_ && *at == '}') return at + 1;
  while (at != end_ && *at == '"') {
    at = key(at + 1, self);
    if (!at) return nullptr;
    at = value(space(at), depth);
    if (!at) return nullptr;
    at = space(at);
    if (at == end_) return nullptr;
    if (*at == '}') return at + 1;
    if (*at != ',') return nullptr;
    at = space(at + 1);
  }
  return nullptr;
}

const char* CompactObject::array(const char* at, size_t depth) {
  at = space(at + 1);
  if (at != end_ && *at == ']') return at + 1;
  while ((at = value(at, depth))) {
    at = space(at);
    if (at == end_) return nullptr;
    if (*at == ']') return at + 1;
    if (*at != ',') return nullptr;
    at = space(at + 1);
  }
  return nullptr;
}

const char* CompactObject::value(const char* at, size_t depth) {
  if (at == end_) return nullptr;
  switch (*at) {
    case '"':
      return string(at + 1);
    case '{':
      return depth < max_depth_ ? object(at, depth + 1) : nullptr;
    case '[':
      return depth < max_depth_ ? array(at, depth + 1) : nullptr;
    case 't':
      return word(at, "true");
    case 'f':
      return word(at, "false");
    case 'n':
      return word(at, "null");
    default:
      return number(at);
  }
}

const char* CompactObject::string(const char* at) {
  while ((at = plain_text_end(at, end_)) != end_) {
    if (*at == '"') return at + 1;
    if (*at != '\\' || !(at = escape(at))) return nullptr;
  }
  return nullptr;
}

const char* CompactObject::escape(const char* at) {
  if (end_ - at < 2) return nullptr;
  if (at[1] != 'u') {
    const bool known = std::string_view("\"\\/bfnrt").find(at[1]) != std::string_view::npos;
    return known ? at + 2 : nullptr;
  }
  if (end_ - at < 6) return nullptr;
  int code = 0;
  for (int i = 2; i < 6; ++i) {
    const int digit = hex_value(at[i]);
    if (digit < 0) return nullptr;
    code = code * 16 + digit;
  }
  return code < 0xD800 || code > 0xDFFF ? at + 6 : nullptr;
}

const char* CompactObject::number(const char* at) {
  const size_t size = held_number({at, static_cast<size_t>(end_ - at)});
  return size > 0 ? at + size : nullptr;
}

const char* CompactObject::word(const char* at, std::string_view expected) {
  const bool found = std::string_view(at, static_cast<size_t>(end_ - at)).starts_with(expected);
  return found ? at + expected.size() : nullptr;
}

const char* CompactObject::key(const char* at, uint32_t object) {
  if (as_expected(at, object)) return at + shape_[key_count_++].size;
  const char* const name_end = plain_text_end(at, end_);
  if (name_end == end_ || *name_end != '"') return nullptr;
  if (!is_new(object, {at, static_cast<size_t>(name_end - at)})) return nullptr;
  at = space(name_end + 1);
  return at != end_ && *at == ':' ? at + 1 : nullptr;
}

bool CompactObject::as_expected(const char* at, uint32_t object) const {
  if (!same_shape_ || key_count_ == shape_.size() || shape_[key_count_].object != object)
    return false;
  const Key& expected = shape_[key_count_];
  return static_cast<size_t>(end_ - at) >= expected.size &&
         same_bytes(at, shape_text_.data() + expected.begin, expected.size);
}

// The first key that is not as expected makes this payload the shape that the next is held against,
// and from there on each is looked up.
bool CompactObject::is_new(uint32_t object, std::string_view name) {
  if (std::exchange(same_shape_, false)) {
    shape_.resize(key_count_);
    shape_text_.resize(shape_.empty() ? 0 : shape_.back().begin + shape_.back().size);
    fill_table();
  }
  if (++key_count_ > kMaxKeys) return false;
  if (2 * key_count_ > places_.size()) {
    places_.resize(2 * places_.size());
    fill_table();
  }
  const uint32_t hash = hash_of(name) + object;
  Place* const place = free_place(hash, object, name);
  if (!place) return false;
  *place = {filled_, hash, static_cast<uint32_t>(shape_.size())};
  const auto begin = static_cast<uint32_t>(shape_text_.size());
  shape_text_.append(name).append("\":");
  shape_.push_back({object, begin, static_cast<uint32_t>(name.size() + 2)});
  return true;
}

void CompactObject::fill_table() {
  ++filled_;
  for (uint32_t i = 0; i < shape_.size(); ++i) {
    auto name = token(shape_[i]);
    name.remove_suffix(2);
    const uint32_t hash = hash_of(name) + shape_[i].object;
    if (Place* const place = free_place(hash, shape_[i].object, name)) *place = {filled_, hash, i};
  }
}

// Null: this object has a key of that name.
auto CompactObject::free_place(uint32_t hash, uint32_t object, std::string_view name) -> Place* {
  for (size_t at = hash;; ++at) {
    Place& place = places_[at & (places_.size() - 1)];
    if (place.filled != filled_) return &place;
    if (place.hash != hash || shape_[place.key].object != object) continue;
    auto other = token(shape_[place.key]);
    other.remove_suffix(2);
    if (other == name) return nullptr;
  }
}

}  // namespace penstock::codec
