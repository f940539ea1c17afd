// Goal: nothing that a server says or does to streams makes a lane lose, release or silently repeat
// a record, and the trouble is named after what happened. Method: one or more lanes over real gRPC,
// the local server, or a server that misbehaves by script.
#include <atomic>
#include <limits>

#include <google/protobuf/unknown_field_set.h>

#include "tests/unit/bulkhead_rig.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::lane {
namespace {

using zerobus::answer_create;
using zerobus::send_ack;
using zerobus::ServerStream;
namespace pb = databricks::zerobus;

// --- ends that are in order

TEST_F(Bulkhead, RotationsInALoadRepeatNothingThatWasAcknowledged) {
  server_options_.rotate_every = Millis(40);
  server_options_.rotate_grace = Millis(10'000);
  destination_->max_rows_per_s = 2'000;
  start_server();
  for (int i = 0; i < 4; ++i) add_lane("main.b.t" + std::to_string(i), 1'500);
  EXPECT_TRUE(delivered(lanes_, 1'500));
  for (const auto& lane : lanes_) {
    EXPECT_TRUE(exactly(lane, 1'500)) << "a row twice: late acknowledgements were not taken";
    EXPECT_GE(lane->counters().streams_opened, 3u);
  }
}

TEST_F(Bulkhead, HardRotationsLoseNothing) {
  server_options_.rotate_every = Millis(40);
  destination_->max_rows_per_s = 2'000;
  start_server();
  order("/faults/rotate?every_ms=40&hard=true");
  const auto lane = add_lane("main.b.t", 1'000);
  EXPECT_TRUE(delivered({lane}, 1'000)) << lane->snapshot().text;
  EXPECT_TRUE(exactly(lane, 1'000, true));
  EXPECT_GE(lane->counters().streams_opened, 3u);
}

// The server closes connections by age with GOAWAY and cuts what is still there after the grace.
TEST_F(Bulkhead, AGoawayIsObeyedBeforeTheConnectionIsCut) {
  server_options_.connection_age = Millis(150);
  server_options_.connection_grace = Millis(5'000);
  destination_->max_rows_per_s = 2'000;
  start_server();
  for (int i = 0; i < 3; ++i) add_lane("main.b.t" + std::to_string(i), 3'000);
  EXPECT_TRUE(delivered(lanes_, 3'000));
  for (const auto& lane : lanes_) {
    EXPECT_TRUE(exactly(lane, 3'000)) << "a row twice: the connection was cut under it";
    EXPECT_GE(lane->counters().streams_opened, 3u);
    EXPECT_EQ(lane->snapshot().failures, 0);
  }
}

// --- streams that end after each acknowledgement

// One row on its way at a time; pauses last for an hour or so.
class SoonEnded : public Bulkhead {
 protected:
  SoonEnded() {
    destination_->batch.max_rows = 1;
    destination_->session.in_flight_bytes = 1;
    destination_->session.retry = {Millis(3'600'000), Millis(3'600'000), Millis(20),
                                   Millis(3'600'000)};
    destination_->bearer = [this](const std::string&, bool fresh, const Destination::Token& done) {
      fresh_tokens_ += fresh ? 1 : 0;
      done(std::string("token-of-the-test"));
    };
  }
  // The second such end is no reason to open a third stream now, though each carried something.
  void pauses_after_two(const std::shared_ptr<Lane>& lane) {
    EXPECT_TRUE(run_until([&] {
      return lane->snapshot().state == zerobus::SessionState::kBackoff ||
             lane->counters().streams_opened > 2;
    })) << lane->snapshot().text;
    EXPECT_EQ(lane->counters().streams_opened, 2u);
    EXPECT_EQ(cursor(lane), 2u);
  }
  int fresh_tokens_ = 0;
};

TEST_F(SoonEnded, AServerThatRefusesTheTokenAfterEachIsNoBusyLoop) {
  start_server();
  order("/faults/drop?status=UNAUTHENTICATED&after=2&times=0");
  const auto lane = add_lane("main.b.t", 50);
  pauses_after_two(lane);
  EXPECT_EQ(fresh_tokens_, 1) << "renewed, once";
}

TEST_F(SoonEnded, AServerThatRotatesAfterEachIsNoBusyLoop) {
  std::atomic<int> opened{0};
  zerobus::Server server([&](grpc::ServerContext&, ServerStream& stream) {
    ++opened;
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    send_ack(stream, 0);
    pb::EphemeralStreamResponse response;
    response.mutable_close_stream_signal();
    stream.Write(response);
    while (stream.Read(&request)) {
    }
    return grpc::Status::OK;
  });
  connect(server.port());
  pauses_after_two(add_lane("main.b.t", 50));
  EXPECT_EQ(opened, 2);
  lanes_.clear();
  destination_->transport.reset();
}

// --- bad input from the server

// What streams get, one after the other; from then on the server is honest. Counts what arrives
// from the honest part and remembers what the lane said of the others.
class BadInput : public Bulkhead {
 protected:
  using Script = zerobus::Script;
  static constexpr int kRows = 50;

  void deliver_through(const Script& hostile) {
    std::atomic<int> opened{0};
    zerobus::Server server([&](grpc::ServerContext& context, ServerStream& stream) {
      return opened++ < 2 ? hostile(context, stream) : honest(stream);
    });
    connect(server.port());
    const auto lane = add_lane("main.b.t", kRows);
    const bool all = run_until([&] {
      said_.insert(lane->snapshot().text);
      return cursor(lane) == static_cast<spool::Seq>(kRows);
    });
    EXPECT_TRUE(all) << lane->snapshot().text;
    EXPECT_TRUE(spool_.quarantined(lane->id()).empty());
    for (int n = 1; n <= kRows; ++n) EXPECT_TRUE(arrived_.contains(n)) << "lost " << n;
    for (const auto& text : said_) EXPECT_LT(text.size(), 1'000u) << "unbounded";
    lanes_.clear();
    destination_->transport.reset();
  }
  // Everything that was said, for a test to look into.
  std::string said() const {
    std::string all;
    for (const auto& text : said_) all += text + "\n";
    return all;
  }
  grpc::Status honest(ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    while (stream.Read(&request)) {
      const auto& batch = request.ingest_record_batch();
      for (const auto& row : batch.json_batch().records())
        arrived_.insert(std::stoi(row.substr(5)));
      send_ack(stream, batch.offset_id());
    }
    return grpc::Status::OK;
  }
  // Reads until the client goes.
  static grpc::Status until_left(ServerStream& stream) {
    pb::EphemeralStreamRequest request;
    while (stream.Read(&request)) {
    }
    return grpc::Status::OK;
  }
  static void answer_empty(ServerStream& stream, bool create, bool ack) {
    pb::EphemeralStreamResponse response;
    if (create) response.mutable_create_stream_response();
    if (ack) response.mutable_ingest_record_response();
    stream.Write(response);
  }

  std::set<std::string> said_;
  std::set<int> arrived_;
};

TEST_F(BadInput, ACreateResponseWithoutAStreamId) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_empty(stream, true, false);
    return until_left(stream);
  });
  EXPECT_NE(said().find("without stream_id"), std::string::npos) << said();
}

TEST_F(BadInput, AnAckBeforeTheCreateResponse) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    send_ack(stream, 0);
    return until_left(stream);
  });
  EXPECT_NE(said().find("with another message"), std::string::npos) << said();
}

TEST_F(BadInput, ACloseSignalBeforeTheCreateResponse) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    pb::EphemeralStreamResponse response;
    response.mutable_close_stream_signal()->mutable_duration()->set_seconds(3'600);
    stream.Write(response);
    return until_left(stream);
  });
  EXPECT_NE(said().find("with another message"), std::string::npos) << said();
}

TEST_F(BadInput, AnAckBelowTheFirstOffset) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    send_ack(stream, std::numeric_limits<int64_t>::min());
    return until_left(stream);
  });
  EXPECT_NE(said().find("acknowledged offset -9223372036854775808 after -1"), std::string::npos)
      << said();
}

TEST_F(BadInput, TwoCreateResponses) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    answer_create(stream);
    return until_left(stream);
  });
  EXPECT_NE(said().find("answered the create request twice"), std::string::npos) << said();
}

TEST_F(BadInput, AnAckWithoutItsOffset) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    answer_empty(stream, false, true);
    return until_left(stream);
  });
  EXPECT_NE(said().find("without durability_ack_up_to_offset"), std::string::npos) << said();
}

TEST_F(BadInput, AnAckBeyondWhatWasSent) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    send_ack(stream, 1'000'000);
    return until_left(stream);
  });
  EXPECT_NE(said().find("acknowledged offset 1000000 but only"), std::string::npos) << said();
}

TEST_F(BadInput, AnAckThatGoesBack) {
  destination_->batch.max_rows = 5;
  deliver_through([this](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    for (int i = 0; i < 2; ++i) {
      stream.Read(&request);
      for (const auto& row : request.ingest_record_batch().json_batch().records()) {
        arrived_.insert(std::stoi(row.substr(5)));
      }
    }
    send_ack(stream, 1);
    send_ack(stream, 0);
    return until_left(stream);
  });
  EXPECT_NE(said().find("acknowledged offset 0 after 1"), std::string::npos) << said();
}

TEST_F(BadInput, MembersOfANewerProtocolAreSkipped) {
  destination_->session.open_timeout = Millis(500);
  deliver_through([this](grpc::ServerContext&, ServerStream& stream) {
    pb::EphemeralStreamResponse response;
    auto* unknown = response.GetReflection()->MutableUnknownFields(&response);
    unknown->AddLengthDelimited(9)->assign("what will be");
    stream.Write(response);
    stream.Write(response);
    return honest(stream);
  });
}

TEST_F(BadInput, AnEndWithoutAReason) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    return grpc::Status::OK;
  });
  EXPECT_NE(said().find("the server ended the stream"), std::string::npos) << said();
}

TEST_F(BadInput, AnEndBeforeAnything) {
  deliver_through([](grpc::ServerContext&, ServerStream&) { return grpc::Status::OK; });
  EXPECT_NE(said().find("the server ended the stream"), std::string::npos) << said();
}

// Longer than gRPC's own limit for headers, which would hide both text and code.
TEST_F(BadInput, ALongStatusTextKeepsItsCodeAndIsCutForTheLog) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    return grpc::Status(grpc::StatusCode::INTERNAL, "cause: " + std::string(300'000, 'x'));
  });
  EXPECT_NE(said().find("INTERNAL: cause: xxx"), std::string::npos) << said();
}

// Ten would do as well, but gRPC needs seconds to read them. The code goes with the text: gRPC puts
// one of its own in its place, RESOURCE_EXHAUSTED.
TEST_F(BadInput, AStatusTextOfMegabytesIsNoCallForPatience) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    return grpc::Status(grpc::StatusCode::INTERNAL, std::string(3 << 20, 'x'));
  });
  EXPECT_NE(said().find("status text (or another header) is too large"), std::string::npos);
  EXPECT_EQ(said().find("sending slower"), std::string::npos) << said();
}

// Also when it refuses data: what is not known to be refused is kept and sent again.
TEST_F(BadInput, ARefusalWhoseTextIsTooLargeSetsNothingAside) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(2 << 20, 'x'));
  });
  EXPECT_NE(said().find("UNKNOWN: the server's status text"), std::string::npos) << said();
}

// But a record that is always refused like this does not block its table.
TEST_F(BadInput, ARecordThatIsAlwaysRefusedWithTooLongATextIsFoundAndSetAside) {
  std::atomic<int> streams{0};
  zerobus::Server server([&](grpc::ServerContext&, ServerStream& stream) {
    ++streams;
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    while (stream.Read(&request)) {
      const auto& batch = request.ingest_record_batch();
      for (const auto& row : batch.json_batch().records()) {
        if (std::stoi(row.substr(5)) == 7)
          return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(2 << 20, 'x'));
      }
      for (const auto& row : batch.json_batch().records())
        arrived_.insert(std::stoi(row.substr(5)));
      send_ack(stream, batch.offset_id());
    }
    return grpc::Status::OK;
  });
  connect(server.port());
  const auto lane = add_lane("main.b.t", 20);
  EXPECT_TRUE(delivered({lane}, 20)) << lane->snapshot().text;
  const auto aside = spool_.quarantined(lane->id());
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_EQ(aside.begin()->first, 7u);
  EXPECT_NE(aside.begin()->second.find("too large to be read"), std::string::npos);
  EXPECT_EQ(arrived_.size(), 19u);
  EXPECT_FALSE(arrived_.contains(7));
  lanes_.clear();
  destination_->transport.reset();
}

// And when it refuses the stream, which would otherwise wait for a person.
TEST_F(BadInput, ARefusalToOpenWhoseTextIsTooLargeIsTriedAgain) {
  destination_->session.retry.held = Millis(3'600'000);
  deliver_through([](grpc::ServerContext&, ServerStream&) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, std::string(2 << 20, 'x'));
  });
  EXPECT_NE(said().find("too large to be read"), std::string::npos) << said();
}

TEST_F(BadInput, AnAnswerOfMegabytesIsNotTaken) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    pb::EphemeralStreamResponse response;
    response.mutable_create_stream_response()->set_stream_id(std::string(2 << 20, 'x'));
    stream.Write(response);
    return until_left(stream);
  });
  EXPECT_NE(said().find("too large"), std::string::npos) << said();
}

// A front end with a smaller limit than the service's, such as gRPC's default.
TEST_F(BadInput, ARecordThatIsTooLargeForWhatIsInFrontOfTheServiceIsSetAsideAndBlocksNothing) {
  constexpr int kLimitBytes = 64 << 10;
  zerobus::Server server(
      [this](grpc::ServerContext&, ServerStream& stream) { return honest(stream); }, 0,
      grpc::InsecureServerCredentials(), 0, kLimitBytes);
  connect(server.port());
  const spool::LaneKey key{"route", "main.b.t"};
  std::vector<std::string> bodies;  // 20 fit alone, but not together
  for (int n = 1; n <= 20; ++n) bodies.push_back(body(n, n == 7 ? 2 * kLimitBytes : 10'000));
  spool_.preload(key, std::move(bodies));
  const auto lane = add_lane("main.b.t", 0);
  EXPECT_TRUE(delivered({lane}, 20)) << lane->snapshot().text;
  const auto aside = spool_.quarantined(lane->id());
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_EQ(aside.begin()->first, 7u);
  EXPECT_NE(aside.begin()->second.find("larger than max"), std::string::npos);
  EXPECT_EQ(arrived_.size(), 19u);
  EXPECT_LT(lane->counters().streams_opened, 12u);
  lanes_.clear();
  destination_->transport.reset();
}

// Good records are not blamed for a quota, however the service puts it.
TEST_F(BadInput, AQuotaInWordsLikeThoseOfATooLargeMessageIsACallForPatience) {
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                        "Ingest rate larger than max of this workspace");
  });
  EXPECT_NE(said().find("sending slower"), std::string::npos) << said();
}

// Front ends take headers of 4 to 8 KiB, and tokens grow with their claims.
TEST_F(BadInput, ATokenThatIsTooLargeForTheServerIsNamedAsWhatItMayBe) {
  server_options_.max_header_bytes = 2048;
  destination_->bearer = [](const std::string&, bool, const Destination::Token& done) {
    done(std::string(4000, 't'));
  };
  start_server();
  const auto lane = add_lane("main.b.t", 1);
  EXPECT_TRUE(run_until([&] {
    return lane->snapshot().text.find("the access token is 4000 bytes") != std::string::npos;
  })) << lane->snapshot().text;
}

// The same words, but of an answer that is too large for us: nothing of ours is to blame.
TEST_F(BadInput, AnAnswerThatIsTooLargeIsNotTakenForARefusal) {
  destination_->session.retry.held = Millis(3'600'000);
  deliver_through([](grpc::ServerContext&, ServerStream& stream) {
    answer_create(stream);
    pb::EphemeralStreamRequest request;
    stream.Read(&request);
    pb::EphemeralStreamResponse response;
    response.mutable_create_stream_response()->set_stream_id(std::string(2 << 20, 'x'));
    stream.Write(response);
    return until_left(stream);
  });
  EXPECT_NE(said().find("INTERNAL: a message is too large"), std::string::npos) << said();
}

TEST_F(BadInput, BytesThatAreNoMessage) {
  destination_->max_rows_per_s = 50;  // so that the stream is still at work when they come
  start_server();
  const auto lane = add_lane("main.b.t", 200);
  ASSERT_TRUE(run_until([&] { return cursor(lane) > 0; }));
  order("/faults/say?hex=0AFFFFFF");
  EXPECT_TRUE(delivered({lane}, 200)) << lane->snapshot().text;
  EXPECT_TRUE(exactly(lane, 200, true));
  EXPECT_GE(lane->counters().streams_opened, 2u) << "it was believed";
}

}  // namespace
}  // namespace penstock::lane
