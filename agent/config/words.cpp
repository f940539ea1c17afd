#include "agent/config/words.h"

#include <algorithm>
#include <numeric>

namespace penstock::config {
namespace {

constexpr size_t kLongestWord = 64;  // nothing known is longer; also bounds the work below
constexpr size_t kShortestStart = 3;
constexpr size_t kMostListed = 16;
constexpr size_t kLongestQuote = 60;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_alpha(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Edit distance where swapping two neighbours counts as one edit (optimal string alignment).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

// More edits count as a slip the longer the word is, and when one word is the start of the other.
size_t most_edits(std::string_view word, std::string_view candidate) {
  const bool is_start = word.starts_with(candidate) || candidate.starts_with(word);
  const bool tells = std::min(word.size(), candidate.size()) >= kShortestStart;
  return is_start && tells ? 3 : std::max<size_t>(1, word.size() / 3);
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() > kLongestWord) return {};
  const std::string wanted = lowered(word);
  std::string_view best;
  size_t best_distance = kLongestWord;
  for (const auto candidate : known) {
    if (candidate.size() > kLongestWord) continue;
    const std::string other = lowered(candidate);
    const size_t found = distance(wanted, other);
    // Sharing no letter at all is no likeness: `x` is not a slip for `b`.
    const bool is_near =
        found <= most_edits(wanted, other) && found < std::max(wanted.size(), other.size());
    if (is_near && found < best_distance) {
      best = candidate;
      best_distance = found;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known) {
  const auto meant = nearest(word, known);
  if (!meant.empty()) return "did you mean `" + std::string(meant) + "`?";
  if (known.empty() || known.size() > kMostListed) return {};
  return "known here: " + join(known, ", ");
}

std::string key_suggestion(std::string_view key, std::span<const std::string_view> free,
                           std::span<const std::string_view> taken) {
  const bool only_taken = nearest(key, free).empty() && !nearest(key, taken).empty();
  return suggestion(key, only_taken ? taken : free);
}

bool is_boolean_word(std::string_view word) {
  if (word.empty() || word.size() > 5) return false;
  const std::string low = lowered(word);
  const bool listed =
      low == "true" || low == "false" || low == "yes" || low == "no" || low == "on" || low == "off";
  if (!listed) return false;
  // YAML 1.1 knows `on`, `On` and `ON`, but not `oN`.
  const std::string_view tail = word.substr(1);
  const bool tail_low = tail == std::string_view(low).substr(1);
  const bool all_high =
      std::none_of(word.begin(), word.end(), [](char c) { return c == lower(c); });
  return tail_low || all_high;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= 64 && !is_digit(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

std::string quote(std::string_view text) {
  std::string out = "`";
  for (const char c : text.substr(0, kLongestQuote)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  }
  if (text.size() > kLongestQuote) {
    // Do not leave half a UTF-8 character behind.
    while (out.size() > 1 && (static_cast<unsigned char>(out.back()) & 0x80) != 0) out.pop_back();
    out += "...";
  }
  return out + "`";
}

std::string join(std::span<const std::string_view> words, std::string_view separator) {
  std::string out;
  for (const auto word : words) {
    if (!out.empty()) out += separator;
    out += word;
  }
  return out;
}

}  // namespace penstock::config
