#include "plugins/mqtt/topic_text.h"

#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::mqtt {

std::string_view topic_problem(std::string_view topic) {
  if (topic.empty()) return "the topic is empty";
  if (topic.find('\0') != std::string_view::npos) return "the topic contains a NUL character";
  if (!sdk::is_utf8(topic)) return "the topic is not valid UTF-8";
  return {};
}

std::string escaped_topic(std::string_view topic) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char one : topic) {
    const auto byte = static_cast<unsigned char>(one);
    if (byte >= 0x20 && byte < 0x7F) {
      text += one;
    } else {
      text += "\\x";
      text += kDigits[byte >> 4];
      text += kDigits[byte & 0xF];
    }
  }
  return text;
}

}  // namespace penstock::mqtt
