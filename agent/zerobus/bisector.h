// Bisector: finds the records that the service refuses, so that one bad record never blocks its
// table.
//
// The status of a refusal does not say which request was refused: it is one of the unacknowledged,
// and requests sent after the bad one are lost with it. So everything unacknowledged is under
// suspicion and is sent again, strictly in order, one batch on its way at a time: first whole
// batches, then halves of the one that was refused alone, and halves of those. What is acknowledged
// on the way is cleared. A record is named only when it was refused alone, as the first request of
// a stream that was opened after the search began. The record behind it then goes alone as well:
// in a row of bad records each costs one stream, not a search.
//
// More than `limit` records named in a row, without an acknowledgement in between, point to the
// schema or the mapping rather than to the data: then nothing more is named.
//
// Streams per named record: at most 1 + 1 + ceil(log2 records of its batch), so below the
// 2 * ceil(log2 batches) + 2 * ceil(log2 records) + 2 that are allowed.
// Pure, one owner (a StreamSession). Nothing of it outlives the process: a search begins anew.
#pragma once

#include <cstdint>
#include <limits>

namespace penstock::zerobus {

class Bisector {
 public:
  static constexpr uint64_t kNoBound = std::numeric_limits<uint64_t>::max();

  enum class Verdict {
    kSearch,   // send again on a new stream, up to until()
    kInDoubt,  // the one record of this refusal, if its schema is that of the table: ask, send
               // again
    kPoison,   // the one record of this refusal is the culprit; the search goes on behind it
    kHold,     // too many in a row: only a person helps. Nothing is decided about this record
  };
  // A stream ended with a refusal while the records first_seq..last_seq were unacknowledged on it.
  struct Refusal {
    uint64_t first_seq = 0;
    uint64_t last_seq = 0;
    bool alone = false;     // they were one request
    bool fresh = false;     // nothing had been acknowledged on that stream
    bool in_doubt = false;  // its rows may be made for a schema that is not the table's any more
  };

  explicit Bisector(int limit) : limit_(limit) {}

  Verdict refused(const Refusal& refusal);
  // Records up to here are acknowledged.
  void released(uint64_t up_to_seq);
  // The probe up to here holds no row to send.
  void nothing_until(uint64_t seq);

  // While true only one request may be unacknowledged, and none may reach beyond until().
  bool searching() const { return suspect_until_ != 0; }
  uint64_t until() const;
  // Records named since the last acknowledgement.
  int in_a_row() const { return in_a_row_; }

 private:
  void cleared(uint64_t up_to_seq);

  const int limit_;
  int in_a_row_ = 0;
  uint64_t next_ = 0;           // first record not cleared and not named; valid while searching
  uint64_t suspect_until_ = 0;  // last record under suspicion; 0: no search
  uint64_t bad_until_ = 0;      // a bad one is among next_..bad_until_; 0: not known
  bool one_record_ = false;     // the last verdict was kPoison: the next record goes alone
};

}  // namespace penstock::zerobus
