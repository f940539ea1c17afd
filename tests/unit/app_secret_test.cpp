// A secret whose file changes while the agent runs: kept as long as it is good, read again when it
// was refused or is missing.
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "agent/app/secret_source.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {
namespace {

class Secrets : public testing::Test {
 protected:
  void write(const std::string& text, const std::string& name = "secret") const {
    std::ofstream(dir_.path() / name) << text << "\n";
  }
  // As read at the start.
  config::Secret written_as(const std::string& text) const {
    config::Secret secret;
    secret.source = "file secret";
    secret.text = text;
    secret.folder = dir_.path();
    return config::reread(secret, agent_, config::system_environment());
  }
  config::Secret token_file() const {
    config::Secret secret;
    secret.source = "file secret";
    secret.file = dir_.path() / "secret";
    return config::reread(secret, agent_, config::system_environment());
  }
  static std::string value(const Result<std::string>& got) { return got ? *got : "none"; }

  test::TempDir dir_{"secret"};
  config::Agent agent_;
};

TEST_F(Secrets, AReferenceIsReadAgainOnlyWhenItsValueWasRefused) {
  write("first-s3cret");
  SecretSource source(written_as("Bearer ${file:secret}"), agent_);
  EXPECT_EQ(value(source.get(false)), "Bearer first-s3cret");
  write("second-s3cret");
  EXPECT_EQ(value(source.get(false)), "Bearer first-s3cret") << "nobody has refused it";
  EXPECT_EQ(value(source.get(true)), "Bearer second-s3cret");
  EXPECT_EQ(value(source.get(false)), "Bearer second-s3cret");
}

TEST_F(Secrets, OneThatIsGoneIsLookedForUntilItIsBack) {
  write("first-s3cret");
  SecretSource source(written_as("${file:secret}"), agent_);
  std::filesystem::remove(dir_.path() / "secret");
  EXPECT_EQ(value(source.get(false)), "first-s3cret");
  const auto gone = source.get(true);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kDenied);
  EXPECT_NE(gone.error().what.find("file secret is missing or empty"), std::string::npos)
      << gone.error().what;
  EXPECT_EQ(gone.error().what.find("s3cret"), std::string::npos);
  EXPECT_FALSE(source.get(false)) << "the old one was refused";
  write("second-s3cret");
  EXPECT_EQ(value(source.get(false)), "second-s3cret") << "what is missing is always looked for";
}

// Somebody else renews it.
TEST_F(Secrets, ATokenFileIsReadEveryTime) {
  write("first-s3cret");
  SecretSource source(token_file(), agent_);
  write("second-s3cret");
  EXPECT_EQ(value(source.get(false)), "second-s3cret");
}

TEST_F(Secrets, AServicePrincipalHasBothItsPartsReadAgain) {
  write("app-1", "id");
  write("first-s3cret");
  config::Destination destination;
  destination.auth.client_id = written_as("${file:id}");
  destination.auth.client_secret = written_as("${file:secret}");
  const auto client = oauth_client(destination, agent_);
  write("app-2", "id");
  write("second-s3cret");
  const auto kept = client(false);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->id + " " + kept->secret, "app-1 first-s3cret");
  const auto fresh = client(true);
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->id + " " + fresh->secret, "app-2 second-s3cret");
}

}  // namespace
}  // namespace penstock::app
