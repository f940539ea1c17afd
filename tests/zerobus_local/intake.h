// The protocol rules of one stream's requests: what is accepted, and with which status the rest is
// refused.
//
// No I/O, no threads, one owner. Protocol facts: the first message is create_stream, exactly once;
// offsets count requests 0, 1, 2, ...; a batch is one offset and is taken whole or not at all; one
// message is at most 10 MiB; the record kind must be the one declared at create, PROTO when none
// was.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zerobus.pb.h"
#include <grpcpp/support/status.h>

#include "tests/zerobus_local/rows.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

constexpr size_t kMaxMessageBytes =
    10'485'760;  // the service's limit, which also covers the summed records

class Intake {
 public:
  using FindTable = std::function<TablePtr(std::string_view)>;
  // A reason to refuse a record that is otherwise fine (ordered faults), or nothing.
  using Veto = std::function<std::optional<std::string>(const Table&, std::string_view record)>;

  // `header_table` is the x-databricks-zerobus-table-name of the call. With `raw`, rows are checked
  // and then kept as framed bytes instead of cells.
  Intake(std::string header_table, FindTable find, Veto veto, bool raw);

  // Before anything is parsed. OK or INVALID_ARGUMENT.
  static grpc::Status check_size(size_t message_bytes);

  bool opened() const { return decoder_ != nullptr; }

  // The first message. OK: the stream is open, table() is set.
  grpc::Status open(const databricks::zerobus::EphemeralStreamRequest& request);

  struct Taken {
    int64_t offset = 0;
    Rows rows;        // count is always set, cells unless raw
    std::string raw;  // each record as 0x0A varint(length) bytes
  };
  // Every later message. On a refusal nothing of the message counts.
  grpc::Status take(const databricks::zerobus::EphemeralStreamRequest& request, Taken& out);

  // The table may have been altered or dropped since the last message. Added columns: JSON rows may
  // have them at once, protobuf rows after the next open. Dropped ones: INVALID_ARGUMENT for a
  // descriptor that has them, and for each JSON row that does. NOT_FOUND: the table is gone.
  grpc::Status altered();

  const TablePtr& table() const { return table_; }
  bool json() const { return json_; }

 private:
  grpc::Status collect(const databricks::zerobus::EphemeralStreamRequest& request);
  grpc::Status decode(int64_t offset, bool batch, Taken& out);
  grpc::Status wrong_kind() const;

  const std::string header_table_;
  const FindTable find_;
  const Veto veto_;
  const bool raw_;
  TablePtr table_;
  bool json_ = false;
  std::unique_ptr<RowDecoder> decoder_;
  std::vector<std::string> declared_;  // the descriptor's fields
  int64_t next_offset_ = 0;
  std::vector<std::string_view> records_;  // of the request being taken
  std::vector<Value> scratch_;
};

}  // namespace penstock::local
