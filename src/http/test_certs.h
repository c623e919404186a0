/* SPDX-License-Identifier: Apache-2.0 */
/* test_certs.h: certificates made on the spot, for tests. */
#ifndef BARQUE_HTTP_TEST_CERTS_H
#define BARQUE_HTTP_TEST_CERTS_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/arena.h"

struct test_cert {
    X509 *cert;
    EVP_PKEY *key;
    struct str cert_pem, key_pem; /* on the arena */
};

static inline void test_cert_free(struct test_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
}

static inline struct str test_take_bio(struct arena *a, BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    struct str s = arena_str(a, str_n(p, (size_t)n));
    BIO_free(b);
    return s;
}

static inline void test_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(cert, e, -1));
    X509_EXTENSION_free(e);
}

static inline void test_add_name(X509_NAME *n, const char *field, const char *value)
{
    must(X509_NAME_add_entry_by_txt(n, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1,
                                    0));
}

/* subject: "CN=x", "O=y", ... NULL-terminated. ca NULL: self-signed authority. usage: "serverAuth",
 * "clientAuth". days may be negative: expired. */
static inline struct test_cert test_cert_new(struct arena *a, const struct test_cert *ca,
                                             const char *const *subject, const char *usage,
                                             int days)
{
    static long serial;
    struct test_cert c = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    must(c.cert && c.key);
    X509_set_version(c.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.cert), -86400 * 10);
    X509_gmtime_adj(X509_getm_notAfter(c.cert), 86400L * days);
    X509_set_pubkey(c.cert, c.key);
    X509_NAME *n = X509_get_subject_name(c.cert);
    for (size_t i = 0; subject[i]; i++) {
        char field[8] = {0};
        const char *equals = strchr(subject[i], '=');
        memcpy(field, subject[i], (size_t)(equals - subject[i]));
        test_add_name(n, field, equals + 1);
    }
    X509_set_issuer_name(c.cert, X509_get_subject_name(ca ? ca->cert : c.cert));
    X509 *issuer = ca ? ca->cert : c.cert;
    test_add_extension(c.cert, issuer, NID_basic_constraints,
                       ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (usage)
        test_add_extension(c.cert, issuer, NID_ext_key_usage, usage);
    if (ca)
        test_add_extension(c.cert, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    must(X509_sign(c.cert, ca ? ca->key : c.key, EVP_sha256()));
    BIO *b = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(b, c.cert));
    c.cert_pem = test_take_bio(a, b);
    b = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PrivateKey(b, c.key, NULL, NULL, 0, NULL, NULL));
    c.key_pem = test_take_bio(a, b);
    return c;
}

#endif
