// What a stack of gRPC calls too large is told from what a service says in similar words.
#include <gtest/gtest.h>

#include "agent/zerobus/grpc_words.h"

namespace penstock::zerobus {
namespace {

constexpr int kQuota = code::kResourceExhausted;

TEST(ZerobusGrpcWords, TheStacksOwnWordsWithALimitBelowWhatWasSentMeanTooLarge) {
  const std::pair<int, std::string> cases[] = {
      {kQuota, "Received message larger than max (5242880 vs. 4194304)"},
      {kQuota, "Sent message larger than max (5242880 vs. 4194304)"},
      {kQuota, "SERVER: Received message larger than max (5242880 vs. 4194304)"},
      {kQuota, "grpc: received message larger than max (5242880 vs. 4194304)"},
      {kQuota, "grpc: trying to send message larger than max (5242880 vs. 4194304)"},
      {kQuota, "grpc: received message after decompression larger than max (5242880 vs. 4194304)"},
      {kQuota, "Received message larger than max (5242880 vs 4194304)"},
      {kQuota, "gRPC message exceeds maximum size 4194304: 5242880"},
      {kQuota, "Received message exceeds the maximum configured message size."},
      {code::kOutOfRange,
       "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes"},
      {kQuota, "upstream: message larger than max of old; message larger than max (9 vs. 8)"},
  };
  for (const auto& [status, text] : cases) {
    const Status meant = as_meant(status, text, {5'242'880, 10, true});
    EXPECT_TRUE(meant.too_large) << text;
    EXPECT_EQ(classify(meant, StreamPhase::kOpen).kind, ErrorKind::kRejected) << text;
    EXPECT_NE(meant.message.find(text), std::string::npos);
  }
}

TEST(ZerobusGrpcWords, AServicesQuotaIsACallForPatienceWhateverItsWords) {
  const std::string cases[] = {
      "Ingest rate larger than max of this workspace",
      "Ingest rate larger than max (10 vs. 5)",
      "message larger than max",
      "message larger than max (10 vs. )",
      "message larger than max (x vs. 5)",
      "message larger than max (99999999999999999999999 vs. 5)",
      "request exceeds maximum size of your plan",
      "message exceeds maximum size 5",
      "message exceeds maximum size of 5: 10",
      "Received message exceeds the maximum configured message size. Try later",
      "",
      std::string(2 << 20, '('),
  };
  for (const auto& text : cases) {
    const Status meant = as_meant(kQuota, text, {1000, 10, true});
    EXPECT_FALSE(meant.too_large) << text.substr(0, 100);
    EXPECT_EQ(meant.code, kQuota);
    EXPECT_EQ(classify(meant, StreamPhase::kOpen).kind, ErrorKind::kThrottled);
  }
}

// Whoever says so means something else than what this stream has sent.
TEST(ZerobusGrpcWords, WithoutAMessageAboveTheQuotedLimitNothingWasTooLarge) {
  const std::string text = "grpc: received message larger than max (5242880 vs. 4194304)";
  EXPECT_TRUE(as_meant(kQuota, text, {4'194'305, 10, true}).too_large);
  for (const uint64_t largest : {uint64_t{4'194'304}, uint64_t{8}, uint64_t{0}}) {
    const Status meant = as_meant(kQuota, text, {largest, 10, true});
    EXPECT_FALSE(meant.too_large) << largest;
    EXPECT_EQ(classify(meant, StreamPhase::kOpen).kind, ErrorKind::kThrottled);
  }
  EXPECT_FALSE(as_meant(kQuota, "Received message exceeds the maximum configured message size.",
                        {0, 0, true})
                   .too_large);
}

TEST(ZerobusGrpcWords, AnAnswerAboveOurLimitIsTheServersTrouble) {
  const Status meant =
      as_meant(kQuota, "Received message larger than max (2097152 vs. 1048576)", {1000, 10, true});
  EXPECT_FALSE(meant.too_large);
  EXPECT_EQ(meant.code, code::kInternal);
}

// gRPC says the same of a header that we receive and of one that the server does.
TEST(ZerobusGrpcWords, AHeaderThatIsTooLargeMayBeOurTokenUntilTheServerHasAnswered) {
  const std::string text = "received initial metadata size exceeds limit";
  const Status before = as_meant(kQuota, text, {40, 4000, false});
  EXPECT_NE(before.message.find("access token is 4000 bytes"), std::string::npos) << before.message;
  EXPECT_NE(before.message.find("the server's status text"), std::string::npos) << before.message;
  EXPECT_TRUE(before.unread);
  const Status after = as_meant(kQuota, text, {40, 4000, true});
  EXPECT_EQ(after.message.find("token"), std::string::npos) << after.message;
  EXPECT_TRUE(after.unread);
  EXPECT_EQ(after.code, code::kUnknown);
}

TEST(ZerobusGrpcWords, OtherCodesAreWhatTheySay) {
  const std::string text = "message larger than max (10 vs. 5)";
  EXPECT_FALSE(as_meant(code::kInternal, text, {100, 10, true}).too_large);
  EXPECT_EQ(as_meant(code::kOutOfRange, "offset 5", {100, 10, true}).message, "offset 5");
}

}  // namespace
}  // namespace penstock::zerobus
