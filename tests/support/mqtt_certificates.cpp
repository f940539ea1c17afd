#include "tests/support/mqtt_certificates.h"

#include <cstdio>
#include <memory>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace penstock::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  require(key != nullptr, "no key");
  return key;
}

void extend(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension && X509_add_ext(cert, extension, -1) == 1, value.c_str());
  X509_EXTENSION_free(extension);
}

// Signed by `issuer_key`; `issuer` null: self-signed authority.
Cert make_cert(EVP_PKEY* key, const std::string& name, X509* issuer, EVP_PKEY* issuer_key,
               long serial, long from_s, long to_s) {
  Cert cert(X509_new(), X509_free);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), from_s);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), to_s);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509* signer = issuer ? issuer : cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(signer));
  X509_set_pubkey(cert.get(), key);
  if (issuer) {
    const bool address = name.find_first_not_of("0123456789.") == std::string::npos;
    extend(cert.get(), signer, NID_subject_alt_name, (address ? "IP:" : "DNS:") + name);
  } else {
    extend(cert.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
  }
  require(X509_sign(cert.get(), issuer_key, EVP_sha256()) > 0, "cannot sign");
  return cert;
}

template <class Write>
void write_file(const std::filesystem::path& path, Write write) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  require(file && write(file.get()) == 1, path.c_str());
}

}  // namespace

TestAuthority make_authority(const std::filesystem::path& dir, const std::string& prefix,
                             const std::string& name, long from_s, long to_s) {
  const Key ca_key = make_key();
  const Cert ca =
      make_cert(ca_key.get(), prefix + " test authority", nullptr, ca_key.get(), 1, -60, 86400);
  const Key key = make_key();
  const Cert cert = make_cert(key.get(), name, ca.get(), ca_key.get(), 2, from_s, to_s);
  TestAuthority files{dir / (prefix + "-ca.pem"), dir / (prefix + "-cert.pem"),
                      dir / (prefix + "-key.pem"), dir / (prefix + "-locked-key.pem")};
  write_file(files.ca, [&](FILE* file) { return PEM_write_X509(file, ca.get()); });
  write_file(files.cert, [&](FILE* file) { return PEM_write_X509(file, cert.get()); });
  write_file(files.key, [&](FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  write_file(files.locked_key, [&](FILE* file) {
    const unsigned char passphrase[] = "secret";
    return PEM_write_PrivateKey(file, key.get(), EVP_aes_128_cbc(), passphrase,
                                sizeof passphrase - 1, nullptr, nullptr);
  });
  return files;
}

}  // namespace penstock::test
