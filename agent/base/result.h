// Result<T>: a value or an Error, with the member names of std::expected (C++23).
//
// Errors are classed by what the caller will do about them, never by where they came from. `what`
// says what failed, where, and what to do; it is written for the person who reads the log. Values;
// no thread rules.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace penstock {

enum class ErrorKind {
  kTransient,  // try again, with backoff
  kThrottled,  // try again, slower; `retry_after` if the peer said when
  kRejected,   // this data is refused; other data may pass
  kDenied,     // credentials, grants or configuration: a person has to act; try again in minutes
  kCorrupt,    // stored bytes are not what was written
  kFull,       // no room now
  kShutdown,   // we are stopping
};

std::string_view to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kTransient;
  std::string what;
  std::optional<std::chrono::milliseconds> retry_after;

  // The same error, with `context: ` put in front of `what`.
  Error in(std::string_view context) && {
    what.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace penstock
