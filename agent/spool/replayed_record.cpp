#include "agent/spool/replayed_record.h"

#include <charconv>

namespace penstock::spool {
namespace {

constexpr std::string_view kKey = "\x01penstock.name";

}  // namespace

std::string encode_named(const RecordView& record, const RecordName& name) {
  const std::string value = std::to_string(name.seq) + " " + std::string(name.origin);
  std::vector<AttributeView> attributes(record.attributes.begin(), record.attributes.end());
  attributes.push_back({kKey, value});
  RecordView named = record;
  named.attributes = attributes;
  std::string body;
  encode_record(named, body);
  return body;
}

std::optional<RecordName> take_name(RecordView& record, std::vector<AttributeView>& attributes) {
  if (attributes.empty() || attributes.back().key != kKey) return std::nullopt;
  const std::string_view value = attributes.back().value;
  const auto space = value.find(' ');
  if (space == value.npos) return std::nullopt;
  RecordName name{value.substr(space + 1), 0};
  const auto [rest, error] = std::from_chars(value.data(), value.data() + space, name.seq);
  if (error != std::errc() || rest != value.data() + space) return std::nullopt;
  attributes.pop_back();
  record.attributes = attributes;
  return name;
}

}  // namespace penstock::spool
