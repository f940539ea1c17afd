#include "tests/bench/e2e_rig.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <spdlog/fmt/fmt.h>

#include "agent/base/varint.h"
#include "tests/support/http_admin.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/wait.h"
#include "tests/support/wall_clock.h"

namespace penstock::bench {
namespace {

constexpr const char* kTablesFile =
    "tables:\n"
    "  - pattern: main.bench.t_*\n"
    "    columns:\n"
    "      - {name: n, type: BIGINT}\n"
    "      - {name: t, type: BIGINT}\n"
    "      - {name: unit, type: STRING}\n"
    "      - {name: v, type: DOUBLE}\n"
    "      - {name: pad, type: STRING}\n"
    "      - {name: _origin, type: STRING}\n"
    "      - {name: _seq, type: BIGINT}\n";

std::string config_text(const std::filesystem::path& dir, const std::string& endpoint,
                        const std::string& inputs) {
  return fmt::format(
      "version: 1\n"
      "agent: {{id: bench}}\n"
      "spool: {{dir: {}, max_size: 2GiB, min_free: 64MiB}}\n"
      "destinations:\n"
      "  local: {{type: zerobus, endpoint: {}, auth: {{token: bench-token}}, schema: columns,\n"
      "    backoff: {{max: 1s}}}}\n"
      "inputs:\n"
      "{}"
      "routes:\n"
      "  - name: bench\n"
      "    match: {{topic: \"bench/{{k}}\"}}\n"
      "    table: main.bench.t_${{topic.k}}\n"
      "    unknown_fields: ignore\n"
      "    columns:\n"
      "      n: {{from: \"${{payload.n}}\", as: bigint, nullable: true}}\n"
      "      t: {{from: \"${{payload.t}}\", as: bigint, nullable: true}}\n"
      "      unit: {{from: \"${{payload.unit}}\", as: string, nullable: true}}\n"
      "      v: {{from: \"${{payload.v}}\", as: double, nullable: true}}\n"
      "      pad: {{from: \"${{payload.pad}}\", as: string, nullable: true}}\n"
      "      _origin: {{from: \"${{meta.origin}}\", as: string, nullable: true}}\n"
      "      _seq: {{from: \"${{meta.seq}}\", as: bigint, nullable: true}}\n",
      (dir / "spool").string(), endpoint, inputs);
}

std::filesystem::path written(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
  return file;
}

std::vector<std::string> server_options(const std::optional<test::TestAuthority>& tls) {
  std::vector<std::string> options{"--store", "bitmap"};
  if (tls) {
    for (const auto& word : {std::string("--tls-cert"), tls->cert.string(),
                             std::string("--tls-key"), tls->key.string()})
      options.push_back(word);
  }
  return options;
}

// As a value in YAML's flow form, with the authority to trust.
std::string endpoint(uint16_t port, const std::optional<test::TestAuthority>& tls) {
  if (!tls) return fmt::format("\"http://127.0.0.1:{}\"", port);
  return fmt::format("\"https://127.0.0.1:{}\", tls: {{ca: {}}}", port, tls->ca.string());
}

// The first two fields of a row: n and t.
struct Row {
  uint64_t n = 0;
  uint64_t t = 0;
};

Row read_row(std::string_view row) {
  Row out;
  const auto field = [&](char tag, uint64_t& value) {
    if (row.empty() || row.front() != tag) throw std::runtime_error("a row has another form");
    row.remove_prefix(1);
    value = take_varint(row).value_or(0);
  };
  field('\x08', out.n);
  field('\x10', out.t);
  return out;
}

// Hands over every whole row of `bytes`; returns how many bytes they were.
template <class Take>
size_t for_each_row(std::string_view bytes, Take take) {
  size_t done = 0;
  while (done < bytes.size() && bytes[done] == '\x0A') {
    auto rest = bytes.substr(done + 1);
    const auto length = take_varint(rest);
    if (!length || rest.size() < *length) break;
    take(read_row(rest.substr(0, *length)));
    done = bytes.size() - rest.size() + *length;
  }
  return done;
}

std::vector<std::filesystem::path> row_files(const std::filesystem::path& data) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(data)) {
    if (entry.path().extension() == ".rows") files.push_back(entry.path());
  }
  return files;
}

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

E2eRig::E2eRig(const std::filesystem::path& dir, const E2eSetup& setup)
    : dir_((std::filesystem::remove_all(dir), std::filesystem::create_directories(dir), dir)),
      authority_(setup.tls ? std::optional(test::make_authority(dir, "bench", "127.0.0.1"))
                           : std::nullopt),
      server_(test::build_dir() + "/bin/penstock-zerobus-local",
              written(dir / "tables.yaml", kTablesFile), dir / "server",
              server_options(authority_)),
      agent_({test::build_dir() + "/agent/penstock",
              written(dir / "agent.yaml",
                      config_text(dir, endpoint(server_.port(), authority_), setup.inputs)),
              test::build_dir() + "/plugins",
              dir / "agent.log",
              {}}) {
  server_.start();
  agent_.start();
  if (!agent_.wait_ready()) throw std::runtime_error("the agent did not start:\n" + agent_.log());
}

uint64_t E2eRig::rows() const {
  try {
    const auto state = test::http_get(server_.admin_port(), "/state").body;
    uint64_t rows = 0;
    for (size_t at = 0; (at = state.find("\"rows\":", at)) != std::string::npos; at += 7)
      rows += std::strtoull(state.c_str() + at + 7, nullptr, 10);
    return rows;
  } catch (const std::exception&) {
    return 0;
  }
}

void E2eRig::wait_rows(uint64_t rows, Millis within) const {
  if (!test::wait_until([&] { return this->rows() >= rows; }, within, Millis(10)))
    throw std::runtime_error("rows are missing:\n" + agent_.log());
}

Landed E2eRig::landed() const {
  Landed all;
  std::vector<bool> seen;
  for (const auto& file : row_files(server_.data())) {
    uint64_t highest = 0;
    for_each_row(contents(file), [&](const Row& row) {
      ++all.rows;
      if (row.n >= seen.size()) seen.resize(row.n * 2 + 1);
      const bool first = !seen[row.n];
      seen[row.n] = true;
      all.different += first ? 1 : 0;
      if (first && row.n < highest) ++all.out_of_order;
      highest = std::max(highest, row.n);
    });
  }
  return all;
}

// From the scheduler: the ticks in /proc/PID/stat miss a process that often sleeps.
double E2eRig::agent_cpu_s() {
  double ns = 0;
  const auto tasks = "/proc/" + std::to_string(agent_.pid()) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    double one = 0;
    std::ifstream(task.path() / "schedstat") >> one;
    ns += one;
  }
  return ns / 1e9;
}

void LandingWatch::look() {
  for (const auto& path : row_files(data_)) {
    auto& file = files_[path.string()];
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(file.read));
    const std::string fresh((std::istreambuf_iterator<char>(in)), {});
    const auto now_us = static_cast<double>(test::wall_us());
    file.read += fresh.size();
    file.rest += fresh;
    file.rest.erase(0, for_each_row(file.rest, [&](const Row& row) {
                      ages_ms_.push_back((now_us - static_cast<double>(row.t)) / 1000);
                    }));
  }
}

std::string udp_options(uint16_t port) {
  return fmt::format(
      "plugin: udp, listen: \"127.0.0.1:{}\", topic: \"bench/${{attr.source_port}}\"", port);
}

std::vector<uint16_t> sender_ports(size_t count) {
  std::vector<uint16_t> ports;
  while (ports.size() < count) {
    const uint16_t port = test::free_udp_port();
    if (std::find(ports.begin(), ports.end(), port) == ports.end()) ports.push_back(port);
  }
  return ports;
}

}  // namespace penstock::bench
