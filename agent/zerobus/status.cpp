#include "agent/zerobus/status.h"

#include <array>

#include "agent/base/text.h"

namespace penstock::zerobus {
namespace {

constexpr std::array<std::string_view, 17> kNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// C0, DEL and, in two bytes, C1.
bool is_control(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  return character.size() == 2 && byte(0) == 0xC2 && byte(1) < 0xA0;
}

}  // namespace

Verdict classify(int code, StreamPhase phase) {
  switch (code) {
    case code::kResourceExhausted:
      return {ErrorKind::kThrottled, "The service asks for less; sending slower."};
    case code::kUnauthenticated:
      return {ErrorKind::kDenied,
              "Check the destination's `auth`: is the client secret or token valid, and is the "
              "clock set?"};
    case code::kPermissionDenied:
      return {
          ErrorKind::kDenied,
          "Grant the service principal USE CATALOG, USE SCHEMA and, on the table itself, SELECT "
          "and MODIFY."};
    case code::kNotFound:
      return {ErrorKind::kDenied, "Create the table, or correct `table` in the route."};
    case code::kUnimplemented:
      return {ErrorKind::kDenied,
              "Check `endpoint`: it must be the Zerobus endpoint of the workspace."};
    case code::kInvalidArgument:
    case code::kOutOfRange:
      if (phase == StreamPhase::kOpen) {
        return {ErrorKind::kRejected, "Compare the route's `columns` with the table's schema."};
      }
      return {ErrorKind::kDenied,
              "The schema sent does not fit the table: compare the route's `columns` with it."};
    default:
      return {ErrorKind::kTransient, ""};
  }
}

Verdict classify(const Status& status, StreamPhase phase) {
  if (!status.too_large) return classify(status.code, phase);
  return {phase == StreamPhase::kOpen ? ErrorKind::kRejected : ErrorKind::kDenied,
          "Something on the way takes smaller messages than the service does (10 MiB): raise its "
          "limit, or lower the destination's batch.max_size."};
}

// By whole characters, so that what is cut is UTF-8 as well.
std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const size_t length = utf8_character(rest);
    const std::string_view one = length ? rest.substr(0, length) : "?";
    if (out.size() + one.size() > max_bytes) return out + "...";
    out += is_control(one) ? " " : one;
    at += one.size();
  }
  return out;
}

std::string code_name(int code) {
  if (code >= 0 && code < static_cast<int>(kNames.size())) return std::string(kNames[code]);
  return "code " + std::to_string(code);
}

std::string describe(const Status& status, StreamPhase phase) {
  if (status.code == code::kOk) return "the server ended the stream";
  std::string text = code_name(status.code) + ": " + printable(status.message);
  const std::string_view advice = classify(status, phase).advice;
  if (!advice.empty()) text.append(". ").append(advice);
  return text;
}

}  // namespace penstock::zerobus
