/* SPDX-License-Identifier: Apache-2.0 */
#include "http/pki.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/buf.h"

enum { AUTHORITY_DAYS = 3650 };

static int failed(struct err *e, const char *what)
{
    char text[128];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return err_set(e, ERR_INTERNAL, "%s: %s", what, text);
}

static struct str bio_text(struct arena *a, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    return arena_str(a, str_n(p, (size_t)n));
}

static struct str key_text(struct arena *a, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    struct str s = bio_text(a, bio);
    BIO_free(bio);
    return s;
}

static struct str cert_text(struct arena *a, X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(bio, x) == 1);
    struct str s = bio_text(a, bio);
    BIO_free(bio);
    return s;
}

int pki_key(struct arena *a, struct str *ret_pem, struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return failed(e, "making a key");
    *ret_pem = key_text(a, key);
    EVP_PKEY_free(key);
    return 0;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(ext && X509_add_ext(x, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static void add_name(X509_NAME *name, const char *field, const char *text)
{
    must(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1,
                                    0) == 1);
}

/* A random positive serial number of 127 bits. */
static void set_serial(X509 *x)
{
    BIGNUM *n = BN_new();
    must(BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
    must(BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL);
    BN_free(n);
}

static X509 *new_cert(EVP_PKEY *key, int64_t not_before_s, int64_t not_after_s)
{
    X509 *x = X509_new();
    must(x && X509_set_version(x, X509_VERSION_3) == 1 && X509_set_pubkey(x, key) == 1);
    set_serial(x);
    must(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before_s) != NULL);
    must(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after_s) != NULL);
    return x;
}

int pki_authority(struct arena *a, const char *common_name, struct pki_pair *ret, struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return failed(e, "making a key");
    int64_t now = (int64_t)time(NULL);
    X509 *x = new_cert(key, now - 3600, now + (int64_t)AUTHORITY_DAYS * 86400);
    add_name(X509_get_subject_name(x), "CN", common_name);
    must(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
    add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(x, x, NID_key_usage, "critical,digitalSignature,keyEncipherment,keyCertSign");
    add_extension(x, x, NID_subject_key_identifier, "hash");
    must(X509_sign(x, key, EVP_sha256()) > 0);
    *ret = (struct pki_pair){cert_text(a, x), key_text(a, key)};
    X509_free(x);
    EVP_PKEY_free(key);
    return 0;
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

static X509 *read_cert(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return x;
}

/* "DNS:localhost,IP:127.0.0.1" */
static void add_alt_names(X509 *x, X509 *ca, const struct pki_request *q)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    for (const char *const *p = q->dns_names; p && *p; p++)
        buf_fmt(&b, "%sDNS:%s", b.n ? "," : "", *p);
    for (const char *const *p = q->addresses; p && *p; p++)
        buf_fmt(&b, "%sIP:%s", b.n ? "," : "", *p);
    if (b.n)
        add_extension(x, ca, NID_subject_alt_name, b.p);
}

static X509 *sign_leaf(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const struct pki_request *q)
{
    X509 *x = new_cert(key, q->not_before_s, q->not_after_s);
    for (const char *const *p = q->organizations; p && *p; p++)
        add_name(X509_get_subject_name(x), "O", *p);
    add_name(X509_get_subject_name(x), "CN", q->common_name);
    must(X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1);
    add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, ca, NID_key_usage, "critical,digitalSignature,keyEncipherment");
    if (q->server || q->client)
        add_extension(x, ca, NID_ext_key_usage,
                      q->server && q->client ? "serverAuth,clientAuth"
                      : q->server            ? "serverAuth"
                                             : "clientAuth");
    add_extension(x, ca, NID_authority_key_identifier, "keyid:always");
    add_alt_names(x, ca, q);
    must(X509_sign(x, ca_key, EVP_sha256()) > 0);
    return x;
}

int pki_issue(struct arena *a, const struct pki_pair *ca, const struct pki_request *q,
              struct pki_pair *ret, struct err *e)
{
    X509 *ca_cert = read_cert(ca->cert_pem);
    EVP_PKEY *ca_key = read_key(ca->key_pem), *key = EVP_EC_gen("P-256");
    int rc = 0;
    if (!ca_cert || !ca_key || !key) {
        rc = failed(e, "reading the authority");
    } else {
        X509 *x = sign_leaf(key, ca_cert, ca_key, q);
        *ret = (struct pki_pair){cert_text(a, x), key_text(a, key)};
        X509_free(x);
    }
    X509_free(ca_cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return rc;
}

int pki_expiry(struct str cert_pem, int64_t *ret_s, struct err *e)
{
    X509 *x = read_cert(cert_pem);
    struct tm tm;
    if (!x)
        return failed(e, "reading a certificate");
    must(ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1);
    *ret_s = (int64_t)timegm(&tm);
    X509_free(x);
    return 0;
}
