// FakeTransport: Zerobus streams in memory. Records what a lane opens and writes; the test answers
// as the server would. Single-threaded: events are delivered by calling the lane's StreamEvents
// from the test.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/varint.h"
#include "agent/zerobus/transport.h"

namespace penstock::test {

struct FakeStream final : zerobus::Stream {
  zerobus::StreamOpen open;
  std::weak_ptr<zerobus::StreamEvents> events;
  std::vector<std::pair<int64_t, std::string>> writes;  // offset, body
  size_t done = 0;                                      // of them
  bool half_closed = false;
  bool cancelled = false;

  void write(int64_t offset, std::shared_ptr<const std::string> body) override {
    writes.emplace_back(offset, *body);
  }
  size_t take_back() override {
    const size_t begun = std::min(writes.size(), done + 1);
    const size_t taken = writes.size() - begun;
    writes.resize(begun);
    return taken;
  }
  void half_close() override { half_closed = true; }
  void cancel() override { cancelled = true; }

  // The rows of one request.
  static std::vector<std::string> rows(std::string_view body) {
    std::vector<std::string> rows;
    while (!body.empty() && body.front() == '\x0A') {
      body.remove_prefix(1);
      const auto row = take_bytes(body);
      if (!row) break;
      rows.emplace_back(*row);
    }
    if (!body.empty()) rows.push_back("<malformed body>");
    return rows;
  }

  // --- The server's side.
  void created() { respond(zerobus::StreamCreated{"stream-" + std::to_string(open.generation)}); }
  void ack(int64_t up_to) { respond(zerobus::Ack{up_to}); }
  void written(size_t count = 1) {
    done += count;
    if (const auto to = events.lock()) to->on_writes_done(open.generation, count);
  }
  void close(int code, std::string message = "") {
    if (const auto to = events.lock()) to->on_closed(open.generation, {code, std::move(message)});
  }
  void respond(zerobus::Response response) {
    if (const auto to = events.lock()) to->on_response(open.generation, std::move(response));
  }
};

constexpr char kUnsendable[] = "unsendable";  // a token that is refused without a stream

struct FakeTransport final : zerobus::Transport {
  std::vector<std::shared_ptr<FakeStream>>& streams;
  explicit FakeTransport(std::vector<std::shared_ptr<FakeStream>>& all) : streams(all) {}
  Result<std::shared_ptr<zerobus::Stream>> open(
      zerobus::StreamOpen open, std::weak_ptr<zerobus::StreamEvents> events) override {
    if (open.bearer == kUnsendable) return Error{ErrorKind::kDenied, "no header can carry it", {}};
    auto stream = std::make_shared<FakeStream>();
    stream->open = std::move(open);
    stream->events = std::move(events);
    streams.push_back(stream);
    return std::shared_ptr<zerobus::Stream>(stream);
  }
};

}  // namespace penstock::test
