// How many streams a connection takes, by what silence says of it. The connections are made, the
// streams are not: what the server would have said on them is told.
#include <set>
#include <string>
#include <vector>

#include "agent/zerobus/grpc_channels.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::zerobus {
namespace {

using std::chrono::minutes;

class ZerobusChannels : public testing::Test {
 protected:
  Place pick(const std::string& table) {
    Place place = channels_.pick(table, now_).value();
    EXPECT_TRUE(place.channel->channel->WaitForConnected(std::chrono::system_clock::now() + kSoon));
    return place;
  }
  Place answered(const Place& place) {
    ++place.channel->heard;
    channels_.answered(place, now_);
    return place;
  }
  Place opened(const std::string& table) { return answered(pick(table)); }
  void leave(const Place& place) { channels_.left(place, true); }
  // The server says nothing on this one, but to its neighbours; the session's open timeout.
  PooledChannel* silent(const Place& place) {
    if (place.channel->answered > 0) ++place.channel->heard;
    return given_up(place, Millis(15'000));
  }
  PooledChannel* given_up(const Place& place, Millis after) {
    now_ += after;
    channels_.given_up(place, now_);
    channels_.left(place, false);
    return place.channel;
  }
  // As many tables, open on one channel.
  std::vector<Place> neighbours(int count) {
    std::vector<Place> out;
    for (int i = 0; i < count; ++i) out.push_back(opened("a.b.n" + std::to_string(i)));
    return out;
  }
  // A server that answers `limit` streams of a connection, as seen from one table: it tries until
  // it is answered.
  Place open_under(int limit, const std::string& table) {
    for (int tries = 0;; ++tries) {
      const Place place = pick(table);
      if (place.channel->answered < limit || tries > 100) return answered(place);
      silent(place);
    }
  }
  // Found full with `count` answered streams.
  PooledChannel* full_with(int count) {
    auto* const first = neighbours(count).front().channel;
    open_under(count, "a.b.extra");
    EXPECT_EQ(first->capacity, count);
    return first;
  }

  MonoTime now_{};
  Server server_{until_cancelled()};
  Channels channels_{server_.endpoint().address(),
                     [] { return grpc::InsecureChannelCredentials(); },
                     channel_arguments(server_.endpoint(), "penstock/test"), Log::none()};
};

TEST_F(ZerobusChannels, ASilentTableIsTriedElsewhereAndTakesNoRoomFromOthers) {
  auto* const first = neighbours(3).front().channel;
  const Place silent_one = pick("a.b.silent");
  EXPECT_EQ(silent(silent_one), first);
  EXPECT_EQ(first->capacity, kStreamsPerChannel);
  EXPECT_NE(pick("a.b.silent").channel, first);
  EXPECT_EQ(pick("a.b.other").channel, first);
}

TEST_F(ZerobusChannels, ATableThatIsNeverAnsweredLeavesAllConnectionsTheirRoom) {
  auto all = neighbours(10);
  std::set<PooledChannel*> tried;
  for (int i = 0; i < 5'000; ++i) {
    tried.insert(silent(pick("a.b.silent")));
    leave(all[i % 10]);  // streams come and go
    all[i % 10] = opened("a.b.n" + std::to_string(i % 10));
  }
  for (auto* const one : tried) EXPECT_EQ(one->capacity, kStreamsPerChannel);
  EXPECT_EQ(tried.size(), 2u) << "that of the others, and one where it is alone";
  for (int i = 10; i < kStreamsPerChannel; ++i) opened("a.b.n" + std::to_string(i));
  std::set<PooledChannel*> used;
  for (const auto& one : all) used.insert(one.channel);
  EXPECT_EQ(used.size(), 1u) << "its neighbours share one as ever";
}

TEST_F(ZerobusChannels, AConnectionIsFullWhenTheTableIsAnsweredOnAnother) {
  const auto two = neighbours(2);
  auto* const first = two.front().channel;
  const Place elsewhere = open_under(2, "a.b.third");
  EXPECT_NE(elsewhere.channel, first);
  EXPECT_EQ(first->capacity, 2);
  EXPECT_EQ(pick("a.b.fourth").channel, elsewhere.channel) << "at once";
  leave(two.front());
  EXPECT_EQ(pick("a.b.fifth").channel, first) << "room was given back";
}

TEST_F(ZerobusChannels, ManyTablesFindTheirPlacesBehindALimit) {
  std::set<PooledChannel*> used;
  for (int i = 0; i < 20; ++i) used.insert(open_under(4, "a.b.t" + std::to_string(i)).channel);
  EXPECT_EQ(used.size(), 5u);
}

TEST_F(ZerobusChannels, AConnectionThatAnsweredMoreMeanwhileIsNotFull) {
  auto* const first = neighbours(2).front().channel;
  silent(pick("a.b.slow"));
  opened("a.b.other");  // a third one on it
  EXPECT_NE(opened("a.b.slow").channel, first);
  EXPECT_EQ(first->capacity, kStreamsPerChannel);
}

TEST_F(ZerobusChannels, AnAnswerOnTheSameConnectionEndsTheDoubt) {
  const auto two = neighbours(2);
  auto* const first = two.front().channel;
  const Place late = pick("a.b.slow");
  silent(pick("a.b.slow"));
  leave(two.back());
  EXPECT_EQ(answered(late).channel, first);
  EXPECT_EQ(first->capacity, kStreamsPerChannel);
  EXPECT_EQ(pick("a.b.slow").channel, first);
}

TEST_F(ZerobusChannels, OnlyALongSilenceAmongOthersCounts) {
  auto* const first = neighbours(2).front().channel;
  EXPECT_EQ(given_up(pick("a.b.third"), Millis(15'000)), first) << "nobody was spoken to";
  const Place soon = pick("a.b.third");
  ++first->heard;
  EXPECT_EQ(given_up(soon, kSilence - Millis(1)), first) << "stopped, or held";
  EXPECT_EQ(pick("a.b.third").channel, first);
}

TEST_F(ZerobusChannels, SilenceIsForgotten) {
  auto* const first = neighbours(2).front().channel;
  silent(pick("a.b.third"));
  now_ += kRemembered - Millis(1);
  const Place elsewhere = pick("a.b.third");
  EXPECT_NE(elsewhere.channel, first);
  now_ += Millis(1);
  EXPECT_EQ(pick("a.b.third").channel, first);
  answered(elsewhere);
  EXPECT_EQ(first->capacity, kStreamsPerChannel) << "of old silence nothing is concluded";
}

TEST_F(ZerobusChannels, AFullConnectionHasItsRoomAgainWhenItTakesOneMore) {
  auto* const first = full_with(2);
  auto* second = pick("a.b.new").channel;
  EXPECT_NE(second, first);
  now_ += kRemembered;
  EXPECT_EQ(pick("a.b.new").channel, second) << "no trial while there is room";
  while (second->streams < second->capacity) pick("a.b.new");
  const Place trial = pick("a.b.new");
  EXPECT_EQ(trial.channel, first) << "rather than another connection";
  auto* const third = pick("a.b.newer").channel;
  EXPECT_NE(third, first) << "one at a time";
  answered(trial);
  EXPECT_EQ(first->capacity, kStreamsPerChannel);
  EXPECT_EQ(pick("a.b.newer").channel, first);
}

TEST_F(ZerobusChannels, AConnectionThatIsStillFullIsTriedAgainLater) {
  auto* const first = full_with(2);
  auto* const second = pick("a.b.new").channel;
  while (second->streams < second->capacity) pick("a.b.new");
  now_ += kRemembered;
  EXPECT_EQ(silent(pick("a.b.new")), first);
  const Place elsewhere = pick("a.b.new");
  EXPECT_NE(elsewhere.channel, first);
  answered(elsewhere);
  EXPECT_EQ(first->capacity, 2);
  while (elsewhere.channel->streams < elsewhere.channel->capacity) pick("a.b.new");
  EXPECT_NE(pick("a.b.newer").channel, first);
  now_ += kRemembered;
  auto* last = pick("a.b.newest").channel;
  EXPECT_TRUE(last != first) << "there is room on the last one";
  while (last->streams < last->capacity) pick("a.b.newest");
  EXPECT_EQ(pick("a.b.newest").channel, first);
}

// It has its own troubles, and the trial would tell nothing.
TEST_F(ZerobusChannels, ATableThatIsSilentIsNotTheOneToTry) {
  auto* const first = full_with(2);
  auto* const second = pick("a.b.new").channel;
  now_ += kRemembered;
  EXPECT_EQ(silent(pick("a.b.silent")), second);
  const Place elsewhere = pick("a.b.silent");
  EXPECT_NE(elsewhere.channel, first);
  EXPECT_NE(elsewhere.channel, second);
}

}  // namespace
}  // namespace penstock::zerobus
