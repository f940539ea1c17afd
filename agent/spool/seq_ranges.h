// A set of sequence numbers kept as disjoint ranges: the fates of records that are ahead of a
// lane's cursor.
//
// Pure value, no lock. Cost is logarithmic in the number of ranges.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "agent/spool/types.h"

namespace penstock::spool {

class SeqRanges {
 public:
  void add(SeqRange range);
  bool contains(Seq seq) const { return last_of(seq).has_value(); }
  // The end of the range that holds `seq`.
  std::optional<Seq> last_of(Seq seq) const;
  // What of `range` is not in the set, ascending.
  std::vector<SeqRange> missing_in(SeqRange range) const;
  bool overlaps(SeqRange range) const;
  // How many numbers of `range` are in the set.
  uint64_t count_in(SeqRange range) const;
  // Removes everything up to `seq`; how many numbers that were.
  uint64_t take_up_to(Seq seq);
  std::vector<SeqRange> all() const;  // ascending
  bool empty() const { return last_by_first_.empty(); }

 private:
  std::map<Seq, Seq> last_by_first_;
};

}  // namespace penstock::spool
