#include "tests/bench/spool_bench_rig.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>

#include <pthread.h>
#include <spdlog/fmt/fmt.h>

#include "agent/base/record.h"

namespace penstock::bench {
namespace {

constexpr size_t kTopicBytes = 30;

std::string small_json(std::mt19937& random, size_t i, int64_t at_ms) {
  static constexpr const char* kTags[] = {"press/temp_c",  "press/pressure_bar",
                                          "pump/rpm",      "oven/zone4/temp_c",
                                          "ahu1/flow_m3h", "axis3/torque"};
  return fmt::format(
      R"({{"ts":{},"dev":"plc-{:02}","tag":"line3/{}","v":{:.3f},"q":192,"unit":"C","sn":"A81-{:05}","seq":{},"fw":"2.4.11","st":"{}")",
      at_ms, random() % 24, kTags[random() % 6], 50 + static_cast<double>(random() % 10000) / 1000,
      random() % 300, i, random() % 20 == 0 ? "IDLE" : "RUN");
}

std::string large_json(std::mt19937& random, size_t i, int64_t at_ms, size_t bytes) {
  static constexpr const char* kNames[] = {"temp", "press", "flow", "vib", "amp", "volt"};
  std::string json = fmt::format(R"({{"ts":{},"dev":"gw-{:02}","site":"plant7","seq":{})", at_ms,
                                 random() % 24, i);
  for (size_t k = 0; json.size() + 40 < bytes; ++k) {
    json += fmt::format(R"(,"{}.{}":{:.3f})", kNames[k % 6], k / 6,
                        40 + static_cast<double>(random() % 20000) / 1000);
  }
  return json;
}

uint32_t big_endian(const char* at) {
  const auto* p = reinterpret_cast<const unsigned char*>(at);
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

// Frames of the WAL's present round: those with the salt of its header.
int wal_frames(const std::filesystem::path& file) {
  std::ifstream wal(file, std::ios::binary);
  char header[32];
  if (!wal.read(header, sizeof header)) return 0;
  const uint32_t page_bytes = big_endian(header + 8);
  int frames = 0;
  char frame[24];
  for (std::streamoff at = 32; wal.seekg(at) && wal.read(frame, sizeof frame);
       at += 24 + page_bytes) {
    if (std::memcmp(frame + 8, header + 16, 8) != 0) break;
    ++frames;
  }
  return frames;
}

}  // namespace

int wal_pages(const std::filesystem::path& dir) {
  int most = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() == ".db-wal") most = std::max(most, wal_frames(entry.path()));
  }
  return most;
}

std::vector<std::string> make_bodies(size_t payload_bytes, size_t count) {
  std::mt19937 random(7);
  std::vector<std::string> bodies;
  int64_t at_ms = 1732219471123;
  for (size_t i = 0; i < count; ++i) {
    at_ms += random() % 40;
    std::string json = payload_bytes < 512 ? small_json(random, i, at_ms)
                                           : large_json(random, i, at_ms, payload_bytes);
    json += "}";
    json.resize(payload_bytes, ' ');
    std::string topic = fmt::format("plant7/cell{}/line3/robot{}/", random() % 8, random() % 8);
    topic.resize(kTopicBytes, 'x');
    RecordView record;
    record.source = "mqtt-plant";
    record.topic = topic;
    record.payload = json;
    record.received_at_us = at_ms * 1000 + random() % 1000;
    bodies.emplace_back();
    encode_record(record, bodies.back());
  }
  return bodies;
}

Rig::Rig(const RigOptions& options) : options_(options) {
  spool::Options settings;
  settings.dir = options.dir;
  settings.agent_id = "bench";
  settings.max_size_bytes = options.max_size_bytes;
  auto opened = spool::Spool::open(settings, Log::none());
  if (!opened) throw std::runtime_error(opened.error().what);
  spool_ = std::move(*opened);
  auto tables = options.tables;
  for (int i = 0; options.tables.empty() && i < options.lanes; ++i)
    tables.push_back("main.bench.t" + std::to_string(i));
  for (const auto& table : tables) {
    const auto lane = spool_->lane({"bench", table});
    const auto state = spool_->state(lane);
    lanes_.push_back(lane);
    next_seq_.push_back(state.next_seq);
    outgoing_.push_back({state.cursor + 1, state.next_seq - 1, false});
  }
  spool_->start(*this);
  if (options.forward) forwarder_ = std::thread([this] { forward(); });
}

Rig::~Rig() {
  {
    const std::lock_guard lock(forward_mutex_);
    ending_ = true;
    forward_changed_.notify_all();
  }
  if (forwarder_.joinable()) forwarder_.join();
  spool_->stop();
}

bool Rig::put(const std::string* const* bodies, size_t count) {
  std::vector<spool::Pending> records(count);
  const int64_t wall_us = read_clock().wall_us;
  for (size_t i = 0; i < count; ++i) {
    records[i].source = 1;
    records[i].received_at_us = wall_us;
    records[i].commit_within = options_.commit_within;
    records[i].body = *bodies[i];
  }
  const std::lock_guard feeding(feed_mutex_);
  for (auto& record : records) {
    const size_t place = source_seq_ % lanes_.size();
    record.lane = lanes_[place];
    record.seq = next_seq_[place]++;
    record.source_seq = ++source_seq_;
  }
  for (;;) {
    {
      const std::lock_guard lock(room_mutex_);
      room_ = false;
    }
    if (closed_) return false;
    if (spool_->enqueue(std::move(records)) == spool::Enqueue::kTaken) return true;
    std::unique_lock lock(room_mutex_);
    room_changed_.wait_for(lock, std::chrono::seconds(1), [&] { return room_ || closed_; });
  }
}

void Rig::drain() {
  if (auto flushed = spool_->flush(); !flushed) throw std::runtime_error(flushed.error().what);
  for (;;) {
    uint64_t pending = 0;
    for (const auto lane : lanes_) pending += spool_->state(lane).pending();
    if (pending == 0) break;
    std::this_thread::sleep_for(Millis(2));
  }
  if (auto flushed = spool_->flush(); !flushed) throw std::runtime_error(flushed.error().what);
}

void Rig::settle() {
  const auto bodies = make_bodies(200, 400);
  std::vector<const std::string*> batch;
  for (const auto& body : bodies) batch.push_back(&body);
  int before = 0;
  for (int round = 0; round < 1000; ++round) {
    for (int commit = 0; commit < 4; ++commit) {
      put(batch.data(), batch.size());
      if (auto flushed = spool_->flush(); !flushed) throw std::runtime_error(flushed.error().what);
    }
    const int now = wal_pages(options_.dir);
    if (now < before) break;
    before = now;
  }
  if (options_.forward) drain();
}

double Rig::writer_cpu_s() const {
  timespec time{};
  if (!writer_known_) return 0;
  clock_gettime(writer_clock_, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void Rig::on_durable(spool::SourceId, uint64_t up_to) {
  if (!writer_known_) {
    clockid_t clock{};
    pthread_getcpuclockid(pthread_self(), &clock);
    writer_clock_ = clock;
    writer_known_ = true;
  }
  if (durable_hook) durable_hook(up_to);
}

void Rig::on_committed(spool::LaneId lane, spool::Seq up_to) {
  if (!options_.forward) return;
  const auto place = std::find(lanes_.begin(), lanes_.end(), lane) - lanes_.begin();
  const std::lock_guard lock(forward_mutex_);
  outgoing_[static_cast<size_t>(place)].committed = up_to;
  forward_changed_.notify_one();
}

void Rig::on_room() {
  const std::lock_guard lock(room_mutex_);
  room_ = true;
  room_changed_.notify_all();
}

void Rig::on_fault(const Error& error) {
  std::fprintf(stderr, "the spool failed: %s\n", error.what.c_str());
  std::exit(1);
}

void Rig::forward() {
  std::unique_lock lock(forward_mutex_);
  while (!ending_) {
    start_reads(lock);
    acknowledge_due(lock);
    const auto until = acks_.empty() ? read_clock().mono + Millis(20) : acks_.front().at;
    forward_changed_.wait_until(lock, until);
  }
}

void Rig::start_reads(std::unique_lock<std::mutex>& lock) {
  for (size_t i = 0; i < outgoing_.size(); ++i) {
    Outgoing& lane = outgoing_[i];
    if (lane.reading || lane.next > lane.committed) continue;
    lane.reading = true;
    const auto from = lane.next;
    lock.unlock();
    spool_->read(lanes_[i], from, [this, i](Result<spool::SegmentPtr> segment) {
      const std::lock_guard inner(forward_mutex_);
      outgoing_[i].reading = false;
      if (!segment || *segment == nullptr) return;
      outgoing_[i].next = (*segment)->last() + 1;
      acks_.push_back({read_clock().mono + options_.round_trip, i, (*segment)->last()});
      forward_changed_.notify_one();
    });
    lock.lock();
  }
}

void Rig::acknowledge_due(std::unique_lock<std::mutex>& lock) {
  const MonoTime now = read_clock().mono;
  std::vector<spool::Seq> up_to(lanes_.size(), 0);
  size_t due = 0;
  for (; due < acks_.size() && acks_[due].at <= now; ++due)
    up_to[acks_[due].lane] = std::max(up_to[acks_[due].lane], acks_[due].up_to);
  if (due == 0) return;
  acks_.erase(acks_.begin(), acks_.begin() + static_cast<ptrdiff_t>(due));
  lock.unlock();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (up_to[i] != 0) spool_->acknowledge(lanes_[i], up_to[i]);
  }
  lock.lock();
}

}  // namespace penstock::bench
