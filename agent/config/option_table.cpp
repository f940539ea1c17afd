#include "agent/config/option_table.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>

#include "agent/config/words.h"

namespace penstock::config {
namespace {

enum class Place { kValue, kMap, kList };

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
}

// Walks the steps of one name; `places` are those of the names before it.
std::string name_problem(const std::string& name, std::map<std::string, Place>& places) {
  for (size_t from = 0; from <= name.size();) {
    const size_t dot = std::min(name.find('.', from), name.size());
    std::string_view word = std::string_view(name).substr(from, dot - from);
    const bool last = dot == name.size();
    const bool each = word.ends_with("[]");
    if (each) word.remove_suffix(2);
    if (!is_word(word) || (last && each)) return "has a name that is no path of words";
    const Place place = last ? Place::kValue : each ? Place::kList : Place::kMap;
    const size_t end = from + word.size();
    const auto [known, fresh] = places.emplace(name.substr(0, end), place);
    if (!fresh && (last || known->second != place))
      return last && known->second == place
                 ? "stands in it twice"
                 : quote(name.substr(0, end)) + " is a value, a map or a list, not two of them";
    from = dot + 1;
    if (last) break;
  }
  return {};
}

}  // namespace

std::string option_table_problem(std::span<const OptionSpec> specs) {
  std::map<std::string, Place> places;
  for (const auto& spec : specs) {
    const std::string row = "option " + spec.name + " ";
    if (auto problem = name_problem(spec.name, places); !problem.empty())
      return "option " + quote(spec.name) + ": " + problem;
    if (spec.type < OptionType::kString || spec.type > OptionType::kStringList)
      return row + "has a type " + std::to_string(static_cast<int>(spec.type)) +
             " that is not known";
    if (spec.type == OptionType::kEnum && spec.choices.empty()) return row + "has no choices";
  }
  return {};
}

}  // namespace penstock::config
