#include "agent/codec/encoder_spec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "agent/base/text.h"

namespace penstock::codec {
namespace {

template <class T>
using Word = std::pair<std::string_view, T>;

constexpr std::array kFormats = {Word<PayloadFormat>{"json", PayloadFormat::kJson},
                                 Word<PayloadFormat>{"raw", PayloadFormat::kRaw}};
constexpr std::array kPlainCasts = {Word<Cast>{"string", Cast::kString},
                                    Word<Cast>{"boolean", Cast::kBoolean},
                                    Word<Cast>{"int", Cast::kInt},
                                    Word<Cast>{"bigint", Cast::kBigint},
                                    Word<Cast>{"float", Cast::kFloat},
                                    Word<Cast>{"double", Cast::kDouble},
                                    Word<Cast>{"decimal", Cast::kDecimal},
                                    Word<Cast>{"decimal(p,s)", Cast::kDecimal},
                                    Word<Cast>{"timestamp", Cast::kTimestamp},
                                    Word<Cast>{"date", Cast::kDate},
                                    Word<Cast>{"binary", Cast::kBinary},
                                    Word<Cast>{"binary(base64)", Cast::kBinary},
                                    Word<Cast>{"binary(hex)", Cast::kBinary},
                                    Word<Cast>{"variant", Cast::kVariant},
                                    Word<Cast>{"auto", Cast::kNone}};
constexpr std::array kUnits = {
    Word<TimeUnit>{"auto", TimeUnit::kAuto}, Word<TimeUnit>{"s", TimeUnit::kSeconds},
    Word<TimeUnit>{"ms", TimeUnit::kMillis}, Word<TimeUnit>{"us", TimeUnit::kMicros},
    Word<TimeUnit>{"ns", TimeUnit::kNanos},  Word<TimeUnit>{"iso", TimeUnit::kIso}};
constexpr std::array kOnErrors = {Word<OnError>{"reject", OnError::kReject},
                                  Word<OnError>{"null", OnError::kNull}};
constexpr std::array kUnknownFields = {Word<UnknownFields>{"reject", UnknownFields::kReject},
                                       Word<UnknownFields>{"ignore", UnknownFields::kIgnore},
                                       Word<UnknownFields>{"rescue", UnknownFields::kRescue}};

template <class Words>
Error unknown_word(std::string_view what, std::string_view text, const Words& words) {
  std::string allowed;
  for (const auto& [word, value] : words) {
    (void)value;
    allowed += (allowed.empty() ? "" : ", ") + std::string(word);
  }
  return {ErrorKind::kRejected,
          std::string(what) + " '" + shown(text) + "' is unknown; use one of: " + allowed,
          {}};
}

template <class T, class Words>
Result<T> parse_word(std::string_view what, std::string_view text, const Words& words) {
  for (const auto& [word, value] : words) {
    if (word == text) return value;
  }
  return unknown_word(what, text, words);
}

// Takes a number of one or two digits off the front of `rest`.
std::optional<int> take_small(std::string_view& rest) {
  int value = 0;
  const auto end = rest.data() + std::min<size_t>(rest.size(), 2);
  const auto parsed = std::from_chars(rest.data(), end, value);
  if (parsed.ec != std::errc() || value < 0) return std::nullopt;
  rest.remove_prefix(static_cast<size_t>(parsed.ptr - rest.data()));
  return value;
}

// What stands behind `decimal(`.
Result<CastSpec> parse_decimal(std::string_view rest) {
  CastSpec spec;
  spec.cast = Cast::kDecimal;
  const auto precision = take_small(rest);
  std::optional<int> scale = 0;
  if (precision && rest.starts_with(',')) {
    rest.remove_prefix(1);
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    scale = take_small(rest);
  }
  if (!precision || !scale || rest != ")" || *precision < 1 || *precision > 38 ||
      *scale > *precision) {
    return Error{ErrorKind::kRejected,
                 "a decimal is written decimal(p,s) with 1 <= p <= 38 digits, 0 <= s <= p of them "
                 "after the point",
                 {}};
  }
  spec.precision = *precision;
  spec.scale = *scale;
  return spec;
}

}  // namespace

Result<PayloadFormat> parse_payload_format(std::string_view text) {
  return parse_word<PayloadFormat>("format", text, kFormats);
}

Result<CastSpec> parse_cast(std::string_view text) {
  constexpr std::string_view kDecimalOpen = "decimal(";
  if (text.starts_with(kDecimalOpen)) return parse_decimal(text.substr(kDecimalOpen.size()));
  CastSpec spec;
  if (text.empty()) return spec;
  const auto cast = parse_word<Cast>("cast", text, kPlainCasts);
  if (!cast) return cast.error();
  spec.cast = *cast;
  if (text == "binary(base64)") spec.text = BinaryText::kBase64;
  if (text == "binary(hex)") spec.text = BinaryText::kHex;
  return spec;
}

Result<TimeUnit> parse_time_unit(std::string_view text) {
  if (text.empty()) return TimeUnit::kAuto;
  return parse_word<TimeUnit>("unit", text, kUnits);
}

Result<OnError> parse_on_error(std::string_view text) {
  return parse_word<OnError>("on_error", text, kOnErrors);
}

Result<UnknownFields> parse_unknown_fields(std::string_view text) {
  return parse_word<UnknownFields>("unknown_fields", text, kUnknownFields);
}

}  // namespace penstock::codec
