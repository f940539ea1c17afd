// The gRPC transport against a small server made with the generated code: streams, their events
// and their ends.
#include <cstdlib>
#include <fstream>
#include <future>
#include <random>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/net.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::zerobus {
namespace {

TEST(ZerobusTransport, ManyBatchesArriveByteForByteInOrder) {
  for (const Encoding encoding : {Encoding::kJson, Encoding::kProto}) {
    Landed landed;
    Server server(collect(landed));
    const auto transport = transport_to(server.endpoint());
    const auto recorder = std::make_shared<Recorder>();
    const auto stream = open(*transport, recorder, request(1, encoding));
    ASSERT_TRUE(recorder->wait_created());
    std::vector<std::string> sent;
    for (int i = 0; i < 300; ++i) {
      std::string body;
      for (int row = 0; row < 1 + i % 50; ++row) {
        sent.push_back("{\"n\":" + std::to_string(i) + ",\"pad\":\"" + std::string(i * 7, 'p') +
                       "\"}");
        append_row(sent.back(), body);
      }
      stream->write(i, std::make_shared<const std::string>(std::move(body)));
      // Up to seven wait for the one under way.
      if (i % 8 == 7) {
        ASSERT_TRUE(recorder->wait_written(i + 1)) << i;
      }
    }
    stream->half_close();
    ASSERT_TRUE(recorder->wait_closed());
    EXPECT_EQ(recorder->status().code, code::kOk);
    EXPECT_EQ(recorder->written, 300);
    EXPECT_EQ(recorder->acked, 299);
    EXPECT_TRUE(landed.rows == sent) << landed.rows.size() << " of " << sent.size();
    EXPECT_EQ(landed.offsets.front(), 0);
    EXPECT_EQ(landed.offsets.size(), 300u);
    EXPECT_EQ(landed.authorization, "Bearer secret");
    EXPECT_EQ(landed.table_header, "main.iot.t");
    EXPECT_EQ(landed.user_agent.rfind("penstock/test ", 0), 0u) << landed.user_agent;
    EXPECT_EQ(landed.create.table_name(), "main.iot.t");
    EXPECT_EQ(landed.create.has_descriptor_proto(), encoding == Encoding::kProto);
  }
}

TEST(ZerobusTransport, TheBodyIsSharedWhileNeededAndThenReleased) {
  Landed landed;
  Server server(collect(landed));
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  auto body = body_of({std::string(3 << 20, 'x')});
  const std::weak_ptr<const std::string> watch = body;
  stream->write(0, std::move(body));
  ASSERT_TRUE(recorder->wait([&] { return recorder->acked == 0; }));
  EXPECT_TRUE(test::wait_until([&] { return watch.expired(); }, kSoon));
  ASSERT_EQ(landed.rows.size(), 1u);
  EXPECT_EQ(landed.rows[0].size(), size_t{3} << 20);
}

TEST(ZerobusTransport, AWriteRightAfterTheCreateResponseIsNeverLost) {
  for (uint64_t generation = 1; generation <= 100; ++generation) {
    Landed landed;
    Server server(collect(landed));
    const auto transport = transport_to(server.endpoint());
    const auto recorder = std::make_shared<Recorder>();
    const auto stream = open(*transport, recorder, request(generation));
    stream->write(0, body_of({"{}"}));  // even earlier: before the create request is out
    stream->half_close();
    ASSERT_TRUE(recorder->wait_closed(generation));
    ASSERT_EQ(landed.rows.size(), 1u);
    ASSERT_EQ(recorder->acked, 0);
    ASSERT_EQ(recorder->written, 1);
  }
}

// A server that creates the stream, does what `first` says, and reads only when it is told to.
class SlowServer {
 public:
  explicit SlowServer(std::function<void(ServerStream&)> first = [](ServerStream&) {})
      : first_(std::move(first)) {}
  void read() { reads_.set_value(); }
  Endpoint endpoint() const { return server_.endpoint(); }

 private:
  std::function<void(ServerStream&)> first_;
  std::promise<void> reads_;
  Server server_{[this](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    first_(stream);
    reads_.get_future().wait();
    pb::EphemeralStreamRequest request;
    int64_t last = -1;
    while (stream.Read(&request)) last = request.ingest_record_batch().offset_id();
    if (last >= 0) send_ack(stream, last);  // only once the client is done
    return grpc::Status::OK;
  }};
};

// The first cannot pass before the server reads; the others wait for it.
void write_three(Stream& stream) {
  stream.write(0, body_of({std::string(32 << 20, 'x')}));
  stream.write(1, body_of({"{}"}));
  stream.write(2, body_of({"{}"}));
}

TEST(ZerobusTransport, AcksStillArriveAfterTheHalfClose) {
  SlowServer server;
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  write_three(*stream);
  stream->half_close();
  stream->write(3, body_of({"{}"}));
  server.read();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->acked, 2);
  EXPECT_EQ(recorder->written, 3);
  EXPECT_EQ(recorder->reports, 2) << "when the third is on its way, and when it has passed";
  EXPECT_EQ(recorder->status().code, code::kOk);
}

TEST(ZerobusTransport, WhatIsTakenBackIsNotSent) {
  SlowServer server;
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  write_three(*stream);
  EXPECT_EQ(stream->take_back(), 2u);
  EXPECT_EQ(stream->take_back(), 0u);
  stream->half_close();
  server.read();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->acked, 0);
  EXPECT_EQ(recorder->written, 1);
}

TEST(ZerobusTransport, AnAcknowledgementOfWhatWasNotSentIsNone) {
  std::promise<void> acks;
  SlowServer server([&](ServerStream& stream) {
    acks.get_future().wait();
    send_ack(stream, 1);
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  write_three(*stream);
  acks.set_value();
  EXPECT_TRUE(recorder->wait([&] { return !recorder->bad.empty(); }));
  EXPECT_EQ(recorder->bad,
            "the server acknowledged offset 1 but only 1 requests were sent; not trusting this "
            "stream any further");
  EXPECT_EQ(recorder->acked, -1);
  server.read();
  stream->cancel();
  ASSERT_TRUE(recorder->wait_closed());
}

// Its owner may have given it to the stream by the time it reads the acknowledgement.
TEST(ZerobusTransport, AnAcknowledgementThatComesBeforeItsBatchIsNone) {
  Server server([](grpc::ServerContext& context, ServerStream& stream) {
    answer_create(stream);
    send_ack(stream, 0);
    wait_for_cancel(context);
    return grpc::Status::OK;
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  EXPECT_TRUE(recorder->wait([&] { return !recorder->bad.empty() || recorder->acked >= 0; }));
  EXPECT_EQ(recorder->bad,
            "the server acknowledged offset 0 but only 0 requests were sent; not trusting this "
            "stream any further");
  EXPECT_EQ(recorder->acked, -1);
  stream->cancel();
  ASSERT_TRUE(recorder->wait_closed());
}

TEST(ZerobusTransport, CancelEndsAWriteThatTheServerDoesNotTake) {
  Server server([](grpc::ServerContext& context, ServerStream& stream) {
    answer_create(stream);
    wait_for_cancel(context);  // reads nothing: flow control stops the client
    return grpc::Status::OK;
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  auto body = body_of({std::string(32 << 20, 'x')});
  const std::weak_ptr<const std::string> watch = body;
  stream->write(0, std::move(body));
  auto next = body_of({std::string(1 << 20, 'y')});
  const std::weak_ptr<const std::string> watch_next = next;
  stream->write(1, std::move(next));
  stream->cancel();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().code, code::kCancelled);
  EXPECT_TRUE(test::wait_until([&] { return watch.expired() && watch_next.expired(); }, kSoon));
  stream->write(2, body_of({"{}"}));  // all without effect now
  stream->half_close();
  stream->cancel();
  EXPECT_EQ(recorder->closed_count(), 1u);
}

TEST(ZerobusTransport, DroppingTheHandleCancels) {
  Server server(until_cancelled());
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created());
  stream.reset();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().code, code::kCancelled);
}

TEST(ZerobusTransport, StatusesAndCloseSignalsAreHandedOn) {
  Server server([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamResponse response;
    response.mutable_close_stream_signal()->mutable_duration()->set_seconds(7);
    stream.Write(response);
    response.mutable_ingest_record_response();  // without the field
    stream.Write(response);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no such column: x");
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->grace, Millis(7'000));
  EXPECT_NE(recorder->bad.find("durability_ack_up_to_offset"), std::string::npos) << recorder->bad;
  EXPECT_EQ(recorder->status().code, code::kInvalidArgument);
  EXPECT_EQ(recorder->status().message, "no such column: x");
}

TEST(ZerobusTransport, ATokenThatTheServerRepeatsIsNotHandedOn) {
  Server server([](grpc::ServerContext& context, ServerStream&) {
    const std::string seen = header(context, "authorization");
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "no: " + seen + ", really: " + seen);
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  auto what = request();
  what.bearer = "token-of-the-test";
  const auto stream = open(*transport, recorder, what);
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().message, "no: Bearer [access token], really: Bearer [access token]");
}

// A stand-in for a token, as local servers take it, must not make every text unreadable.
TEST(ZerobusTransport, ATokenOfOneLetterDoesNotMaskThatLetter) {
  Server server([](grpc::ServerContext&, ServerStream&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "the table does not exist");
  });
  const auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  auto what = request();
  what.bearer = "e";
  const auto stream = open(*transport, recorder, what);
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().message, "the table does not exist");
}

// A host that takes the connection and says nothing, as one behind a broken firewall.
TEST(ZerobusTransport, ASilentServerCanBeLeft) {
  const auto listener = test::listen_loopback();
  const auto transport = transport_to({"127.0.0.1", listener.port, false, ""});
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  const int connection = ::accept(listener.fd, nullptr, nullptr);  // the client has connected
  EXPECT_EQ(recorder->closed_count(), 0u);
  stream->cancel();
  EXPECT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->status().code, code::kCancelled);
  ::close(connection);
  ::close(listener.fd);
}

TEST(ZerobusTransport, TheTransportEndsItsStreamsBeforeItGoes) {
  Server server(until_cancelled());
  auto transport = transport_to(server.endpoint());
  const auto recorder = std::make_shared<Recorder>();
  std::vector<std::shared_ptr<Stream>> streams;
  for (uint64_t i = 1; i <= 5; ++i) streams.push_back(open(*transport, recorder, request(i)));
  ASSERT_TRUE(recorder->wait_created());
  transport.reset();
  EXPECT_EQ(recorder->closed_count(), 5u);
  streams[0]->write(0, body_of({"{}"}));
  streams[0]->cancel();
}

TEST(ZerobusTransport, EventsOfForgottenOwnersGoNowhere) {
  Server server([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    return grpc::Status::OK;
  });
  const auto transport = transport_to(server.endpoint());
  auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  recorder.reset();
}  // the transport waits for the stream's end

// Streams that are opened, used, cancelled and dropped at random from several threads.
TEST(ZerobusTransport, EveryStreamIsClosedExactlyOnceWhateverHappensToIt) {
  Landed ignored;
  Server server([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    while (stream.Read(&request)) send_ack(stream, request.ingest_record_batch().offset_id());
    return grpc::Status::OK;
  });
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto recorder = std::make_shared<Recorder>();
  {
    const auto transport = transport_to(server.endpoint());
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed + t);
        for (uint64_t i = 1; i <= 60; ++i) {
          const auto stream = open(*transport, recorder, request(1000 * t + i));
          if (random() % 3 == 0) stream->write(0, body_of({std::string(random() % 100'000, 'x')}));
          if (random() % 3 == 0) std::this_thread::yield();
          if (random() % 3 == 0) stream->half_close();
          if (random() % 2 == 0) stream->cancel();
        }
      });
    }
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(recorder->closed_count(), 180u);
}

TEST(ZerobusTransport, ATokenThatNoHeaderCanCarryIsRefusedNotACrash) {
  const auto transport = transport_to({"127.0.0.1", test::free_tcp_port(), false, ""});
  const auto recorder = std::make_shared<Recorder>();
  for (const auto* token : {"secret\n", "sec\x01ret", "s\xC3\xA9", ""}) {
    StreamOpen bad = request();
    bad.bearer = token;
    const auto stream = transport->open(bad, recorder);
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().kind, ErrorKind::kDenied);
    EXPECT_EQ(stream.error().what.find("secret"), std::string::npos) << "a secret in an error";
  }
  StreamOpen bad = request();
  bad.table = "a.b.\n";
  EXPECT_FALSE(transport->open(bad, recorder));
}

// --- TLS

TEST(ZerobusTransport, TlsTrustsTheGivenCaAndNoOther) {
  const test::TempDir dir("tls");
  const auto right = test::make_authority(dir.path(), "right", "127.0.0.1");
  const auto wrong = test::make_authority(dir.path(), "wrong", "127.0.0.1");
  Landed landed;
  Server server(collect(landed), 0, server_tls(right));
  expect_delivery({"127.0.0.1", server.port(), true, right.ca});
  for (const std::string& ca : {wrong.ca.string(), std::string()}) {  // another CA, the system's
    landed = Landed();
    const auto transport = transport_to({"127.0.0.1", server.port(), true, ca});
    const auto recorder = std::make_shared<Recorder>();
    const auto stream = open(*transport, recorder);
    ASSERT_TRUE(recorder->wait_closed());
    EXPECT_EQ(recorder->created, 0);
    EXPECT_EQ(recorder->status().code, code::kUnavailable);
    EXPECT_NE(recorder->status().message.find("certificate"), std::string::npos)
        << recorder->status().message;
    EXPECT_EQ(landed.authorization, "") << "the token went to a server that is not trusted";
  }
}

// gRPC reads the system's store once a process, so another process looks at another store.
TEST(ZerobusTransport, WithoutACaFileTheSystemsStoreIsWhatIsTrusted) {
  const test::TempDir dir("tls");
  const auto authority = test::make_authority(dir.path(), "system", "127.0.0.1");
  Landed landed;
  Server server(collect(landed), 0, server_tls(authority));
  const auto deliver_in_a_process = [&](const std::string& store) {
    test::Process child(
        {{"/proc/self/exe", "--gtest_also_run_disabled_tests",
          "--gtest_filter=ZerobusTransportChild.DISABLED_DeliversByTheSystemsStore"},
         {{"PENSTOCK_TEST_PORT", std::to_string(server.port())},
          {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", store}},
         dir.path() / "child.log"});
    return child.wait(kSoon).value_or(-1);
  };
  EXPECT_EQ(deliver_in_a_process(authority.ca), 0);
  EXPECT_EQ(landed.rows.size(), 1u);
  const auto other = test::make_authority(dir.path(), "other", "127.0.0.1");
  EXPECT_EQ(deliver_in_a_process(other.ca), 1);
  EXPECT_EQ(landed.rows.size(), 1u);
}

// Of the test above; by itself it has no server.
TEST(ZerobusTransportChild, DISABLED_DeliversByTheSystemsStore) {
  const char* const port = std::getenv("PENSTOCK_TEST_PORT");
  ASSERT_NE(port, nullptr);
  const Endpoint endpoint{"127.0.0.1", static_cast<uint16_t>(std::stoi(port)), true, ""};
  const auto transport = transport_to(endpoint);
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  recorder->wait([&] { return recorder->created > 0 || !recorder->closed.empty(); });
  ASSERT_EQ(recorder->created, 1) << recorder->status().message;
  stream->write(0, body_of({"{}"}));
  stream->half_close();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->acked, 0);
}

// It may be there, or right, later: each attempt looks again.
TEST(ZerobusTransport, ACaFileThatCannotBeUsedFailsStreamsUntilItCan) {
  const test::TempDir dir("tls");
  const auto authority = test::make_authority(dir.path(), "right", "127.0.0.1");
  Landed landed;
  Server server(collect(landed), 0, server_tls(authority));
  const std::string file = dir.path() / "ca.pem";
  const auto transport = transport_to({"127.0.0.1", server.port(), true, file});
  const auto refused = [&] {
    const auto stream = transport->open(request(), std::make_shared<Recorder>());
    if (stream) return std::string("opened");
    EXPECT_EQ(stream.error().kind, ErrorKind::kTransient);
    return stream.error().what;
  };
  EXPECT_EQ(refused(), "CA file " + file + " (tls.ca) cannot be read");
  std::filesystem::create_directory(file);
  EXPECT_EQ(refused(), "CA file " + file + " (tls.ca) cannot be read");
  std::filesystem::remove(file);
  std::ofstream(file) << "not a certificate";
  EXPECT_NE(refused().find("holds no PEM certificate"), std::string::npos);

  // What only looks like one is gRPC's to refuse.
  std::ofstream(file) << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->created, 0);

  std::filesystem::copy_file(authority.ca, file, std::filesystem::copy_options::overwrite_existing);
  const auto second = open(*transport, recorder, request(2));
  EXPECT_TRUE(recorder->wait([&] { return recorder->created > 0 || recorder->closed.count(2); }));
  EXPECT_EQ(recorder->created, 1) << recorder->status().message;
}

// A CA is replaced before the server's certificate is, and without a restart of the agent.
TEST(ZerobusTransport, AReplacedCaFileCountsFromTheNextConnectionOn) {
  const test::TempDir dir("tls");
  const auto old = test::make_authority(dir.path(), "old", "127.0.0.1");
  const auto next = test::make_authority(dir.path(), "next", "127.0.0.1");
  const std::string file = dir.path() / "ca.pem";
  std::filesystem::copy_file(old.ca, file);
  Landed landed;
  auto server = std::make_unique<Server>(collect(landed), 0, server_tls(old));
  const auto transport = transport_to({"127.0.0.1", server->port(), true, file});
  const auto recorder = std::make_shared<Recorder>();
  const auto first = open(*transport, recorder, request(1));
  ASSERT_TRUE(recorder->wait_created()) << recorder->status().message;
  const uint16_t port = server->port();
  server.reset();
  ASSERT_TRUE(recorder->wait_closed(1));

  Server other(collect(landed), port, server_tls(next));
  std::filesystem::copy_file(next.ca, file, std::filesystem::copy_options::overwrite_existing);
  uint64_t generation = 2;  // the first may still be given to the connection that is gone
  for (; generation < 10 && recorder->created < 2; ++generation) {
    const auto stream = open(*transport, recorder, request(generation));
    recorder->wait([&] { return recorder->created > 1 || recorder->closed.count(generation); });
  }
  EXPECT_EQ(recorder->created, 2) << recorder->status().message;
  EXPECT_LE(generation, 4u);
}

}  // namespace
}  // namespace penstock::zerobus
