// Numbers, sizes, ages, times and texts as people read them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::cli {

std::string grouped(uint64_t number);                        // 1,234,567
std::string counted(uint64_t number, std::string_view one);  // "1 record", "2,000 records"
std::string size_text(uint64_t bytes);                       // "812 B", "14.2 KiB"
std::string age_text(int64_t us);                            // "340 ms", "2 h 13 min"; "-" below 0
std::string time_text(int64_t wall_us);                      // "2026-11-22 01:20:33.250", UTC
// As a JSON string, quotes and all; what is not UTF-8 or not printable as base/text.h shows it.
std::string json(std::string_view text);

// Columns the terminal on standard output has; 100 when it is none.
size_t terminal_columns();

}  // namespace penstock::cli
