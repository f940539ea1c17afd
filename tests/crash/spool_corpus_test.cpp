// Damaged spools of all versions, kept for ever (corpus/README.md): each opens or says why not,
// hands out no wrong record, and as many right ones as it ever did.
#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include <zstd.h>

#include "tests/support/paths.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

const std::filesystem::path kCorpus = test::source_dir() + "/tests/crash/corpus";

std::string slurp(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void spill(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

void pack(const std::filesystem::path& dir, const std::filesystem::path& to) {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().filename() == "LOCK") continue;
    const std::string bytes = slurp(entry.path());
    all += entry.path().filename().string() + "\n" + std::to_string(bytes.size()) + "\n" + bytes;
  }
  std::string packed(ZSTD_compressBound(all.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), all.data(), all.size(), 19));
  spill(to, packed);
}

void unpack(const std::filesystem::path& from, const std::filesystem::path& dir) {
  const std::string packed = slurp(from);
  const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  ASSERT_LT(size, uint64_t{64} << 20) << from;
  std::string all(size, '\0');
  ASSERT_EQ(ZSTD_decompress(all.data(), all.size(), packed.data(), packed.size()), size);
  for (size_t at = 0; at < all.size();) {
    const size_t name_end = all.find('\n', at);
    const size_t size_end = all.find('\n', name_end + 1);
    const size_t bytes = std::stoull(all.substr(name_end + 1, size_end - name_end - 1));
    spill(dir / all.substr(at, name_end - at), all.substr(size_end + 1, bytes));
    at = size_end + 1 + bytes;
  }
}

// One thing that is done to one file.
struct Step {
  std::string file, operation;
  std::vector<uint64_t> numbers;

  void inflict(const std::filesystem::path& dir) const {
    if (operation == "none") return;
    const auto path = dir / file;
    if (operation == "remove") {
      std::filesystem::remove(path);
    } else if (operation == "cut") {
      std::filesystem::resize_file(path, numbers.at(0));
    } else {
      std::string bytes = slurp(path);
      change(bytes);
      spill(path, bytes);
    }
  }

 private:
  void change(std::string& bytes) const {
    const size_t at = numbers.at(0);
    const bool has_two = operation == "swap" || operation == "copy";
    ASSERT_LT(at + (operation == "flip" ? 0 : numbers.at(has_two ? 2 : 1)), bytes.size());
    if (operation == "flip") {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << numbers.at(1)));
    } else if (operation == "fill") {
      std::fill_n(bytes.begin() + static_cast<long>(at), numbers.at(1),
                  static_cast<char>(numbers.at(2)));
    } else if (operation == "noise") {
      std::mt19937_64 random(numbers.at(2));
      for (size_t i = 0; i < numbers.at(1); ++i) bytes[at + i] = static_cast<char>(random());
    } else if (operation == "swap") {
      std::swap_ranges(bytes.begin() + static_cast<long>(at),
                       bytes.begin() + static_cast<long>(at + numbers.at(2)),
                       bytes.begin() + static_cast<long>(numbers.at(1)));
    } else if (operation == "copy") {
      bytes.replace(numbers.at(1), numbers.at(2), bytes, at, numbers.at(2));
    } else {
      FAIL() << "unknown damage " << operation;
    }
  }
};

// One line of damages.txt.
struct Damage {
  std::string base;
  std::vector<Step> steps;
  size_t readable = 0;

  static Damage parse(const std::string& line) {
    Damage damage;
    std::istringstream words(line);
    words >> damage.base;
    for (std::string word = ";"; word == ";";) {
      Step& step = damage.steps.emplace_back();
      words >> step.file >> step.operation;
      while (words >> word && word != "=" && word != ";") step.numbers.push_back(std::stoull(word));
    }
    words >> damage.readable;
    return damage;
  }

  void inflict(const std::filesystem::path& dir) const {
    for (const auto& step : steps) step.inflict(dir);
  }
};

Options corpus_options(const std::filesystem::path& dir) {
  Options options = options_in(dir);
  options.max_size_bytes = 4 << 20;
  return options;
}

// What can be read of a lane, going past what cannot. Fails on a wrong record.
size_t readable_in(Spool& spool, LaneId lane) {
  size_t count = 0;
  for (Seq from = 1; from < 10000;) {
    const auto segment = read_now(spool, lane, from);
    if (!segment) {
      const SeqRange range = spool.segment_range(lane, from);
      if (range.last < from) break;
      from = range.last + 1;
      continue;
    }
    if (*segment == nullptr) break;
    Seq seq = (*segment)->first();
    for (const auto& body : bodies_of(**segment)) {
      EXPECT_EQ(body, Feeder::body(lane, seq, body.size()));
      ++count;
      ++seq;
    }
    from = seq;
  }
  return count;
}

size_t readable(const std::filesystem::path& dir) {
  auto opened = Spool::open(corpus_options(dir), Log::none());
  if (!opened) {
    EXPECT_NE(opened.error().what.find(".db"), std::string::npos) << opened.error().what;
    return 0;
  }
  Watcher watcher;
  (*opened)->start(watcher);
  size_t count = 0;
  for (const auto& lane : (*opened)->lanes()) {
    EXPECT_LE(lane.cursor, lane.next_seq - 1);
    count += readable_in(**opened, lane.id);
  }
  Feeder feeder(**opened);
  (void)(*opened)->enqueue(feeder.take((*opened)->lane({"r", "0"}), 2));
  (void)(*opened)->flush();
  (*opened)->stop();
  return count;
}

TEST(SpoolCorpus, EveryDamageIsSurvivedAsWellAsEver) {
  std::ifstream list(kCorpus / "damages.txt");
  int count = 0;
  for (std::string line; std::getline(list, line);) {
    if (line.empty() || line[0] == '#') continue;
    SCOPED_TRACE(line);
    const Damage damage = Damage::parse(line);
    const TempDir dir;
    unpack(kCorpus / (damage.base + ".zst"), dir.path());
    ASSERT_NO_THROW(damage.inflict(dir.path()));
    const size_t now = readable(dir.path());
    EXPECT_GE(now, damage.readable);
    if (std::getenv("PENSTOCK_CORPUS_PRINT") != nullptr)
      std::printf("%s= %zu\n", line.substr(0, line.find('=')).c_str(), now);
    ++count;
  }
  EXPECT_GE(count, 60);
}

TEST(SpoolCorpus, DISABLED_WriteBase) {
  const TempDir dir;
  const TempDir copy;
  Watcher watcher;
  auto spool = open_or_die(corpus_options(dir.path()));
  spool->start(watcher);
  std::optional<Feeder> feeder(std::in_place, *spool);
  for (int round = 0; round < 40; ++round) {
    const LaneId lane = spool->lane({"r", std::to_string(round % 3)});
    feeder->put(lane, 6, round % 5 == 0 ? 2000 : 300);
    if (round % 10 == 4) feeder->refuse(lane, "refused");
    ASSERT_TRUE(spool->flush());
    if (round % 10 == 9) spool->quarantine(lane, spool->state(lane).cursor + 2, "poison");
    if (round % 10 == 9) spool->acknowledge(lane, spool->state(lane).cursor + 6);
    if (round == 24) {  // the first part goes to the database, the rest stays in the WAL
      spool.reset();
      spool = open_or_die(corpus_options(dir.path()));
      spool->start(watcher);
      feeder.emplace(*spool);
    }
  }
  std::filesystem::copy(dir.path(), copy.path(), std::filesystem::copy_options::recursive);
  pack(copy.path(), std::getenv("PENSTOCK_CORPUS_OUT"));
}

}  // namespace
}  // namespace penstock::spool::testing
