// penstock spool import.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include "agent/base/ownership.h"
#include "agent/cli/human.h"
#include "agent/cli/line_reader.h"
#include "agent/cli/spool_command.h"
#include "agent/cli/spool_report.h"
#include "agent/cli/stream_file.h"
#include "agent/codec/export_line.h"
#include "agent/spool/offline_import.h"

namespace penstock::cli {
namespace {

using codec::ExportLine;

constexpr uint64_t kUnknownBytes = uint64_t{1} << 40;  // of a stream
constexpr uint64_t kShownProblems = 20;

struct ImportCounts {
  uint64_t taken = 0;
  uint64_t known = 0;
  uint64_t behind = 0;
  uint64_t delivered = 0;
  uint64_t bad_lines = 0;
};

class Importing {
 public:
  Importing(spool::Importer importer, std::string name)
      : importer_(std::move(importer)), name_(std::move(name)) {}

  // An error ends the import; a bad line does not.
  Result<void> line(uint64_t number, std::string_view text) {
    if (text.find_first_not_of(" \t\r") == text.npos) return {};
    auto line = reader_.read(text);
    Result<void> done = line ? take(*line, number) : Result<void>(line.error());
    if (done || done.error().kind != ErrorKind::kRejected) return done;
    bad(number, done.error().what);
    return {};
  }
  void bad(uint64_t number, const std::string& what) {
    if (++counts_.bad_lines <= kShownProblems)
      std::fprintf(stderr, "%s:%llu: %s\n", name_.c_str(), static_cast<unsigned long long>(number),
                   what.c_str());
  }
  Result<void> finish() { return importer_.finish(); }
  const ImportCounts& counts() const { return counts_; }
  bool has_header() const { return has_header_; }

 private:
  Result<void> take(const ExportLine& line, uint64_t number);

  spool::Importer importer_;
  std::string name_;
  codec::ExportLineReader reader_;
  ImportCounts counts_;
  bool has_header_ = false;
};

Result<void> Importing::take(const ExportLine& line, uint64_t number) {
  if (line.kind == ExportLine::Kind::kHeader) {
    has_header_ = true;
    if (line.header.format == codec::kExportFormat) return {};
    return Error{ErrorKind::kDenied,
                 fmt::format("{}:{}: written in export format {}, this penstock knows {}; use the "
                             "version that wrote it",
                             name_, number, line.header.format, codec::kExportFormat),
                 {}};
  }
  const spool::ImportOf of{line.lane.origin, line.lane.route, line.lane.table};
  if (line.kind == ExportLine::Kind::kRecord && line.delivered) {
    ++counts_.delivered;
    auto gap = importer_.add_gap(of, {line.first, line.first}, "delivered", 0, "");
    if (!gap) return std::move(gap).error();
    return {};
  }
  if (line.kind == ExportLine::Kind::kGap) {
    auto gap = importer_.add_gap(of, {line.first, line.last}, line.fate, line.note.at_us,
                                 line.note.reason);
    if (!gap) return std::move(gap).error();
    return {};
  }
  std::optional<spool::ImportQuarantine> quarantined;
  if (line.quarantined) quarantined = {line.quarantined->at_us, line.quarantined->reason};
  auto outcome = importer_.add(of, line.first, line.body, quarantined);
  if (!outcome) return std::move(outcome).error();
  ++(*outcome == spool::ImportOutcome::kTaken   ? counts_.taken
     : *outcome == spool::ImportOutcome::kKnown ? counts_.known
                                                : counts_.behind);
  return {};
}

void print_outcome(const ImportCounts& counts, bool has_header, const std::string& name) {
  std::fprintf(stderr, "%s imported", counted(counts.taken, "record").c_str());
  const auto also = [](uint64_t number, const char* what) {
    if (number > 0) std::fprintf(stderr, ", %s %s", grouped(number).c_str(), what);
  };
  also(counts.known, "there already");
  also(counts.delivered, "left out (delivered where they come from)");
  also(counts.behind, "left out (behind what this spool has delivered of them)");
  std::fprintf(stderr, "\n");
  if (!has_header)
    std::fprintf(stderr, "%s: no header line: is it an export, and complete?\n", name.c_str());
  if (counts.bad_lines > 0) {
    std::fprintf(stderr,
                 "%s could not be taken%s; correct them and import the file again: what is there "
                 "is not doubled\n",
                 counted(counts.bad_lines, "line").c_str(),
                 counts.bad_lines > kShownProblems ? ", the first are shown above" : "");
  }
}

// Whoever owns the spool's directory, or the folder that it is made in, is to be able to use what
// root imports.
class Owner {
 public:
  explicit Owner(const std::filesystem::path& dir) : of_(nearest_existing(dir)), made_(of_) {
    std::error_code ignored;
    const auto rest = weakly_canonical(absolute(dir), ignored).lexically_relative(of_);
    is_new_ = !rest.empty() && *rest.begin() != ".";
    if (is_new_) made_ /= *rest.begin();
  }
  bool is_new() const { return is_new_; }
  void take() const {
    std::error_code ignored;
    if (std::filesystem::exists(made_, ignored) && !give_to_owner_of(of_, made_))
      std::fprintf(stderr, "%s: the owner could not be set to that of %s\n", made_.c_str(),
                   of_.c_str());
  }

 private:
  std::filesystem::path of_;
  std::filesystem::path made_;
  bool is_new_ = false;
};

int import_lines(Importing importing, std::FILE* file, const std::string& name) {
  LineReader lines(file);
  Result<void> done;
  while (done && lines.next()) {
    if (lines.too_long()) {
      importing.bad(lines.number(), fmt::format("the line is longer than {}",
                                                size_text(LineReader::kMaxLineBytes)));
    } else {
      done = importing.line(lines.number(), lines.line());
    }
  }
  if (done && lines.failed())
    done = Error{ErrorKind::kTransient, name + " cannot be read on: " + std::strerror(errno), {}};
  auto finished = importing.finish();
  print_outcome(importing.counts(), importing.has_header(), name);
  if (!done) return report(done.error());
  if (!finished) return report(finished.error());
  return importing.counts().bad_lines == 0 && importing.has_header() ? kExitFine : kExitWrong;
}

}  // namespace

int spool_import(const SpoolArguments& arguments) {
  const bool stream = is_stream(arguments.file);
  const std::string name = stream ? "standard input" : arguments.file.string();
  File file(stream ? stdin : std::fopen(arguments.file.c_str(), "rbe"));
  if (!file) return report(file_error(arguments.file));
  struct stat info {};
  const bool sized = fstat(fileno(file.get()), &info) == 0 && S_ISREG(info.st_mode);
  if (!sized && S_ISDIR(info.st_mode)) {
    errno = EISDIR;
    return report(file_error(arguments.file));
  }
  const uint64_t bytes = sized ? static_cast<uint64_t>(info.st_size) * 4 : kUnknownBytes;
  const Owner owner(arguments.dir);
  auto importer = spool::Importer::open(arguments.dir, bytes, Log::to_stderr(LogLevel::kWarning));
  if (!importer) {
    if (owner.is_new()) owner.take();  // what is there already may be no spool at all
    return report(importer.error());
  }
  const int code = import_lines(Importing(std::move(*importer), name), file.get(), name);
  owner.take();
  return code;
}

}  // namespace penstock::cli
