// Goal: a dead table leaves the others at least 0.9 of their rate. Method: lanes in memory on one
// event loop, with and without one whose table is dead. The rate is counted: rows delivered in a
// turn of the loop, which is what lanes share; no clock is looked at.
#include <algorithm>

#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

constexpr size_t kRows = 1'000;  // of each table that lives
constexpr size_t kMostTurns = 100'000;
const std::string kLiving[] = {"a.b.one", "a.b.two"};
const std::string kBeside = "a.b.beside";

// What the service, or what stands before it, does to the table beside the living ones.
struct Fate {
  const char* name;
  int open_status = 0;       // streams are refused with it
  int write_status = 0;      // the first request ends the stream with it
  bool every_other = false;  // only requests with one of these records do
  bool rotated = false;      // streams end in order before they have carried anything
  bool unread = false;       // nothing is taken
  bool silent = false;       // all is taken, nothing acknowledged
  bool no_token = false;     // the workspace gives none
  bool unfit = false;        // no record can be encoded
  bool alive = false;
};

std::ostream& operator<<(std::ostream& out, const Fate& fate) { return out << fate.name; }

// One run over one loop.
class Loop {
 public:
  explicit Loop(const Fate* fate) : fate_(fate) {
    destination_->transport = std::make_unique<test::FakeTransport>(streams_);
    destination_->bearer = [this](const std::string& table, bool, const Destination::Token& done) {
      if (table == kBeside && fate_->no_token)
        return done(Error{ErrorKind::kTransient, "the workspace is away", {}});
      done(std::string("token"));
    };
    destination_->batch = {.max_bytes = 4096, .max_rows = 2, .max_delay = Millis(0)};
    destination_->session.batch_bytes = 256;
    destination_->session.in_flight_bytes = 2'048;
    // What is tried again goes by the clock: not in this run, unless it does not wait at all.
    const auto never = Millis(1'000'000'000);
    destination_->session.retry = {never, never, never, never};
    for (const auto& table : kLiving) living_.push_back(lane(table, kRows, {row_of(1)}));
    if (fate_ && fate_->unfit) {
      beside_ = lane(kBeside, 10 * kRows, {"no row"});
    } else if (fate_) {
      beside_ = lane(kBeside, 10 * kRows, {row_of(1), row_of(2)});
    }
  }

  // How many turns it takes until all rows of the living tables are delivered.
  size_t turns() {
    for (auto& one : living_) one->start();
    if (beside_) beside_->start();
    for (size_t turn = 0; turn < kMostTurns; ++turn) {
      const auto done = [](const auto& one) { return one->cursor() == kRows; };
      if (std::all_of(living_.begin(), living_.end(), done)) return turn;
      for (size_t i = 0; i < streams_.size(); ++i) answer(i);
      io_.restart();
      if (io_.poll_one() == 0) break;
    }
    ADD_FAILURE() << "the others do not deliver";
    return kMostTurns;
  }
  const Lane& beside() const { return *beside_; }

 private:
  struct Served {
    bool begun = false;
    bool over = false;
    size_t writes = 0;
  };

  std::shared_ptr<Lane> lane(const std::string& table, size_t rows,
                             const std::vector<std::string>& payloads) {
    const spool::LaneKey key{"r", table};
    std::vector<std::string> bodies;
    for (size_t n = 0; n < rows; ++n) bodies.push_back(body_of(payloads[n % payloads.size()]));
    spool_.preload(key, std::move(bodies));
    auto encoder = codec::RowEncoder::make({});
    EXPECT_TRUE(encoder);
    return std::make_shared<Lane>(io_, spool_, spool_.state(spool_.lane(key)), *std::move(encoder),
                                  destination_, Log::none());
  }

  // The server's side: one step of one stream.
  void answer(size_t i) {
    served_.resize(streams_.size());
    auto& served = served_[i];
    auto& stream = *streams_[i];
    if (served.over) return;
    const Fate* fate = stream.open.table == kBeside ? fate_ : nullptr;
    if (stream.cancelled || stream.half_closed) return end(i, stream.cancelled ? 1 : 0);
    if (!served.begun) {
      served.begun = true;
      if (fate && fate->open_status != 0) return end(i, fate->open_status);
      stream.created();
      if (fate && fate->rotated) stream.respond(zerobus::CloseSignal{Millis(0)});
    } else if (served.writes < stream.writes.size() && !(fate && fate->unread)) {
      const auto& [offset, body] = stream.writes[served.writes++];
      const bool bad = fate && (!fate->every_other || body.find(row_of(2)) != body.npos);
      if (bad && fate->write_status != 0) return end(i, fate->write_status);
      stream.written();
      if (!fate || !fate->silent) stream.ack(offset);
    }
  }
  void end(size_t i, int status) {
    served_[i].over = true;
    streams_[i]->close(status, "as the test says");
  }

  const Fate* const fate_;
  boost::asio::io_context io_;
  test::FakeSpool spool_;
  std::vector<std::shared_ptr<FakeStream>> streams_;
  std::vector<Served> served_;
  std::shared_ptr<Destination> destination_ = std::make_shared<Destination>();
  std::vector<std::shared_ptr<Lane>> living_;
  std::shared_ptr<Lane> beside_;
};

// Of the rate they have alone, what the living tables have beside this one.
double share_beside(const Fate& fate) {
  const auto alone = Loop(nullptr).turns();
  Loop loop(&fate);
  const auto beside = loop.turns();
  EXPECT_GE(loop.beside().counters().streams_opened, 1u) << "it is not even tried";
  EXPECT_EQ(loop.beside().cursor() >= 100, fate.alive);
  return static_cast<double>(alone) / static_cast<double>(beside);
}

class ADeadTableInTurns : public testing::TestWithParam<Fate> {};

TEST_P(ADeadTableInTurns, LeavesTheOthersNineTenthsOfTheirRate) {
  EXPECT_GE(share_beside(GetParam()), 0.9);
}

INSTANTIATE_TEST_SUITE_P(
    Fates, ADeadTableInTurns,
    testing::Values(Fate{.name = "Unavailable", .open_status = 14},
                    Fate{.name = "Denied", .open_status = 7},
                    Fate{.name = "Throttled", .open_status = 8},
                    Fate{.name = "CutAtTheFirstRequest", .write_status = 14},
                    Fate{.name = "EveryRecordRefused", .write_status = 3},
                    Fate{.name = "EveryOtherRecordRefused", .write_status = 3, .every_other = true},
                    Fate{.name = "RotatedBeforeAnything", .rotated = true},
                    Fate{.name = "Unread", .unread = true}, Fate{.name = "Silent", .silent = true},
                    Fate{.name = "WithoutAToken", .no_token = true},
                    Fate{.name = "Unfit", .unfit = true}),
    [](const auto& tested) { return std::string(tested.param.name); });

// The measure sees it when a lane takes a share of the turns.
TEST(ALivingTableInTurns, TakesItsShareFromTheOthers) {
  EXPECT_LT(share_beside({.name = "Alive", .alive = true}), 0.8);
}

}  // namespace
}  // namespace penstock::lane
