// The small pure parts of the Zerobus client: ack window, status, retry, refusals, batch limit,
// endpoints.
#include <random>

#include <gtest/gtest.h>

#include "agent/zerobus/ack_window.h"
#include "agent/zerobus/batch_limit.h"
#include "agent/zerobus/endpoint.h"
#include "agent/zerobus/open_rate.h"
#include "agent/zerobus/retry.h"
#include "agent/zerobus/session.h"
#include "agent/zerobus/status.h"

namespace penstock::zerobus {
namespace {

BatchInfo batch(uint64_t first, uint64_t last, size_t size = 100) {
  return {first, last, static_cast<uint32_t>(last - first + 1), size};
}

TEST(ZerobusAckWindow, OneAckCoversAllBeforeIt) {
  AckWindow window;
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(window.sent(batch(10 * i + 1, 10 * i + 10)), static_cast<int64_t>(i));
  }
  EXPECT_EQ(window.bytes(), 500u);
  EXPECT_EQ(**window.ack(0), 10u);
  EXPECT_EQ(**window.ack(3), 40u);
  EXPECT_EQ(window.count(), 1u);
  EXPECT_EQ(window.bytes(), 100u);
  EXPECT_EQ(window.front().first_seq, 41u);
  EXPECT_EQ(**window.ack(4), 50u);
  EXPECT_TRUE(window.empty());
}

TEST(ZerobusAckWindow, ARepeatedAckReleasesNothing) {
  AckWindow window;
  window.sent(batch(1, 1));
  window.sent(batch(2, 2));
  EXPECT_TRUE(window.ack(0)->has_value());
  EXPECT_FALSE(window.ack(0)->has_value());
  EXPECT_EQ(window.count(), 1u);
}

TEST(ZerobusAckWindow, AnAckThatGoesBackOrBeyondWhatWasSentReleasesNothing) {
  AckWindow window;
  EXPECT_FALSE(window.ack(0));  // nothing sent at all
  window.sent(batch(1, 1));
  window.sent(batch(2, 2));
  EXPECT_FALSE(window.ack(2));
  EXPECT_FALSE(window.ack(INT64_MAX));
  EXPECT_FALSE(window.ack(-2));
  EXPECT_EQ(window.count(), 2u);
  EXPECT_FALSE(window.delivered());
  ASSERT_TRUE(window.ack(1));
  EXPECT_FALSE(window.ack(0));
  EXPECT_TRUE(window.delivered());
}

TEST(ZerobusStatus, EveryCodeHasItsConsequence) {
  using enum ErrorKind;
  const std::pair<int, ErrorKind> opening[] = {
      {0, kTransient},  {1, kTransient}, {2, kTransient}, {3, kDenied},     {4, kTransient},
      {5, kDenied},     {6, kTransient}, {7, kDenied},    {8, kThrottled},  {9, kTransient},
      {10, kTransient}, {11, kDenied},   {12, kDenied},   {13, kTransient}, {14, kTransient},
      {15, kTransient}, {16, kDenied},   {99, kTransient}};
  for (const auto& [code, kind] : opening) {
    EXPECT_EQ(classify(code, StreamPhase::kOpening).kind, kind) << code_name(code);
    const bool data = code == code::kInvalidArgument || code == code::kOutOfRange;
    EXPECT_EQ(classify(code, StreamPhase::kOpen).kind, data ? kRejected : kind) << code_name(code);
    EXPECT_EQ(kind == kTransient, classify(code, StreamPhase::kOpening).advice.empty()) << code;
  }
}

TEST(ZerobusStatus, ServerTextIsCutAndCannotForgeLogLines) {
  const std::string text = describe({code::kNotFound, "no\nsuch\ttable" + std::string(5000, 'x')},
                                    StreamPhase::kOpening);
  EXPECT_LT(text.size(), 600u);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(text.rfind("NOT_FOUND: no such table", 0), 0u) << text;
  EXPECT_NE(text.find("Create the table"), std::string::npos);
}

// A log is UTF-8, whatever a server sends.
TEST(ZerobusStatus, ServerTextIsMadeUtf8AndCutBetweenCharacters) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\xFF\xFE z", "a?? z"},
      {"t\u00FCr \u20AC \U0001F600", "t\u00FCr \u20AC \U0001F600"},
      {"cut \xE2\x82", "cut ??"},
      {"\xC0\xAF", "??"},       // overlong
      {"\xED\xA0\x80", "???"},  // a surrogate
      {"csi \xC2\x9B"
       "2J",
       "csi  2J"},  // what a terminal obeys
      {std::string("nul\0x", 5), "nul x"},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(printable(text), shown);
  EXPECT_EQ(printable("aa\u20ACb", 4), "aa...");
  EXPECT_EQ(printable("aa\u20AC", 5), "aa\u20AC");
}

Failure failure(ErrorKind kind, int code = code::kUnavailable) {
  return {kind, code, "text", {}, Failure::End::kFailed};
}

const MonoTime kNow = MonoTime() + std::chrono::hours(1);
constexpr StreamLife kNothing{false, Millis(0)};
constexpr StreamLife kShort{true, Millis(200)};

TEST(ZerobusRetry, BackoffGrowsToItsCapAndAnAckResetsIt) {
  RetryPolicy retry({});
  EXPECT_EQ(retry.next(failure(ErrorKind::kTransient), kNothing, kNow, 0.999).delay, Millis(499));
  EXPECT_EQ(retry.next(failure(ErrorKind::kTransient), kNothing, kNow, 0.999).delay, Millis(999));
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_LE(retry.next(failure(ErrorKind::kTransient), kNothing, kNow, 0.999).delay,
              Millis(60'000));
  }
  EXPECT_EQ(retry.next(failure(ErrorKind::kTransient), kNothing, kNow, 0.0).delay,
            Millis(50));  // no busy loop
  retry.delivered();
  EXPECT_EQ(retry.failures(), 0);
  EXPECT_EQ(retry.next(failure(ErrorKind::kTransient), kShort, kNow, 0.999).delay, Millis(499));
}

TEST(ZerobusRetry, ThrottlingIsSlowerAndHeedsTheServer) {
  RetryPolicy retry({});
  Failure busy = failure(ErrorKind::kThrottled, code::kResourceExhausted);
  const RetryStep step = retry.next(busy, kNothing, kNow, 0.0);
  EXPECT_EQ(step.how, RetryStep::How::kThrottled);
  EXPECT_GE(step.delay, Millis(2'500));
  // A few acks in between do not make it fast again: the service is still throttling.
  retry.delivered();
  EXPECT_GE(retry.next(busy, kShort, kNow, 0.0).delay, Millis(5'000));
  busy.retry_after = Millis(90'000);
  EXPECT_EQ(retry.next(busy, kShort, kNow, 0.0).delay, Millis(90'000));
}

// A server does not decide that a lane stands still for a day: at most what is configured as the
// longest wait.
TEST(ZerobusRetry, WhatAServerAsksForIsHeededWithinReason) {
  for (const auto kind : {ErrorKind::kTransient, ErrorKind::kThrottled}) {
    RetryPolicy retry({});
    Failure day = failure(kind);
    day.retry_after = Millis(86'400'000);
    EXPECT_EQ(retry.next(day, kNothing, kNow, 0.5).delay, Millis(300'000));
    RetryConfig patient;
    patient.max = Millis(600'000);
    EXPECT_EQ(RetryPolicy(patient).next(day, kNothing, kNow, 0.5).delay, Millis(600'000));
  }
}

TEST(ZerobusRetry, ARefusedTokenIsReplacedOnceAtOnceThenHeld) {
  RetryPolicy retry({});
  const Failure refused = failure(ErrorKind::kDenied, code::kUnauthenticated);
  const RetryStep first = retry.next(refused, kNothing, kNow, 0.5);
  EXPECT_EQ(first.how, RetryStep::How::kNow);
  EXPECT_TRUE(first.drop_token);
  const RetryStep second = retry.next(refused, kNothing, kNow, 0.5);
  EXPECT_EQ(second.how, RetryStep::How::kHeld);
  EXPECT_TRUE(second.drop_token);
  EXPECT_EQ(second.delay, Millis(300'000));
  retry.delivered();
  EXPECT_EQ(retry.next(refused, kShort, kNow, 0.5).how, RetryStep::How::kNow);
}

// A table that is not there: the token was good.
TEST(ZerobusRetry, ATokenThatWasTakenSinceIsReplacedAtOnceAgain) {
  RetryPolicy retry({});
  const Failure refused = failure(ErrorKind::kDenied, code::kUnauthenticated);
  EXPECT_EQ(retry.next(refused, kNothing, kNow, 0.5).how, RetryStep::How::kNow);
  const Failure missing = failure(ErrorKind::kDenied, code::kNotFound);
  EXPECT_EQ(retry.next(missing, kNothing, kNow, 0.5).how, RetryStep::How::kHeld);
  EXPECT_EQ(retry.next(refused, kNothing, kNow, 0.5).how, RetryStep::How::kNow);
  EXPECT_EQ(retry.next(refused, kNothing, kNow, 0.5).how, RetryStep::How::kHeld);
  const Failure no_token = failure(ErrorKind::kDenied, -1);
  EXPECT_EQ(retry.next(no_token, kNothing, kNow, 0.5).how, RetryStep::How::kHeld);
  EXPECT_EQ(retry.next(refused, kNothing, kNow, 0.5).how, RetryStep::How::kHeld) << "none was";
}

TEST(ZerobusRetry, HeldAttemptsAreSpread) {
  RetryPolicy retry({});
  const Failure denied = failure(ErrorKind::kDenied, code::kNotFound);
  EXPECT_EQ(retry.next(denied, kNothing, kNow, 0.0).delay, Millis(240'000));
  EXPECT_EQ(retry.next(denied, kNothing, kNow, 0.999).delay, Millis(359'880));
  EXPECT_FALSE(retry.next(denied, kNothing, kNow, 0.0).drop_token);
  EXPECT_TRUE(retry.next(failure(ErrorKind::kDenied, code::kPermissionDenied), kNothing, kNow, 0.0)
                  .drop_token);
}

TEST(ZerobusRetry, ARotationIsNoFailureUnlessTheStreamCarriedNothing) {
  RetryPolicy retry({});
  Failure rotation = failure(ErrorKind::kTransient, code::kOk);
  rotation.end = Failure::End::kRotation;
  EXPECT_EQ(retry.next(rotation, kShort, kNow, 0.5).how, RetryStep::How::kNow);
  EXPECT_EQ(retry.next(rotation, kNothing, kNow, 0.5).how, RetryStep::How::kBackoff);
  rotation.end = Failure::End::kOwn;
  EXPECT_EQ(retry.next(rotation, kNothing, kNow, 0.5).how, RetryStep::How::kNow);
}

Failure rotated() {
  Failure end = failure(ErrorKind::kTransient, code::kOk);
  end.end = Failure::End::kRotation;
  return end;
}

// The service's own, each 15 minutes, and those of a front end with less patience.
TEST(ZerobusRetry, RotationsOfStreamsThatWereOpenForSomeTimeCostNoPause) {
  for (const int64_t open_ms : {900'000, 30'000, 5'000}) {
    RetryPolicy retry({});
    MonoTime now = kNow;
    for (int i = 0; i < 100; ++i) {
      now += Millis(open_ms);
      retry.delivered();
      ASSERT_EQ(retry.next(rotated(), {true, Millis(open_ms)}, now, 0.5).how, RetryStep::How::kNow)
          << i << " of " << open_ms;
    }
  }
}

TEST(ZerobusRetry, AnEndSoonAfterTheOpeningIsPardonedOnceAMinute) {
  RetryPolicy retry({});
  EXPECT_EQ(retry.next(rotated(), kShort, kNow, 0.999).how, RetryStep::How::kNow);
  retry.delivered();
  const RetryStep again = retry.next(rotated(), kShort, kNow + Millis(59'999), 0.999);
  EXPECT_EQ(again.how, RetryStep::How::kBackoff);
  EXPECT_EQ(again.delay, Millis(499));
  EXPECT_TRUE(again.too_soon);
  EXPECT_EQ(again.text.rfind("streams are ended soon", 0), 0u) << again.text;
  EXPECT_EQ(retry.failures(), 0) << "it is none";
  retry.delivered();
  EXPECT_EQ(retry.next(failure(ErrorKind::kTransient), kShort, kNow + Millis(59'999), 0.999).delay,
            Millis(999))
      << "the acknowledgement in between does not count";
  retry.delivered();
  EXPECT_EQ(retry.next(rotated(), kShort, kNow + Millis(60'000), 0.999).how, RetryStep::How::kNow);
  retry.delivered();
  EXPECT_EQ(retry.next(rotated(), kShort, kNow + Millis(60'000), 0.999).delay, Millis(499));
}

TEST(ZerobusRetry, WhatWeEndSoonIsNotHeldAgainstTheServer) {
  RetryPolicy retry({});
  Failure own = rotated();
  own.end = Failure::End::kOwn;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(retry.next(own, kShort, kNow, 0.5).how, RetryStep::How::kNow);
  }
  EXPECT_EQ(retry.next(rotated(), kShort, kNow, 0.5).how, RetryStep::How::kNow);
}

// It is not a matter for a person: tokens do serve, only not for long.
TEST(ZerobusRetry, ATokenThatIsRefusedAfterEachAcknowledgementIsRenewedWithBackoff) {
  RetryPolicy retry({});
  const Failure refused = failure(ErrorKind::kDenied, code::kUnauthenticated);
  EXPECT_EQ(retry.next(refused, kShort, kNow, 0.999).how, RetryStep::How::kNow);
  for (const int64_t delay_ms : {499, 999, 1'998}) {
    retry.delivered();
    const RetryStep step = retry.next(refused, kShort, kNow, 0.999);
    EXPECT_EQ(step.how, RetryStep::How::kBackoff);
    EXPECT_EQ(step.delay, Millis(delay_ms));
    EXPECT_TRUE(step.drop_token);
  }
  EXPECT_EQ(retry.next(refused, kNothing, kNow, 0.5).how, RetryStep::How::kHeld);
}

// How often a server is asked that ends each stream like this, 200 ms after it was opened.
int opens_an_hour(const Failure& end) {
  RetryPolicy retry({});
  std::mt19937 random(1);
  std::uniform_real_distribution<double> drawn(0, 1);
  int opens = 0;
  for (MonoTime now = kNow; now < kNow + std::chrono::hours(1); ++opens) {
    now += Millis(200);
    retry.delivered();
    now += retry.next(end, kShort, now, drawn(random)).delay;
  }
  return opens;
}

TEST(ZerobusRetry, AServerThatEndsEachStreamAfterAnAcknowledgementIsAskedAboutTenTimesAMinute) {
  const std::pair<const char*, Failure> ends[] = {
      {"rotation", rotated()},
      {"end without a reason", failure(ErrorKind::kTransient, code::kOk)},
      {"unavailable", failure(ErrorKind::kTransient)},
      {"token refused", failure(ErrorKind::kDenied, code::kUnauthenticated)},
  };
  for (const auto& [name, end] : ends) {
    EXPECT_LT(opens_an_hour(end), 12 * 60) << name;
    EXPECT_GT(opens_an_hour(end), 4 * 60) << name << ": what it takes is to be sent";
  }
}

TEST(ZerobusOpenRate, CountsTheLastMinuteOnly) {
  OpenRate rate(2);
  const MonoTime now = MonoTime() + std::chrono::hours(1);
  EXPECT_EQ(rate.wait(now), Millis(0));
  rate.opened(now);
  rate.opened(now + Millis(10'000));
  EXPECT_EQ(rate.wait(now + Millis(20'000)), Millis(40'000));
  EXPECT_EQ(rate.wait(now + Millis(60'000)), Millis(0));
  rate.opened(now + Millis(60'000));
  EXPECT_EQ(rate.wait(now + Millis(60'000)), Millis(10'000));
}

// The bound is the service's, of a table, not of one of the routes that write to it.
TEST(ZerobusOpenRate, SessionsOfATableShareIt) {
  SessionConfig config;
  const auto opens = std::make_shared<OpenRate>(config.search_opens_per_min);
  const MonoTime now = MonoTime() + std::chrono::hours(1);
  for (int i = config.search_opens_per_min; i > 0; --i) opens->opened(now - Millis(100) * i);
  StreamSession session(config, opens);
  session.start({now}, 0);
  session.data_available({now});
  session.response({now}, 1, StreamCreated{"s"});
  session.batch_ready({now}, 1, {1, 4, 4, 100});
  session.closed({now}, 1, {code::kInvalidArgument, "refused"});
  ASSERT_TRUE(session.snapshot().retry_at.has_value()) << "it opened at once";
  EXPECT_GT(*session.snapshot().retry_at, now + Millis(50'000));
  // Another one waits for the same place, and is earlier.
  const MonoTime due = *session.snapshot().retry_at;
  opens->opened(due);
  session.timer({due});
  EXPECT_EQ(session.snapshot().generation, 1u);
  EXPECT_EQ(session.snapshot().retry_at, due + Millis(100));
  session.timer({due + Millis(100)});
  EXPECT_EQ(session.snapshot().generation, 2u);
}

// Streams that are opened for another reason wait for nothing, so they might take every place.
TEST(ZerobusOpenRate, ASearchIsNotKeptForEverByOthersOfTheTable) {
  SessionConfig config;
  const auto opens = std::make_shared<OpenRate>(config.search_opens_per_min);
  MonoTime now = MonoTime() + std::chrono::hours(1);
  std::vector<std::unique_ptr<StreamSession>> searching;
  for (int i = 0; i < 40; ++i) {
    auto& session = *searching.emplace_back(std::make_unique<StreamSession>(config, opens));
    session.start({now}, 0);
    session.data_available({now});
    session.response({now}, 1, StreamCreated{"s"});
    session.batch_ready({now}, 1, {1, 4, 4, 100});
    session.closed({now}, 1, {code::kInvalidArgument, "refused"});
  }
  std::deque<MonoTime> searches;
  std::vector<uint64_t> seen(searching.size(), 2);
  for (const MonoTime end = now + std::chrono::minutes(30); now < end; now += Millis(500)) {
    opens->opened(now);
    for (size_t i = 0; i < searching.size(); ++i) {
      auto& session = *searching[i];
      const auto generation = session.snapshot().generation;
      session.closed({now}, generation, {code::kInvalidArgument, "refused"});
      if (session.snapshot().retry_at <= now) session.timer({now});
      if (session.snapshot().generation == generation) continue;
      seen[i] = session.snapshot().generation;
      searches.push_back(now);
      session.response({now}, seen[i], StreamCreated{"s"});
      session.batch_ready({now}, seen[i], {1, 4, 4, 100});
    }
    while (!searches.empty() && now - searches.front() >= Millis(60'000)) searches.pop_front();
    ASSERT_LE(searches.size(), static_cast<size_t>(config.search_opens_per_min));
  }
  for (const auto generation : seen) EXPECT_GT(generation, 3u);
}

TEST(ZerobusBatchLimit, ShrinksOnTimeoutsAndGrowsBackWithAcks) {
  BatchLimit limit(256 << 10);
  limit.timed_out();
  EXPECT_EQ(limit.bytes(), size_t{128} << 10);
  for (int i = 0; i < 100; ++i) limit.timed_out();
  EXPECT_EQ(limit.bytes(), size_t{4} << 10);
  int acks = 0;
  for (; limit.bytes() < 256 << 10; ++acks) limit.delivered();
  EXPECT_GT(acks, 16);  // not all at once
  EXPECT_EQ(limit.bytes(), size_t{256} << 10);
  BatchLimit small(1000);
  small.timed_out();
  EXPECT_EQ(small.bytes(), 1000u);  // the floor never raises it
}

TEST(ZerobusEndpoint, ReadsWhatPeopleWrite) {
  const auto check = [](std::string_view url, std::string_view address, bool tls) {
    const auto endpoint = parse_endpoint(url);
    ASSERT_TRUE(endpoint) << url << ": " << endpoint.error().what;
    EXPECT_EQ(endpoint->address(), address);
    EXPECT_EQ(endpoint->tls, tls);
  };
  check("https://1.zerobus.eu.example.com", "1.zerobus.eu.example.com:443", true);
  check("1.zerobus.eu.example.com", "1.zerobus.eu.example.com:443", true);
  check("https://h:8443/", "h:8443", true);
  check("http://127.0.0.1:50051", "127.0.0.1:50051", false);
  check("http://[::1]:1", "[::1]:1", false);
  check("https://[fe80::1]", "[fe80::1]:443", true);
}

TEST(ZerobusEndpoint, SaysWhatIsWrong) {
  for (const auto* url :
       {"", "https://", "ftp://h", "https://h/path", "https://h:", "https://h:0", "h:70000", "h:1x",
        "::1", "http://[::1", "http://[::1]x", "https://user@h", "https://h h"}) {
    const auto endpoint = parse_endpoint(url);
    ASSERT_FALSE(endpoint) << url;
    EXPECT_EQ(endpoint.error().kind, ErrorKind::kDenied);
    EXPECT_NE(endpoint.error().what.find("expected https://HOST"), std::string::npos);
  }
}

TEST(ZerobusEndpoint, KnowsLoopback) {
  for (const auto* url : {"http://localhost:1", "http://127.1.2.3:1", "http://[::1]:1"}) {
    EXPECT_TRUE(parse_endpoint(url)->is_loopback()) << url;
  }
  EXPECT_FALSE(parse_endpoint("https://127.example.com")->is_loopback());
  EXPECT_FALSE(parse_endpoint("https://10.0.0.1")->is_loopback());
}

}  // namespace
}  // namespace penstock::zerobus
