#include "agent/codec/export_line.h"

#include <vector>

#include <simdjson.h>

#include "agent/base/record.h"
#include "agent/base/text.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/json_text.h"

namespace penstock::codec {
namespace {

namespace dom = simdjson::dom;

constexpr uint64_t kMaxSeq = uint64_t{1} << 62;
constexpr size_t kKeptBytes = size_t{4} << 20;  // a parser that has grown beyond is given back

// ---- writing --------------------------------------------------------------------------------

void append_quoted_base64(std::string_view bytes, std::string& out) {
  out += '"';
  append_base64(bytes, out);
  out += '"';
}

// A string, or {"base64": "..."} where the bytes are no UTF-8.
void append_text(std::string_view bytes, std::string& out) {
  if (is_utf8(bytes)) return append_json_string(bytes, out);
  out += "{\"base64\":";
  append_quoted_base64(bytes, out);
  out += '}';
}

void append_field(std::string_view key, std::string_view bytes, std::string& out) {
  out.append(",\"").append(key).append("\":");
  append_text(bytes, out);
}

void append_number(std::string_view key, std::string_view number, std::string& out) {
  out.append(",\"").append(key).append("\":").append(number);
}

void append_lane(const ExportLane& lane, std::string& out) {
  out += "{\"origin\":";
  append_text(lane.origin, out);
  append_field("route", lane.route, out);
  append_field("table", lane.table, out);
}

void append_note(const ExportNote& note, std::string& out) {
  append_number("at_us", std::to_string(note.at_us), out);
  append_field("reason", note.reason, out);
}

void append_attributes(const RecordView& record, std::string& out) {
  if (record.attributes.empty()) return;
  out += ",\"attributes\":[";
  for (const auto& attribute : record.attributes) {
    out += out.back() == '[' ? "[" : ",[";
    append_text(attribute.key, out);
    out += ',';
    append_text(attribute.value, out);
    out += ']';
  }
  out += ']';
}

// The record field by field, when that gives exactly these bytes back.
std::optional<RecordView> decode_exactly(std::string_view body,
                                         std::vector<AttributeView>& attributes) {
  const auto record = decode_record(body, attributes);
  if (!record) return std::nullopt;
  std::string again;
  again.reserve(body.size());
  encode_record(*record, again);
  return again == body ? std::optional(*record) : std::nullopt;
}

// ---- reading --------------------------------------------------------------------------------

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

std::string quoted(std::string_view key) { return "\"" + std::string(key) + "\""; }

// Reads the members of one object; the first thing that is wrong stays.
class Members {
 public:
  Members(dom::object object, std::string& problem) : object_(object), problem_(problem) {}

  bool has(std::string_view key) const { return object_[key].error() == simdjson::SUCCESS; }

  std::string text(std::string_view key) {
    dom::element element;
    if (!find(key, element)) return {};
    return text_of(element, key);
  }

  int64_t number(std::string_view key) {
    dom::element element;
    int64_t value = 0;
    if (find(key, element) && element.get(value) != simdjson::SUCCESS)
      fail(quoted(key) + " is not a whole number of 64 bits");
    return value;
  }

  uint64_t seq(std::string_view key) {
    const int64_t value = number(key);
    if (problem_.empty() && (value < 1 || static_cast<uint64_t>(value) >= kMaxSeq))
      fail(quoted(key) + " is not the number of a record: " + std::to_string(value));
    return static_cast<uint64_t>(value);
  }

  std::string base64(std::string_view key) {
    auto bytes = decode_base64(text(key));
    if (!bytes) fail(quoted(key) + " is not base64");
    return bytes ? *std::move(bytes) : std::string();
  }

  bool flag(std::string_view key) {
    dom::element element;
    bool value = false;
    if (has(key) && find(key, element) && element.get(value) != simdjson::SUCCESS)
      fail(quoted(key) + " is neither true nor false");
    return value;
  }

  std::optional<dom::object> object(std::string_view key) {
    dom::element element;
    dom::object value;
    if (!find(key, element)) return std::nullopt;
    if (element.get(value) == simdjson::SUCCESS) return value;
    fail(quoted(key) + " is not an object");
    return std::nullopt;
  }

  std::vector<std::pair<std::string, std::string>> pairs(std::string_view key) {
    std::vector<std::pair<std::string, std::string>> out;
    dom::element element;
    dom::array array;
    if (!has(key) || !find(key, element)) return out;
    if (element.get(array) != simdjson::SUCCESS) {
      fail(quoted(key) + " is not a list of [key, value]");
      return out;
    }
    for (const dom::element entry : array) {
      dom::array pair;
      if (entry.get(pair) != simdjson::SUCCESS || pair.size() != 2) {
        fail(quoted(key) + " is not a list of [key, value]");
        break;
      }
      auto it = pair.begin();
      std::string name = text_of(*it, key);
      out.emplace_back(std::move(name), text_of(*++it, key));
    }
    return out;
  }

  void fail(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
  }

 private:
  bool find(std::string_view key, dom::element& element) {
    if (object_[key].get(element) == simdjson::SUCCESS) return true;
    fail(quoted(key) + " is missing");
    return false;
  }

  std::string text_of(dom::element element, std::string_view key) {
    std::string_view text;
    if (element.get(text) == simdjson::SUCCESS) return std::string(text);
    if (element["base64"].get(text) == simdjson::SUCCESS) {
      if (auto bytes = decode_base64(text)) return *std::move(bytes);
    }
    fail(quoted(key) + " is neither text nor {\"base64\": ...}");
    return {};
  }

  dom::object object_;
  std::string& problem_;
};

std::string read_body(Members& line) {
  const std::string encoding = line.text("encoding");
  if (encoding == "raw") return line.base64("payload");
  const std::string payload = encoding == "base64" ? line.base64("payload") : line.text("payload");
  if (encoding != "text" && encoding != "base64")
    line.fail("\"encoding\" is " + shown(encoding) + "; it is text, base64 or raw");
  const std::string clock = line.text("clock");
  if (clock != "set" && clock != "unset")
    line.fail("\"clock\" is " + shown(clock) + "; it is set or unset");
  const std::string source = line.text("source");
  const std::string topic = line.text("topic");
  const auto pairs = line.pairs("attributes");
  std::vector<AttributeView> attributes;
  for (const auto& [key, value] : pairs) attributes.push_back({key, value});
  const RecordView record{source,
                          topic,
                          payload,
                          attributes,
                          line.number("received_at_us"),
                          clock == "unset" ? TimeQuality::kUnset : TimeQuality::kSet};
  std::string body;
  body.reserve(encoded_record_bound(record));
  encode_record(record, body);
  return body;
}

ExportNote read_note(Members& object) { return {object.number("at_us"), object.text("reason")}; }

void read_gap(Members& line, std::string& problem, ExportLine& out) {
  out.kind = ExportLine::Kind::kGap;
  const auto object = line.object("gap");
  if (!object) return;
  Members gap(*object, problem);
  out.first = gap.seq("first");
  out.last = gap.seq("last");
  out.fate = gap.text("fate");
  out.note = read_note(gap);
  if (out.last < out.first) line.fail("\"gap\" ends before it begins");
}

}  // namespace

void append_export_header(const ExportHeader& header, std::string& out) {
  out += "{\"penstock_export\":" + std::to_string(header.format);
  append_field("agent_id", header.agent_id, out);
  append_field("epoch", header.epoch, out);
  append_number("exported_at_us", std::to_string(header.exported_at_us), out);
  out += "}\n";
}

void append_export_record(const ExportLine& line, std::string_view body, std::string& out) {
  append_lane(line.lane, out);
  append_number("seq", std::to_string(line.first), out);
  if (line.delivered) append_number("delivered", "true", out);
  if (line.quarantined) {
    out += ",\"quarantined\":{\"at_us\":" + std::to_string(line.quarantined->at_us);
    append_field("reason", line.quarantined->reason, out);
    out += '}';
  }
  std::vector<AttributeView> attributes;
  const auto record = decode_exactly(body, attributes);
  if (record) {
    append_number("received_at_us", std::to_string(record->received_at_us), out);
    append_field("clock", record->time_quality == TimeQuality::kSet ? "set" : "unset", out);
    append_field("source", record->source, out);
    append_field("topic", record->topic, out);
    append_attributes(*record, out);
  }
  const bool is_text = record && is_utf8(record->payload);
  append_field("encoding", is_text ? "text" : record ? "base64" : "raw", out);
  out += ",\"payload\":";
  if (is_text) {
    append_json_string(record->payload, out);
  } else {
    append_quoted_base64(record ? record->payload : body, out);
  }
  out += "}\n";
}

void append_export_gap(const ExportLine& line, std::string& out) {
  append_lane(line.lane, out);
  out += ",\"gap\":{\"first\":" + std::to_string(line.first);
  append_number("last", std::to_string(line.last), out);
  append_field("fate", line.fate, out);
  append_note(line.note, out);
  out += "}}\n";
}

struct ExportLineReader::State {
  dom::parser parser;
};

ExportLineReader::ExportLineReader() : state_(std::make_unique<State>()) {}
ExportLineReader::~ExportLineReader() = default;
ExportLineReader::ExportLineReader(ExportLineReader&&) noexcept = default;
ExportLineReader& ExportLineReader::operator=(ExportLineReader&&) noexcept = default;

Result<ExportLine> ExportLineReader::read(std::string_view text) {
  if (state_->parser.capacity() > kKeptBytes && text.size() < kKeptBytes / 16)
    state_ = std::make_unique<State>();
  dom::element root;
  dom::object object;
  if (const auto error = state_->parser.parse(text.data(), text.size()).get(root);
      error != simdjson::SUCCESS) {
    return refused(std::string("not one JSON object: ") + simdjson::error_message(error));
  }
  if (root.get(object) != simdjson::SUCCESS) return refused("not a JSON object");
  ExportLine out;
  std::string problem;
  Members line(object, problem);
  if (line.has("penstock_export")) {
    out.kind = ExportLine::Kind::kHeader;
    out.header.format = line.number("penstock_export");
    if (out.header.format == kExportFormat) {
      out.header.agent_id = line.text("agent_id");
      out.header.epoch = line.text("epoch");
      out.header.exported_at_us = line.number("exported_at_us");
    }
  } else {
    out.lane = {line.text("origin"), line.text("route"), line.text("table")};
    if (line.has("gap")) {
      read_gap(line, problem, out);
    } else {
      out.first = out.last = line.seq("seq");
      out.delivered = line.flag("delivered");
      if (line.has("quarantined")) {
        if (const auto note = line.object("quarantined")) {
          Members members(*note, problem);
          out.quarantined = read_note(members);
        }
      }
      out.body = read_body(line);
    }
  }
  if (!problem.empty()) return refused(std::move(problem));
  return out;
}

}  // namespace penstock::codec
