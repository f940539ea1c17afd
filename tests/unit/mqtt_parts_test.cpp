// The deciding parts of the MQTT input, without threads or sockets.
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/mqtt/ack_queue.h"
#include "plugins/mqtt/byte_cap.h"
#include "plugins/mqtt/protocol_choice.h"
#include "plugins/mqtt/reason_text.h"
#include "plugins/mqtt/resolver.h"
#include "plugins/mqtt/retry_delay.h"
#include "plugins/mqtt/session_ledger.h"
#include "plugins/mqtt/stall_detector.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::mqtt {
namespace {

using std::chrono::milliseconds;
using test::Millis;
using test::TempDir;
using test::wait_until;

std::vector<uint8_t> puback(uint8_t id) { return {0x40, 2, 0, id}; }

TEST(MqttAckQueue, NothingLeavesBeforeItsStampIsDurable) {
  AckQueue queue;
  queue.push(5, puback(1));
  queue.push(7, puback(2));
  std::vector<uint8_t> out;
  EXPECT_EQ(queue.release(4, out), 0U);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(queue.release(6, out), 1U);
  EXPECT_EQ(out, puback(1));
  EXPECT_EQ(queue.size(), 1U);
}

TEST(MqttAckQueue, ALaterFrameNeverOvertakesAnEarlierOne) {
  AckQueue queue;
  queue.push(9, puback(1));
  queue.push(0, std::vector<uint8_t>{0xE0, 0});  // DISCONNECT
  std::vector<uint8_t> out;
  EXPECT_EQ(queue.release(8, out), 0U);
  EXPECT_EQ(queue.release(9, out), 2U);
  EXPECT_EQ(out, (std::vector<uint8_t>{0x40, 2, 0, 1, 0xE0, 0}));
}

TEST(MqttAckQueue, NeverMeansNeverEvenAtTheHighestWatermark) {
  AckQueue queue;
  queue.push(1, puback(1));
  queue.push(kNever, puback(2));
  queue.push(1, puback(3));
  std::vector<uint8_t> out;
  EXPECT_FALSE(queue.blocked_for_good());
  EXPECT_EQ(queue.release(kNever, out), 1U);
  EXPECT_TRUE(queue.blocked_for_good());
}

TEST(MqttSessionLedger, AStampCoversEverythingAssignedWhenItIsAskedFor) {
  EmitTotals totals;
  SessionLedger ledger(totals);
  ledger.received();
  totals.accept(3, 10);
  EXPECT_EQ(ledger.stamp_of_puback(1), 3U);
  totals.accept(8, 10);
  EXPECT_EQ(ledger.stamp_of_puback(1), 8U);
  totals.accept(2, 10);  // out of order reports do not move it back
  EXPECT_EQ(ledger.stamp_of_puback(1), 8U);
}

TEST(MqttSessionLedger, TheRefusedMessageAndAllBehindItAreNeverAcknowledged) {
  EmitTotals totals;
  SessionLedger ledger(totals);
  for (int i = 0; i < 3; ++i) {
    ledger.received();
    if (i < 2) totals.accept(static_cast<uint64_t>(i + 1), 1);
  }
  ledger.refuse();
  ledger.received();
  ledger.refuse();  // a second refusal does not move the first
  EXPECT_EQ(ledger.stamp_of_puback(1), 2U);
  EXPECT_EQ(ledger.stamp_of_puback(2), 2U);
  EXPECT_EQ(ledger.stamp_of_puback(3), kNever);
  EXPECT_EQ(ledger.stamp_of_puback(4), kNever);
  EXPECT_EQ(ledger.stamp_of_other(), kNever);
}

TEST(MqttSessionLedger, AnAcknowledgementWithoutAMessageIsNeverReleased) {
  EmitTotals totals;
  SessionLedger ledger(totals);
  ledger.received();
  totals.accept(1, 1);
  EXPECT_EQ(ledger.stamp_of_puback(1), 1U);
  EXPECT_TRUE(ledger.unseen(2));
  EXPECT_EQ(ledger.stamp_of_puback(2), kNever);
}

TEST(MqttByteCap, CountsWhatIsNotDurableToWithinASixtyFourthOfTheLimit) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint64_t kLimit = 6400;
  ByteCap cap(kLimit);
  std::vector<uint64_t> bytes_at = {0};  // total after record n
  uint64_t durable = 0;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 3 != 0) {
      bytes_at.push_back(bytes_at.back() + random() % 200);
      cap.note(bytes_at.size() - 1, bytes_at.back());
    } else {
      durable += random() % (bytes_at.size() - durable);
      cap.durable(durable);
    }
    const uint64_t exact = bytes_at.back() - bytes_at[durable];
    const uint64_t counted = cap.pending(bytes_at.back());
    ASSERT_GE(counted, exact);
    ASSERT_LE(counted, exact + 2 * (kLimit / 64 + 200));
  }
  cap.durable(bytes_at.size());
  EXPECT_EQ(cap.pending(bytes_at.back()), 0U);
}

class MqttStall : public ::testing::Test {
 protected:
  StallDetector::Time at(int ms) { return StallDetector::Time() + milliseconds(1000 + ms); }
  StallDetector stall_{1000};
};

TEST_F(MqttStall, AFullUsualWindowInSilenceIsAStallOnce) {
  stall_.on_broker_bytes(at(0));
  EXPECT_FALSE(stall_.look(at(0), 20));  // not silent yet
  EXPECT_TRUE(stall_.wants_look(20));
  EXPECT_TRUE(stall_.look(at(1), 20));
  EXPECT_FALSE(stall_.wants_look(20));
  EXPECT_FALSE(stall_.look(at(5), 20));
  stall_.on_broker_bytes(at(6));
  EXPECT_TRUE(stall_.look(at(7), 20));
}

TEST_F(MqttStall, AcknowledgementsThatComeLateStillFillTheWindow) {
  stall_.on_broker_bytes(at(0));
  stall_.on_ack(at(1));
  EXPECT_FALSE(stall_.look(at(2), 1));
  EXPECT_FALSE(stall_.wants_look(1));
  stall_.on_ack(at(30));
  EXPECT_TRUE(stall_.wants_look(20));
  EXPECT_TRUE(stall_.look(at(31), 20));
  stall_.on_ack(at(40));
  EXPECT_FALSE(stall_.wants_look(21));  // one hint for one silence
}

TEST_F(MqttStall, ASlowSourceIsNoStall) {
  // One record every 10 ms, a commit every 50 ms: a hint would make it a commit a record.
  for (int ms = 0; ms < 2000; ms += 10) {
    stall_.on_broker_bytes(at(ms));
    ASSERT_FALSE(stall_.look(at(ms + 1), static_cast<size_t>(ms % 50 / 10 + 1)));
    if (ms % 50 == 40) stall_.on_released(at(ms + 5));
  }
}

TEST_F(MqttStall, ASmallWindowIsKnownByItsAnswerToARelease) {
  stall_.on_broker_bytes(at(0));
  EXPECT_FALSE(stall_.look(at(1), 1));
  stall_.on_released(at(50));
  stall_.on_broker_bytes(at(51));
  EXPECT_TRUE(stall_.look(at(52), 1));
}

TEST_F(MqttStall, ASmallReceiveMaximumIsAFullWindow) {
  StallDetector small(3);
  small.on_broker_bytes(at(0));
  EXPECT_FALSE(small.look(at(1), 2));
  small.on_broker_bytes(at(2));
  EXPECT_TRUE(small.look(at(3), 3));
}

TEST_F(MqttStall, NothingHeldIsNoStall) {
  stall_.on_broker_bytes(at(0));
  EXPECT_FALSE(stall_.wants_look(0));
  EXPECT_FALSE(stall_.look(at(9), 0));
}

TEST(MqttRetryDelay, GrowsToItsCapWithJitterAndNeverGivesUp) {
  RetryDelay delay(milliseconds(100), milliseconds(1000));
  EXPECT_EQ(delay.next(0), milliseconds(50));
  EXPECT_EQ(delay.next(0.5), milliseconds(150));
  EXPECT_EQ(delay.next(0), milliseconds(200));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_GE(delay.next(0.0), milliseconds(400));
    EXPECT_LE(delay.next(0.999), milliseconds(1000));
  }
  delay.reset();
  EXPECT_EQ(delay.next(0), milliseconds(50));
}

TEST(MqttProtocolChoice, AutoFallsBackOnARefusalAndOnAHangUp) {
  ProtocolChoice choice;
  EXPECT_EQ(choice.current(), Version::kV5);
  choice.refused();
  EXPECT_EQ(choice.current(), Version::kV311);
  choice.hung_up();
  EXPECT_EQ(choice.current(), Version::kV5);
}

TEST(MqttProtocolChoice, AVersionThatWorkedSurvivesARestartOfTheBroker) {
  ProtocolChoice choice;
  choice.worked();
  for (int i = 0; i < 4; ++i) choice.hung_up();
  EXPECT_EQ(choice.current(), Version::kV5);
  choice.hung_up();
  EXPECT_EQ(choice.current(), Version::kV311);
}

TEST(MqttProtocolChoice, AFixedVersionStays) {
  ProtocolChoice choice(Version::kV5);
  choice.refused();
  for (int i = 0; i < 10; ++i) choice.hung_up();
  EXPECT_EQ(choice.current(), Version::kV5);
}

// With a name server that says nothing, in a network and a file system of one thread's own.
bool with_silent_name_server(const std::filesystem::path& dir, int& server) {
  std::ofstream(dir / "resolv.conf") << "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return false;
  const auto conf = dir / "resolv.conf";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount(conf.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
    return false;
  if (std::system("ip link set lo up 2>/dev/null") != 0) return false;
  server = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

TEST(MqttLookup, OneThatIsDroppedWhileItRunsIsFreedOnceItHasEnded) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP()
      << "glibc looks names up in a thread that ThreadSanitizer does not know, and crashes";
#endif
  const TempDir dir("lookup");
  bool possible = false;
  std::thread([&] {
    int server = -1;
    possible = with_silent_name_server(dir.path(), server);
    if (possible) {
      {
        Lookup lookup("broker.example", 1883);
        pollfd asked{server, POLLIN, 0};
        ASSERT_EQ(::poll(&asked, 1, 20'000), 1) << "the name server is not asked";
        EXPECT_FALSE(lookup.done());
      }
      EXPECT_EQ(Lookup::abandoned(), 1U);
      EXPECT_TRUE(wait_until([] { return Lookup::abandoned() == 0; }, Millis(30'000)));
    }
    if (server >= 0) ::close(server);
  }).join();
  if (!possible) GTEST_SKIP() << "needs root and `ip` for a network of its own";
}

TEST(MqttReasonText, SaysWhatTheBrokerMeans) {
  EXPECT_EQ(reason_text(Version::kV311, 4), "bad user name or password");
  EXPECT_EQ(reason_text(Version::kV5, 0x87), "not authorised");
  EXPECT_EQ(reason_text(Version::kV5, 0x42), "reason code 0x42");
}

}  // namespace
}  // namespace penstock::mqtt
