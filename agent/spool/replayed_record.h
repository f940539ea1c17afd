// Records in a lane that sends quarantined ones again carry the name they were numbered with: an
// attribute behind all others, which rows, exports and listings never show.
//
// Only in such lanes (imported_lane.h) it means anything: what a source sends under that key stays
// an attribute. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/record.h"
#include "agent/spool/types.h"

namespace penstock::spool {

struct RecordName {
  std::string_view origin;  // agent_id/epoch/lane
  Seq seq = 0;
};

// encode_record's byte form of `record` with `name` in it.
std::string encode_named(const RecordView& record, const RecordName& name);

// Takes the name out of `record`, whose attributes `attributes` holds. nullopt: it has none.
std::optional<RecordName> take_name(RecordView& record, std::vector<AttributeView>& attributes);

}  // namespace penstock::spool
