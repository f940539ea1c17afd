// StreamSession as a script: one event in, the actions out, as text. The test moves the clock.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "agent/zerobus/session.h"

namespace penstock::zerobus {

struct Printer {
  std::string operator()(const Open& a) const { return fmt::format("open {}", a.generation); }
  std::string operator()(const WantBatch& a) const {
    if (a.until_seq == Bisector::kNoBound) return fmt::format("want {}", a.generation);
    return fmt::format("want {} to {}", a.generation, a.until_seq);
  }
  std::string operator()(const Write& a) const {
    return fmt::format("write {}:{} [{}-{}]", a.generation, a.offset, a.batch.first_seq,
                       a.batch.last_seq);
  }
  std::string operator()(const TakeBack& a) const { return fmt::format("back {}", a.generation); }
  std::string operator()(const HalfClose& a) const { return fmt::format("half {}", a.generation); }
  std::string operator()(const Cancel& a) const { return fmt::format("cancel {}", a.generation); }
  std::string operator()(const Release& a) const { return fmt::format("release {}", a.up_to_seq); }
  std::string operator()(const Rewind& a) const { return fmt::format("rewind {}", a.from_seq); }
  std::string operator()(const Arm&) const { return ""; }
  std::string operator()(const Report& a) const { return std::string(to_string(a.state)); }
  std::string operator()(const Rejected& a) const {
    return fmt::format("rejected [{}-{}]", a.first_seq, a.last_seq);
  }
  std::string operator()(const Poison& a) const { return fmt::format("poison {}", a.seq); }
  std::string operator()(const DropToken&) const { return "drop"; }
  std::string operator()(const Stopped&) const { return "end"; }
};

// One session with a clock that the test moves. Timers are not run by themselves.
class SessionScript : public ::testing::Test {
 protected:
  using Script = std::string;

  void configure(SessionConfig config) {
    session_ = std::make_unique<StreamSession>(config);
    config_ = config;
    armed_ = MonoTime::max();
  }

  Script run(const Actions& actions) {
    Script script;
    for (const Action& action : actions) {
      if (const auto* arm = std::get_if<Arm>(&action)) armed_ = arm->at;
      if (const auto* want = std::get_if<WantBatch>(&action)) max_bytes_ = want->max_bytes;
      if (const auto* report = std::get_if<Report>(&action)) text_ = report->text;
      const std::string word = std::visit(Printer(), action);
      if (!word.empty()) script += (script.empty() ? "" : ", ") + word;
    }
    return script;
  }

  Moment at() const { return {now_, random_}; }
  Script start(uint64_t acked = 0) { return run(session_->start(at(), acked)); }
  Script data() { return run(session_->data_available(at())); }
  Script batch(uint64_t gen, uint64_t first, uint64_t last, size_t size = 1000) {
    return run(session_->batch_ready(at(), gen,
                                     {first, last, static_cast<uint32_t>(last - first + 1), size}));
  }
  Script no_data(uint64_t gen) { return run(session_->no_data(at(), gen)); }
  Script created(uint64_t gen) { return run(session_->response(at(), gen, StreamCreated{"s"})); }
  Script ack(uint64_t gen, int64_t up_to) { return run(session_->response(at(), gen, Ack{up_to})); }
  Script close_signal(uint64_t gen, int ms) {
    return run(session_->response(at(), gen, CloseSignal{Millis(ms)}));
  }
  Script write_done(uint64_t gen) { return writes_done(gen, 1); }
  Script writes_done(uint64_t gen, size_t count) {
    return run(session_->writes_done(at(), gen, count));
  }
  Script taken_back(uint64_t gen, size_t count) {
    return run(session_->taken_back(at(), gen, count));
  }
  Script closed(uint64_t gen, int code, const char* message = "m") {
    return run(session_->closed(at(), gen, {code, message}));
  }
  // The end of a stream whose status could not be read.
  Script unread(uint64_t gen) {
    return run(session_->closed(at(), gen, {code::kUnknown, "too large", true}));
  }
  Script stop() { return run(session_->stop(at())); }
  Script hold(const char* why) { return run(session_->hold(at(), why)); }
  Script resume() { return run(session_->resume(at())); }
  // Time passes; the timer fires only if it was armed for then.
  Script pass(int64_t ms) {
    now_ += Millis(ms);
    if (now_ < armed_) return "";
    armed_ = MonoTime::max();
    return run(session_->timer(at()));
  }
  // Runs the timer as often as it is due, moving the clock to each deadline.
  Script to_deadline() {
    Script script;
    for (int i = 0; i < 5 && script.empty() && armed_ != MonoTime::max(); ++i) {
      now_ = std::max(now_, armed_);
      script = pass(0);
    }
    return script;
  }
  int64_t delay_ms() const {
    const auto retry_at = session_->snapshot().retry_at;
    return retry_at ? std::chrono::duration_cast<Millis>(*retry_at - now_).count() : -1;
  }
  int64_t elapsed_ms() const { return std::chrono::duration_cast<Millis>(now_ - begin_).count(); }

  // An open stream 1 that has been asked for its first batch.
  void open_stream() {
    start();
    ASSERT_EQ(data(), "connecting, open 1");
    ASSERT_EQ(created(1), "streaming, want 1");
  }
  // `count` batches of ten records each are on their way on stream `gen`, from `first` on.
  void send(uint64_t gen, int count, uint64_t first = 1) {
    for (int i = 0; i < count; ++i, first += 10) {
      batch(gen, first, first + 9);
      write_done(gen);
    }
  }

  const MonoTime begin_ = MonoTime() + std::chrono::hours(1);
  MonoTime now_ = begin_;
  double random_ = 0.5;
  SessionConfig config_;
  std::unique_ptr<StreamSession> session_ = std::make_unique<StreamSession>(config_);
  MonoTime armed_ = MonoTime::max();
  size_t max_bytes_ = 0;
  std::string text_;
};

}  // namespace penstock::zerobus
