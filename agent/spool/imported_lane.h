// Lanes that hold the records of another spool: their route is the route's name, `@`, and the
// origin (agent_id/epoch/lane) the records were numbered under.
//
// No configured route has an `@` in its name, so such a lane never is one of the agent's own, and
// one lane holds records of one origin only: (origin, seq) stays what names a record. Pure.
//
// And lanes that send again what was in the quarantine: the route's name, `@replay/`, and the lane
// the records were taken from. They number anew, and each record brings its name along
// (replayed_record.h). What such a lane has committed is what was taken from the other one.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "agent/spool/types.h"

namespace penstock::spool {

struct ImportedFrom {
  std::string route;   // as configured
  std::string origin;  // agent_id/epoch/lane
  std::string agent_id;
  std::string epoch;
  LaneId lane = 0;  // its number over there
};

// "agent_id/epoch/lane" into its parts; `route` stays empty. nullopt when it is none.
inline std::optional<ImportedFrom> parse_origin(std::string_view origin) {
  const auto last = origin.rfind('/');
  const auto middle = last == origin.npos || last == 0 ? origin.npos : origin.rfind('/', last - 1);
  if (middle == origin.npos || middle == 0 || middle + 1 == last) return std::nullopt;
  ImportedFrom out{{},
                   std::string(origin),
                   std::string(origin.substr(0, middle)),
                   std::string(origin.substr(middle + 1, last - middle - 1)),
                   0};
  const auto number = origin.substr(last + 1);
  const auto* end = number.data() + number.size();
  const auto [rest, error] = std::from_chars(number.data(), end, out.lane);
  if (number.empty() || error != std::errc() || rest != end) return std::nullopt;
  return out;
}

inline std::string imported_route(std::string_view route, std::string_view origin) {
  return std::string(route) + "@" + std::string(origin);
}

// nullopt: a lane of the spool's own.
inline std::optional<ImportedFrom> imported_from(const LaneKey& key) {
  const auto at = key.route.find('@');
  if (at == key.route.npos) return std::nullopt;
  auto out = parse_origin(std::string_view(key.route).substr(at + 1));
  if (out) out->route = key.route.substr(0, at);
  return out;
}

// The reason of a range discarded here (`fate`) because its records went out over there.
inline constexpr std::string_view kDeliveredThere = "delivered where it came from";

// The reason of the fate that a number of the lane it was given in has once its record is sent to
// another table again: this and the table's name.
inline constexpr std::string_view kReplayedTo = "replayed to ";

inline constexpr std::string_view kReplayMark = "@replay/";

struct ReplayOf {
  std::string route;  // as configured
  LaneId lane = 0;    // where the records were in the quarantine
};

inline std::string replay_route(std::string_view route, LaneId from) {
  return std::string(route) + std::string(kReplayMark) + std::to_string(from);
}

// nullopt: any other lane.
inline std::optional<ReplayOf> replay_of(const LaneKey& key) {
  const auto at = key.route.find(kReplayMark);
  if (at == key.route.npos) return std::nullopt;
  ReplayOf out{key.route.substr(0, at), 0};
  const auto number = std::string_view(key.route).substr(at + kReplayMark.size());
  const auto* end = number.data() + number.size();
  const auto [rest, error] = std::from_chars(number.data(), end, out.lane);
  if (number.empty() || error != std::errc() || rest != end) return std::nullopt;
  return out;
}

// The route whose configuration a lane is sent by.
inline std::string configured_route(const LaneKey& key) {
  if (auto replay = replay_of(key)) return std::move(replay->route);
  const auto imported = imported_from(key);
  return imported ? imported->route : key.route;
}

// The lane in the origin of a lane's records: over there, when they were imported.
inline LaneId origin_lane(LaneId id, const LaneKey& key) {
  const auto imported = imported_from(key);
  return imported ? imported->lane : id;
}

}  // namespace penstock::spool
