// The corpus of damaged spools (corpus/README.md): whole spools as files in memory, and what is
// done to them. For the tests that keep it and the one that makes new bases.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <zstd.h>

#include "agent/spool/lanes_file.h"
#include "tests/support/paths.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {

inline std::filesystem::path corpus_dir() { return test::source_dir() + "/tests/crash/corpus"; }

// A spool as it lies on the disk: bytes by file name.
using SpoolFiles = std::map<std::string, std::string>;

inline std::string slurp(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  std::string bytes(static_cast<size_t>(std::max<std::streamoff>(0, in.tellg())), '\0');
  in.seekg(0).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

// Runs of zeros become holes: logs are grown beforehand.
inline void spill(const std::filesystem::path& file, const std::string& bytes) {
  constexpr size_t kStep = 4096;
  static const std::string zeros(kStep, '\0');
  std::ofstream out(file, std::ios::binary);
  for (size_t at = 0; at < bytes.size(); at += kStep) {
    const std::string_view part = std::string_view(bytes).substr(at, kStep);
    if (part == std::string_view(zeros).substr(0, part.size())) continue;
    out.seekp(static_cast<std::streamoff>(at))
        .write(part.data(), static_cast<std::streamsize>(part.size()));
  }
  out.close();
  std::filesystem::resize_file(file, bytes.size());
}

// A base may hold a file a second time, as it was at another moment: "1.db-wal@1".
inline std::string at_moment(const std::string& file, uint64_t moment) {
  return file + "@" + std::to_string(moment);
}

inline void spill_all(const SpoolFiles& files, const std::filesystem::path& dir) {
  for (const auto& [name, bytes] : files) {
    if (name.find('@') == std::string::npos) spill(dir / name, bytes);
  }
}

// The files of a directory, and `more`.
inline void pack(const std::filesystem::path& dir, const std::filesystem::path& to,
                 SpoolFiles more = {}) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().filename() != "LOCK")
      more[entry.path().filename().string()] = slurp(entry.path());
  }
  std::string all;
  for (const auto& [name, bytes] : more)
    all += name + "\n" + std::to_string(bytes.size()) + "\n" + bytes;
  std::string packed(ZSTD_compressBound(all.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), all.data(), all.size(), 19));
  spill(to, packed);
}

inline SpoolFiles unpack(const std::filesystem::path& from) {
  const std::string packed = slurp(from);
  const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > uint64_t{128} << 20) throw std::runtime_error("not a base: " + from.string());
  std::string all(size, '\0');
  ZSTD_decompress(all.data(), all.size(), packed.data(), packed.size());
  SpoolFiles files;
  for (size_t at = 0; at < all.size();) {
    const size_t name_end = all.find('\n', at);
    const size_t size_end = all.find('\n', name_end + 1);
    const size_t bytes = std::stoull(all.substr(name_end + 1, size_end - name_end - 1));
    files[all.substr(at, name_end - at)] = all.substr(size_end + 1, bytes);
    at = size_end + 1 + bytes;
  }
  return files;
}

// What the records of the bases with several files hold: their own name, then always the same
// noise, so that the bases stay small.
inline std::string corpus_body(LaneId lane, Seq seq, size_t size) {
  static const std::string noise = Feeder::body(7, 7, 32'000);
  std::string text = "lane " + std::to_string(lane) + " seq " + std::to_string(seq) + " ";
  if (text.size() < size) text.append(noise, 16, size - text.size());
  return text;
}

// One thing that is done to one file.
struct DamageStep {
  std::string file, operation;
  std::vector<uint64_t> numbers;

  void inflict(SpoolFiles& files) const {
    if (operation == "none") return;
    if (!files.contains(file)) throw std::runtime_error("the base has no " + file);
    std::string& bytes = files[file];
    if (operation == "remove") {
      files.erase(file);
    } else if (operation == "cut") {
      bytes.resize(numbers.at(0));
    } else if (operation == "twin") {
      files[named_as(numbers.at(0))] = bytes;
    } else if (operation == "rename") {
      const std::string moved = bytes;
      files.erase(file);
      files[named_as(numbers.at(0))] = moved;
    } else if (operation == "trade") {
      std::swap(bytes, files.at(named_as(numbers.at(0))));
    } else if (operation == "moment") {
      bytes = files.at(at_moment(file, numbers.at(0)));
    } else if (operation == "active") {
      bytes = lanes_naming(static_cast<uint32_t>(numbers.at(0)), bytes);
    } else {
      change(bytes);
    }
  }

 private:
  // The same kind of file, of generation `number`.
  std::string named_as(uint64_t number) const {
    return std::to_string(number) + file.substr(file.find('.'));
  }
  // The lanes file of `bytes`, sound, but with another file as the active one.
  static std::string lanes_naming(uint32_t active, const std::string& bytes) {
    const TempDir dir;
    spill(dir.path() / "lanes", bytes);
    LanesFile lanes(dir.path());
    auto copy = lanes.read();
    if (!copy) throw std::runtime_error("the lanes of the base cannot be read");
    copy->active = active;
    if (!lanes.write(*copy)) throw std::runtime_error("the lanes cannot be written");
    return slurp(dir.path() / "lanes");
  }

  void change(std::string& bytes) const {
    const size_t at = numbers.at(0);
    const bool has_two = operation == "swap" || operation == "copy";
    const size_t length = operation == "flip" ? 1 : numbers.at(has_two ? 2 : 1);
    const size_t to = has_two ? numbers.at(1) : at;
    if (std::max(at, to) + length > bytes.size()) throw std::runtime_error("behind the end");
    if (operation == "flip") {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << numbers.at(1)));
    } else if (operation == "fill") {
      std::fill_n(bytes.begin() + static_cast<long>(at), length, static_cast<char>(numbers.at(2)));
    } else if (operation == "noise") {
      std::mt19937_64 random(numbers.at(2));
      for (size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(random());
    } else if (operation == "swap") {
      std::swap_ranges(bytes.begin() + static_cast<long>(at),
                       bytes.begin() + static_cast<long>(at + length),
                       bytes.begin() + static_cast<long>(to));
    } else if (operation == "copy") {
      bytes.replace(to, length, bytes, at, length);
    } else {
      throw std::runtime_error("unknown damage " + operation);
    }
  }
};

// What must be noticed of a damage, where its line says so: nothing, since nothing is lost, or that
// the newest file has gone back in time.
enum class Noticed { kAny, kNothing, kGoneBack };

// One line of damages.txt.
struct Damage {
  std::string line;
  std::string base;
  std::vector<DamageStep> steps;
  size_t readable = 0;
  Noticed noticed = Noticed::kAny;
  size_t repaired = 0;  // records that wait after a repair, of a file that has gone back

  static Damage parse(const std::string& line) {
    Damage damage;
    damage.line = line;
    std::istringstream words(line);
    words >> damage.base;
    for (std::string word = ";"; word == ";";) {
      DamageStep& step = damage.steps.emplace_back();
      words >> step.file >> step.operation;
      while (words >> word && word != "=" && word != ";") step.numbers.push_back(std::stoull(word));
    }
    std::string noticed;
    words >> damage.readable >> noticed >> damage.repaired;
    if (noticed == "whole") damage.noticed = Noticed::kNothing;
    if (noticed == "gone-back") damage.noticed = Noticed::kGoneBack;
    return damage;
  }
  void inflict(SpoolFiles& files) const {
    for (const auto& step : steps) step.inflict(files);
  }
};

inline std::vector<Damage> all_damages() {
  std::vector<Damage> all;
  std::ifstream list(corpus_dir() / "damages.txt");
  for (std::string line; std::getline(list, line);) {
    if (!line.empty() && line[0] != '#') all.push_back(Damage::parse(line));
  }
  return all;
}

inline Options corpus_options(const std::filesystem::path& dir, const std::string& base) {
  Options options = options_in(dir);
  const std::map<std::string, uint64_t> sizes = {
      {"spare1", 128 << 20}, {"rolled1", 12 << 20}, {"stopped1", 16 << 20}};
  const auto size = sizes.find(base);
  options.max_size_bytes = size != sizes.end() ? size->second : 4 << 20;
  return options;
}

}  // namespace penstock::spool::testing
