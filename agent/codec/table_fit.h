// Columns of the configuration and columns of a table, brought together.
//
// Pure, any thread.
#pragma once

#include <vector>

#include "agent/base/result.h"
#include "agent/codec/encoder_spec.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

// How a value is cast for a column of this type.
CastSpec cast_of(const DataType& type);

// The table that `columns` describe, for destinations with `schema: columns`: a column is of the
// type its cast names. Without a cast, text (topic, source, attributes, labels, text around
// references, the payload as a whole) is STRING, numbers of `meta` are BIGINT and
// `meta.received_at` is a TIMESTAMP. kRejected, naming the column, where only the payload knows the
// type, and for names that the service does not take.
Result<TableSchema> schema_of_columns(const std::vector<ColumnSpec>& columns);

// `table` with those columns for a record's identity that it does not have: as fit_to_table() fills
// them.
TableSchema with_identity(TableSchema table);

struct Fitted {
  EncoderSpec spec;      // with columns, each with the cast of the table, NULL where both allow it
  TableSchema table;     // those columns of it, in the order of spec.columns
  bool by_name = false;  // the configuration named no columns: the payload's fields fill them
};

// Without columns in `spec`, one is made for each column of the table, from the payload's field of
// that name. `_origin`, `_seq`, `_sub`, `_ingested_at` and `_time_quality` are filled from the
// record's identity wherever the table has them with a type that takes it, unless `spec` says
// otherwise. kRejected, naming the column: not in the table, a cast that does not go with its type,
// or a NOT NULL column of the table that nothing fills.
Result<Fitted> fit_to_table(EncoderSpec spec, const TableSchema& table);

}  // namespace penstock::codec
