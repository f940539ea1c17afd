// CompactObject: a JSON object as it stands, without the white space around its tokens, for rows
// that are the payload itself.
//
// The quick way for what nearly every payload is, in one pass and mostly without a copy. It never
// says yes to what JsonReader would refuse; it says no also to some things JsonReader accepts, so
// whoever gets a no asks JsonReader, which has the words for what is wrong. Left to JsonReader:
// escapes in keys, escaped surrogates, numbers that might be beyond a double, more than kMaxKeys
// keys, anything that is no object.
//
// One thread; what it holds is reused from payload to payload and begins small, because every lane
// has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::codec {

class CompactObject {
 public:
  static constexpr size_t kMaxKeys = 512;  // of all objects of one payload

  // `max_depth`: nesting of a payload, as JsonReader's.
  explicit CompactObject(size_t max_depth) : max_depth_(max_depth) {}

  // The object's text: UTF-8, one complete value, no key twice in an object. Valid as long as
  // `payload` and until the next call. Nothing: ask JsonReader.
  std::optional<std::string_view> read(std::string_view payload);

  // Gives back a buffer that a single large payload has blown up.
  void release_large_buffers();

 private:
  // A key: of which object of its payload, and `name":` in shape_text_.
  struct Key {
    uint32_t object = 0;
    uint32_t begin = 0;
    uint32_t size = 0;
  };
  struct Place {
    uint64_t filled = 0;  // as of which fill_table(); others are free
    uint32_t hash = 0;
    uint32_t key = 0;  // in shape_
  };

  // Each takes a position and returns the one behind what it is named after; null: left.
  const char* space(const char* at) {
    return at == end_ || static_cast<unsigned char>(*at) > ' ' ? at : skip_space(at);
  }
  const char* skip_space(const char* at);
  const char* object(const char* at, size_t depth);
  const char* array(const char* at, size_t depth);
  const char* value(const char* at, size_t depth);
  const char* string(const char* at);
  const char* escape(const char* at);
  const char* number(const char* at);
  const char* word(const char* at, std::string_view expected);
  const char* key(const char* at, uint32_t object);  // and the colon

  bool as_expected(const char* at, uint32_t object) const;
  std::string_view token(const Key& key) const {
    return std::string_view(shape_text_).substr(key.begin, key.size);
  }
  bool is_new(uint32_t object, std::string_view name);
  void fill_table();
  Place* free_place(uint32_t hash, uint32_t object, std::string_view name);

  const size_t max_depth_;
  // The payload under way.
  const char* end_ = nullptr;
  const char* kept_ = nullptr;  // first byte that is not yet in buffer_
  size_t key_count_ = 0;
  uint32_t objects_ = 0;
  std::string buffer_;  // what stood before the last white space within the object

  // Payloads of a lane mostly have the same keys in the same order. As long as one has those of the
  // payload before, each of its keys is known to be new in its object.
  std::vector<Key> shape_;
  std::string shape_text_;
  bool same_shape_ = false;

  // Else they are looked up.
  uint64_t filled_ = 0;
  std::vector<Place> places_ = std::vector<Place>(64);  // a power of two, at most half in use
};

}  // namespace penstock::codec
