// What a stream's final status means for the sender: the gRPC code table of the service's error
// page, with advice.
//
// Pure. Codes are gRPC's (0 OK ... 16 UNAUTHENTICATED), given as int so that deciding code needs no
// gRPC header. The service's message text is shown to people and never interpreted.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace penstock::zerobus {

struct Status {
  int code = 0;
  std::string message;
  // The server ended the stream with words of its own that could not be read, and the code went
  // with them: it may have been any.
  bool unread = false;
  // What ended it is the size of a message that we sent: the server, or something in front of it,
  // takes less than the service.
  bool too_large = false;
};

namespace code {
inline constexpr int kOk = 0;
inline constexpr int kCancelled = 1;
inline constexpr int kUnknown = 2;
inline constexpr int kInvalidArgument = 3;
inline constexpr int kDeadlineExceeded = 4;
inline constexpr int kNotFound = 5;
inline constexpr int kPermissionDenied = 7;
inline constexpr int kResourceExhausted = 8;
inline constexpr int kOutOfRange = 11;
inline constexpr int kUnimplemented = 12;
inline constexpr int kInternal = 13;
inline constexpr int kUnavailable = 14;
inline constexpr int kUnauthenticated = 16;
}  // namespace code

// Where the stream stood when it ended.
enum class StreamPhase {
  kOpening,  // before the server's create response: the request to open was refused
  kOpen,     // after it: what was sent, or the connection, is the cause
};

struct Verdict {
  // kTransient, kThrottled, kDenied (nothing will pass until a person acts) or kRejected (the data
  // sent last).
  ErrorKind kind = ErrorKind::kTransient;
  std::string_view advice;  // what to do, in words; empty where waiting is enough
};

Verdict classify(int code, StreamPhase phase);
Verdict classify(const Status& status, StreamPhase phase);

// "UNAVAILABLE"; "code 42" for numbers gRPC does not define.
std::string code_name(int code);

// "NOT_FOUND: table x does not exist. <advice>", one line, at most about 600 bytes: server text is
// cut and cleaned.
std::string describe(const Status& status, StreamPhase phase);

// Text from a server made fit for a log line: valid UTF-8, of which control characters become
// spaces and bytes that are no character become `?`, cut between characters and then marked `...`.
std::string printable(std::string_view text, size_t max_bytes = 400);

}  // namespace penstock::zerobus
