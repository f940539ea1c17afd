#include "agent/codec/table_fit.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "agent/base/text.h"

namespace penstock::codec {
namespace {

Error refused(const std::string& column, std::string what) {
  return {ErrorKind::kRejected, "column '" + shown(column) + "': " + std::move(what), {}};
}

DataType plain(TypeKind kind) {
  DataType type;
  type.kind = kind;
  return type;
}

TypeKind kind_of(Cast cast) {
  switch (cast) {
    case Cast::kBoolean:
      return TypeKind::kBoolean;
    case Cast::kTinyint:
      return TypeKind::kTinyint;
    case Cast::kSmallint:
      return TypeKind::kSmallint;
    case Cast::kInt:
      return TypeKind::kInt;
    case Cast::kBigint:
      return TypeKind::kBigint;
    case Cast::kFloat:
      return TypeKind::kFloat;
    case Cast::kDouble:
      return TypeKind::kDouble;
    case Cast::kDecimal:
      return TypeKind::kDecimal;
    case Cast::kTimestamp:
      return TypeKind::kTimestamp;
    case Cast::kTimestampNtz:
      return TypeKind::kTimestampNtz;
    case Cast::kDate:
      return TypeKind::kDate;
    case Cast::kBinary:
      return TypeKind::kBinary;
    case Cast::kVariant:
      return TypeKind::kVariant;
    case Cast::kNone:
    case Cast::kString:
    case Cast::kNested:
      break;
  }
  return TypeKind::kString;
}

// Of a column without a cast; nullopt: the payload alone knows.
std::optional<TypeKind> evident_kind(const Expression& from) {
  const Reference* reference = from.single();
  if (!reference) return TypeKind::kString;
  if (reference->root == "payload") {
    if (reference->path.empty()) return TypeKind::kString;
    return std::nullopt;
  }
  if (reference->root != "meta" || reference->path.size() != 1) return TypeKind::kString;
  const auto* name = std::get_if<std::string>(&reference->path[0]);
  if (!name) return TypeKind::kString;
  if (*name == "received_at") return TypeKind::kTimestamp;
  const bool number = *name == "seq" || *name == "sub" || *name == "lane";
  return number ? TypeKind::kBigint : TypeKind::kString;
}

bool is_whole(TypeKind kind) { return kind <= TypeKind::kBigint; }
bool is_real(TypeKind kind) { return kind == TypeKind::kFloat || kind == TypeKind::kDouble; }
bool is_text(TypeKind kind) { return kind == TypeKind::kString || kind == TypeKind::kVarchar; }

// The cast to use for a table column of `type` when the configuration says `given`: the table's own
// within a family, so that its limits hold; the given one where both store the same kind of number.
std::optional<CastSpec> agreed_cast(const CastSpec& given, const DataType& type) {
  const TypeKind kind = kind_of(given.cast);
  const bool family = (is_whole(kind) && is_whole(type.kind)) ||
                      (is_real(kind) && is_real(type.kind)) ||
                      (is_text(kind) && is_text(type.kind)) ||
                      (kind == TypeKind::kDecimal && type.kind == TypeKind::kDecimal);
  if (family) return cast_of(type);
  const bool same_form = kind == type.kind ||
                         (kind == TypeKind::kTimestamp && (type.kind == TypeKind::kTimestampNtz ||
                                                           type.kind == TypeKind::kBigint)) ||
                         (kind == TypeKind::kDate && type.kind == TypeKind::kInt);
  if (same_form) return given;
  return std::nullopt;
}

struct IdentityPart {
  std::string_view name;
  const char* from;
  bool (*fits)(TypeKind);
  TypeKind kind;  // for a table that is to be made
};

constexpr auto kText = [](TypeKind kind) { return is_text(kind); };
constexpr auto kNumber = [](TypeKind kind) {
  return is_whole(kind) || kind == TypeKind::kDecimal || is_text(kind);
};
constexpr auto kTime = [](TypeKind kind) {
  return kind == TypeKind::kTimestamp || kind == TypeKind::kTimestampNtz ||
         kind == TypeKind::kBigint || is_text(kind);
};
constexpr std::array<IdentityPart, 5> kIdentity = {{
    {"_origin", "${meta.origin}", kText, TypeKind::kString},
    {"_seq", "${meta.seq}", kNumber, TypeKind::kBigint},
    {"_sub", "${meta.sub}", kNumber, TypeKind::kBigint},
    {"_ingested_at", "${meta.received_at}", kTime, TypeKind::kTimestamp},
    {"_time_quality", "${meta.time_quality}", kText, TypeKind::kString},
}};

// What fills a column that has the name of a part of the record's identity, and a type for it.
// nullptr: it is another's column.
const char* identity_of(const TableColumn& column) {
  for (const auto& part : kIdentity) {
    if (same_name(part.name, column.name) && part.fits(column.type.kind)) return part.from;
  }
  return nullptr;
}

ColumnSpec filled_from(const TableColumn& column, std::string_view from) {
  ColumnSpec spec;
  spec.name = column.name;
  auto parsed = Expression::parse(from);
  if (parsed) spec.from = *std::move(parsed);
  return spec;
}

// What fills a column of the table that is matched by name.
ColumnSpec by_name(const TableColumn& column) {
  if (const char* identity = identity_of(column)) return filled_from(column, identity);
  return filled_from(column, "${payload['" + column.name + "']}");
}

// The identity of a record is filled in also where the configuration says what the other columns
// are and leaves this to us.
void add_identity(const TableSchema& table, std::vector<ColumnSpec>& columns) {
  for (const auto& column : table.columns) {
    const char* identity = identity_of(column);
    if (!identity) continue;
    const bool said = std::any_of(columns.begin(), columns.end(), [&](const ColumnSpec& one) {
      return same_name(one.name, column.name);
    });
    if (!said) columns.push_back(filled_from(column, identity));
  }
}

Result<void> check_filled(const Fitted& fitted, const TableSchema& table) {
  for (const auto& column : table.columns) {
    if (column.nullable || fitted.table.find(column.name)) continue;
    return refused(column.name, "it is NOT NULL in the table, and no column of the route fills it");
  }
  return {};
}

}  // namespace

CastSpec cast_of(const DataType& type) {
  CastSpec cast;
  switch (type.kind) {
    case TypeKind::kTinyint:
      cast.cast = Cast::kTinyint;
      break;
    case TypeKind::kSmallint:
      cast.cast = Cast::kSmallint;
      break;
    case TypeKind::kInt:
      cast.cast = Cast::kInt;
      break;
    case TypeKind::kBigint:
      cast.cast = Cast::kBigint;
      break;
    case TypeKind::kFloat:
      cast.cast = Cast::kFloat;
      break;
    case TypeKind::kDouble:
      cast.cast = Cast::kDouble;
      break;
    case TypeKind::kBoolean:
      cast.cast = Cast::kBoolean;
      break;
    case TypeKind::kString:
      cast.cast = Cast::kString;
      break;
    case TypeKind::kVarchar:
      cast.cast = Cast::kString;
      cast.max_chars = type.precision;
      break;
    case TypeKind::kBinary:
      cast.cast = Cast::kBinary;
      break;
    case TypeKind::kDate:
      cast.cast = Cast::kDate;
      break;
    case TypeKind::kTimestamp:
      cast.cast = Cast::kTimestamp;
      break;
    case TypeKind::kTimestampNtz:
      cast.cast = Cast::kTimestampNtz;
      break;
    case TypeKind::kDecimal:
      cast.cast = Cast::kDecimal;
      cast.precision = type.precision;
      cast.scale = type.scale;
      break;
    case TypeKind::kVariant:
      cast.cast = Cast::kVariant;
      break;
    case TypeKind::kArray:
    case TypeKind::kMap:
    case TypeKind::kStruct:
      cast.cast = Cast::kNested;
  }
  return cast;
}

Result<TableSchema> schema_of_columns(const std::vector<ColumnSpec>& columns) {
  TableSchema table;
  for (const auto& spec : columns) {
    TableColumn column;
    column.name = spec.name;
    column.nullable = spec.nullable;
    column.position = static_cast<uint32_t>(table.columns.size());
    column.type = plain(kind_of(spec.cast.cast));
    if (spec.cast.cast == Cast::kDecimal) {
      column.type.precision = spec.cast.precision;
      column.type.scale = spec.cast.scale;
    }
    if (spec.cast.cast == Cast::kNone) {
      const auto kind = evident_kind(spec.from);
      if (!kind) {
        return refused(spec.name,
                       "its type is not known: say `as: ...`, as the table has it, or use "
                       "encoding: json");
      }
      column.type = plain(*kind);
    }
    table.columns.push_back(std::move(column));
  }
  if (auto checked = check_table(table); !checked) return std::move(checked).error();
  return table;
}

TableSchema with_identity(TableSchema table) {
  for (const auto& part : kIdentity) {
    if (table.find(part.name)) continue;
    const auto position = static_cast<uint32_t>(table.columns.size());
    table.columns.push_back({std::string(part.name), plain(part.kind), true, position});
  }
  return table;
}

Result<Fitted> fit_to_table(EncoderSpec spec, const TableSchema& table) {
  Fitted fitted;
  fitted.by_name = spec.columns.empty();
  if (fitted.by_name) {
    for (const auto& column : table.columns) spec.columns.push_back(by_name(column));
  } else {
    add_identity(table, spec.columns);
  }
  for (auto& column : spec.columns) {
    const TableColumn* found = table.find(column.name);
    if (!found) return refused(column.name, "the table has no such column");
    column.name = found->name;
    column.nullable = column.nullable && found->nullable;
    const auto cast = column.cast.cast == Cast::kNone ? cast_of(found->type)
                                                      : agreed_cast(column.cast, found->type);
    if (!cast) {
      return refused(column.name, "its cast does not go with the table's " +
                                      to_string(found->type) + "; remove `as`, or correct it");
    }
    const auto text = column.cast.text;
    column.cast = *cast;
    if (column.cast.cast == Cast::kBinary) column.cast.text = text;
    fitted.table.columns.push_back(*found);
  }
  fitted.spec = std::move(spec);
  if (auto filled = check_filled(fitted, table); !filled) return std::move(filled).error();
  return fitted;
}

}  // namespace penstock::codec
