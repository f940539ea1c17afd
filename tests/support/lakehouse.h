// Reads what landed: the SQLite file of the local Zerobus server (tests/zerobus_local), read-only.
//
// Each call opens and closes the file, so the server may be stopped, killed and started in between.
// A row counts as landed when it is committed there, acknowledged or not. Any thread. A missing
// file or table reads as "no rows". Other SQLite errors throw std::runtime_error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace penstock::test {

class Lakehouse {
 public:
  explicit Lakehouse(std::filesystem::path file);

  // How often each value of integer column `id_column` is there. Rows where it is NULL are not
  // counted.
  std::map<int64_t, uint32_t> ids(const std::string& table,
                                  const std::string& id_column = "n") const;

  // One value of one query, as text; empty when there is no row. For single checks in tests.
  std::string value(const std::string& sql) const;

  struct Landing {
    int64_t received_us;  // when the agent received the record (column received_us)
    int64_t acked_us;     // when the server acknowledged it
  };
  // Rows of `table` with the time of the first acknowledgement that covered them. A row whose
  // acknowledgement was never sent (stream cut) counts with its arrival.
  std::vector<Landing> landings(const std::string& table) const;

  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
};

}  // namespace penstock::test
