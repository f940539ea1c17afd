#include "plugins/mqtt/filter_note.h"

#include <algorithm>
#include <charconv>

namespace penstock::mqtt {
namespace {

// Each text with its length in front: filters may contain any character.
constexpr std::string_view kFirst = "penstock-mqtt-filters 2\n";
constexpr std::string_view kFirstWithoutServer = "penstock-mqtt-filters 1\n";

void append(std::string_view text, std::string& out) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
  out += '\n';
}

std::optional<std::string> take(std::string_view& rest) {
  size_t size = 0;
  const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
  if (failure != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  if (rest.size() < 2 || size > rest.size() - 2 || rest[0] != ':' || rest[size + 1] != '\n')
    return std::nullopt;
  std::string text(rest.substr(1, size));
  rest.remove_prefix(size + 2);
  return text;
}

}  // namespace

std::string encode_filter_note(const FilterNote& note) {
  std::string bytes(kFirst);
  append(note.client_id, bytes);
  append(note.server, bytes);
  for (const auto& filter : note.filters) append(filter, bytes);
  return bytes;
}

std::optional<FilterNote> decode_filter_note(std::string_view bytes) {
  const bool old = bytes.starts_with(kFirstWithoutServer);
  if (!old && !bytes.starts_with(kFirst)) return std::nullopt;
  bytes.remove_prefix(kFirst.size());
  auto client_id = take(bytes);
  auto server = client_id && !old ? take(bytes) : std::string();
  if (!client_id || !server) return std::nullopt;
  FilterNote note{*std::move(client_id), *std::move(server), {}};
  while (!bytes.empty()) {
    auto filter = take(bytes);
    if (!filter) return std::nullopt;
    note.filters.push_back(*std::move(filter));
  }
  return note;
}

std::vector<std::string> without(const std::vector<std::string>& from,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> rest;
  std::copy_if(from.begin(), from.end(), std::back_inserter(rest), [&](const auto& one) {
    return std::find(others.begin(), others.end(), one) == others.end();
  });
  return rest;
}

}  // namespace penstock::mqtt
