// Which connection a stream goes on: after an outage, when one is full, when the server limits the
// streams of one.
#include <atomic>

#include "agent/zerobus/grpc_transport.h"
#include "tests/support/ports.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::zerobus {
namespace {

TEST(ZerobusTransport, ADyingServerEndsTheStreamAndANewOneIsFoundAgain) {
  auto server = std::make_unique<Server>(until_cancelled());
  const uint16_t port = server->port();
  const auto transport = transport_to(server->endpoint());
  auto recorder = std::make_shared<Recorder>();
  auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  server->die();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(classify(recorder->status().code, StreamPhase::kOpen).kind, ErrorKind::kTransient);

  recorder = std::make_shared<Recorder>();
  stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().code, code::kUnavailable);
  EXPECT_NE(recorder->status().message.find("refused"), std::string::npos)
      << recorder->status().message;

  server = std::make_unique<Server>(until_cancelled(), port);
  ASSERT_TRUE(server->running());
  const bool found = test::wait_until(
      [&] {
        recorder = std::make_shared<Recorder>();
        stream = open(*transport, recorder);
        recorder->wait([&] { return recorder->created > 0 || !recorder->closed.empty(); });
        return recorder->created > 0;
      },
      kSoon, Millis(100));
  EXPECT_TRUE(found);
}

// gRPC's channel has a backoff of its own, up to 10 s; it must not fail an attempt that the session
// decided on.
TEST(ZerobusTransport, AServerThatIsBackIsReachedByTheNextAttempt) {
  const auto script = [](grpc::ServerContext& context, ServerStream& stream) {
    answer_create(stream);
    wait_for_cancel(context);
    return grpc::Status::OK;
  };
  const uint16_t port = test::free_tcp_port();
  const auto transport = transport_to({"127.0.0.1", port, false, ""});
  for (int outage = 0; outage < 3; ++outage) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      const auto recorder = std::make_shared<Recorder>();
      const auto stream = open(*transport, recorder);
      ASSERT_TRUE(recorder->wait_closed());
      ASSERT_NE(recorder->status().message.find("refused"), std::string::npos)
          << recorder->status().message;
    }
    Server server(script, port);
    ASSERT_TRUE(server.running());
    const auto recorder = std::make_shared<Recorder>();
    const auto stream = open(*transport, recorder);
    recorder->wait([&] { return recorder->created > 0 || !recorder->closed.empty(); });
    EXPECT_EQ(recorder->created, 1) << recorder->status().message;
    server.die();
    ASSERT_TRUE(recorder->wait_closed());
  }
}

TEST(ZerobusTransport, ManyStreamsUseSeveralConnections) {
  Server server(until_cancelled());
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  std::vector<std::shared_ptr<Stream>> streams;
  for (uint64_t i = 1; i <= 33; ++i) streams.push_back(open(*transport, recorder, request(i)));
  ASSERT_TRUE(recorder->wait([&] { return recorder->created == 33; }));
  EXPECT_EQ(server.peers().size(), 2u);
  streams.clear();
  ASSERT_TRUE(recorder->wait([&] { return recorder->closed.size() == 33; }));
  for (uint64_t i = 101; i <= 133; ++i) streams.push_back(open(*transport, recorder, request(i)));
  ASSERT_TRUE(recorder->wait([&] { return recorder->created == 66; }));
  EXPECT_EQ(server.peers().size(), 2u);  // room was given back
}

// Streams over the server's limit wait unseen, so the session's open timeout cancels them.
class OverTheLimit : public testing::Test {
 protected:
  void give_up(Stream& stream, uint64_t generation, Millis waited = Millis(15'000)) {
    now_ms_ += waited.count();
    stream.cancel();
    ASSERT_TRUE(recorder_->wait_closed(generation));
  }
  std::shared_ptr<Stream> open_one(uint64_t generation) {
    return open(*transport_, recorder_, request(generation));
  }
  bool created(int count) {
    return recorder_->wait([&] { return recorder_->created == count; });
  }

  Server server_{[](grpc::ServerContext&, ServerStream& stream) {
                   answer_create(stream);
                   pb::EphemeralStreamRequest batch;
                   while (stream.Read(&batch))
                     send_ack(stream, batch.ingest_record_batch().offset_id());
                   return grpc::Status::OK;
                 },
                 0, grpc::InsecureServerCredentials(), 2};
  std::atomic<int64_t> now_ms_{0};
  std::unique_ptr<Transport> transport_ =
      grpc_transport(server_.endpoint(), "penstock/test", Log::none(),
                     [this] { return MonoTime() + Millis(now_ms_); });
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
};

TEST_F(OverTheLimit, AStreamThatIsNotAnsweredWhileOthersAreMovesToAnotherConnection) {
  auto first = open_one(1);
  const auto second = open_one(2);
  ASSERT_TRUE(created(2));
  const auto third = open_one(3);
  first->write(0, body_of({"{}"}));
  ASSERT_TRUE(recorder_->wait([&] { return recorder_->acked == 0; }));
  give_up(*third, 3);
  EXPECT_EQ(recorder_->created, 2);

  const auto again = open_one(4);
  ASSERT_TRUE(created(3));
  const auto fourth = open_one(5);  // goes where there is room, at once
  ASSERT_TRUE(created(4));
  EXPECT_EQ(server_.peers().size(), 2u);
  first.reset();
  ASSERT_TRUE(recorder_->wait_closed(1));
  const auto fifth = open_one(6);  // room was given back
  ASSERT_TRUE(created(5));
  EXPECT_EQ(server_.peers().size(), 2u);
}

TEST_F(OverTheLimit, AStreamThatIsGivenUpSoonSaysNothingOfItsConnection) {
  auto first = open_one(1);
  const auto second = open_one(2);
  ASSERT_TRUE(created(2));
  const auto third = open_one(3);
  first->write(0, body_of({"{}"}));
  ASSERT_TRUE(recorder_->wait([&] { return recorder_->acked == 0; }));
  give_up(*third, 3, kSilence - Millis(1));
  const auto waiting = open_one(4);
  first.reset();
  ASSERT_TRUE(created(3));
  EXPECT_EQ(server_.peers().size(), 1u);
}

TEST_F(OverTheLimit, ASilentConnectionIsNotTakenForAFullOne) {
  auto first = open_one(1);
  const auto second = open_one(2);
  ASSERT_TRUE(created(2));
  for (uint64_t generation = 3; generation <= 5; ++generation) {
    const auto third = open_one(generation);
    give_up(*third, generation);
  }
  const auto waiting = open_one(6);
  first.reset();
  ASSERT_TRUE(created(3));
  EXPECT_EQ(server_.peers().size(), 1u);
}

}  // namespace
}  // namespace penstock::zerobus
