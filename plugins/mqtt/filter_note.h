// What an input remembers over restarts: the filters that its session at the broker may hold, so
// that those that left the configuration can be unsubscribed. Pure.
//
// Written before a filter is asked for and again after the broker has confirmed that one is gone,
// so a crash between leaves a filter too many in it, which costs one UNSUBSCRIBE, never one too
// few.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::mqtt {

struct FilterNote {
  std::string client_id;  // whose session
  std::string server;     // where; empty in notes of older versions
  std::vector<std::string> filters;

  bool operator==(const FilterNote&) const = default;
};

std::string encode_filter_note(const FilterNote& note);
// Nothing for bytes that encode_filter_note cannot have written.
std::optional<FilterNote> decode_filter_note(std::string_view bytes);

// The elements of `from` that are not in `others`, in order.
std::vector<std::string> without(const std::vector<std::string>& from,
                                 const std::vector<std::string>& others);

}  // namespace penstock::mqtt
