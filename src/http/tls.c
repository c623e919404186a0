/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

struct tls_context {
    SSL_CTX *ctx;
    bool server, http2;
};

struct tls {
    SSL *ssl;
    struct str in;   /* ciphertext not yet pulled */
    struct buf *out; /* where ciphertext goes during a call */
    const char *failure;
};

/* The newest error of OpenSSL's queue, which is left empty. */
static const char *take_reason(const SSL *ssl)
{
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    if (ssl && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "unknown TLS error";
}

const char *tls_failure(const struct tls *t)
{
    return t->failure;
}

/* ---- the BIO between OpenSSL and struct tls ---- */

static int pull(BIO *b, char *to, int room)
{
    struct tls *t = BIO_get_data(b);
    size_t n = MIN(t->in.n, (size_t)MAX(room, 0));
    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(to, t->in.p, n);
    t->in = str_n(t->in.p + n, t->in.n - n);
    return (int)n;
}

static int push(BIO *b, const char *from, int n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    buf_add(t->out, from, (size_t)n);
    return t->out->failed ? -1 : n;
}

static long control(BIO *b, int command, long n, void *p)
{
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "barque");
    must(bio_method && BIO_meth_set_read(bio_method, pull) &&
         BIO_meth_set_write(bio_method, push) && BIO_meth_set_ctrl(bio_method, control));
}

static BIO *new_bio(struct tls *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *b = BIO_new(bio_method);
    must(b != NULL);
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    return b;
}

/* ---- contexts ---- */

static int fail(struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_REQUEST, "%s: %s", what, take_reason(NULL));
}

static BIO *pem_bio(struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
    must(b != NULL);
    return b;
}

/* The leaf first, then the rest of its chain. */
static int use_chain(SSL_CTX *ctx, struct str pem, struct err *e)
{
    BIO *b = pem_bio(pem);
    X509 *leaf = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL), *next;
    int used = leaf ? SSL_CTX_use_certificate(ctx, leaf) : 0;
    X509_free(leaf);
    while (used == 1 && (next = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        used = (int)SSL_CTX_add0_chain_cert(ctx, next);
        if (used != 1)
            X509_free(next);
    }
    BIO_free(b);
    if (used != 1)
        return fail(e, "TLS certificate");
    ERR_clear_error(); /* the end of the PEM text */
    return 0;
}

static int use_key(SSL_CTX *ctx, struct str pem, struct err *e)
{
    BIO *b = pem_bio(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    bool used = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(b);
    return used ? 0 : fail(e, "TLS private key");
}

static int trust(SSL_CTX *ctx, struct str pem, bool announce, struct err *e)
{
    BIO *b = pem_bio(pem);
    X509 *ca;
    size_t n = 0;
    bool good = true;
    while (good && (ca = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        good = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
               (!announce || SSL_CTX_add_client_CA(ctx, ca) == 1);
        X509_free(ca);
        n++;
    }
    BIO_free(b);
    if (!good || n == 0)
        return fail(e, "TLS certificate authority");
    ERR_clear_error();
    return 0;
}

static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                       const unsigned char *offered, unsigned offered_n, void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    const struct tls_context *t = arg;
    const unsigned char *ours = t->http2 ? both : both + 3;
    unsigned n = (unsigned)(sizeof both - 1 - (size_t)(ours - both));
    int found =
        SSL_select_next_proto((unsigned char **)(uintptr_t)ret, ret_n, ours, n, offered, offered_n);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* The handshake goes on with a certificate that does not verify: the API answers such a client
 * with 401 instead of a broken connection. tls_identity looks at the result. */
static int accept_any(int good, X509_STORE_CTX *store)
{
    /* What a failed check left in the error queue would be taken for the failure of the SSL_read
     * that the handshake runs in. */
    ERR_clear_error();
    return 1;
}

static void set_limits(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    /* Forward secret and authenticated ones only (RFC 9113 section 9.2.2). */
    must(SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
    must(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                       "TLS_CHACHA20_POLY1305_SHA256") == 1);
    char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro casts const away */
    must(SSL_CTX_set1_groups_list(ctx, groups) == 1);
}

static int set_server(struct tls_context *t, const struct tls_config *c, struct err *e)
{
    SSL_CTX_set_alpn_select_cb(t->ctx, choose_alpn, t);
    if (!c->client_ca_pem.n)
        return 0;
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, accept_any);
    return trust(t->ctx, c->client_ca_pem, true, e);
}

static int set_client(struct tls_context *t, const struct tls_config *c, struct err *e)
{
    const unsigned char *both = (const unsigned char *)"\x02h2\x08http/1.1";
    SSL_CTX_set_alpn_protos(t->ctx, c->http2 ? both : both + 3, c->http2 ? 12 : 9);
    SSL_CTX_set_verify(t->ctx, c->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (c->server_ca_pem.n)
        return trust(t->ctx, c->server_ca_pem, false, e);
    if (!c->insecure_skip_verify && SSL_CTX_set_default_verify_paths(t->ctx) != 1)
        return fail(e, "the system's certificate authorities");
    return 0;
}

static int set_up(struct tls_context *t, const struct tls_config *c, struct err *e)
{
    set_limits(t->ctx);
    int failed = t->server ? set_server(t, c, e) : set_client(t, c, e);
    if (!failed && (t->server || c->cert_pem.n))
        failed = use_chain(t->ctx, c->cert_pem, e);
    if (!failed && (t->server || c->key_pem.n))
        failed = use_key(t->ctx, c->key_pem, e);
    return failed;
}

struct tls_context *tls_context_new(const struct tls_config *c, bool server, struct err *e)
{
    struct tls_context *t = xcalloc(1, sizeof *t);
    t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    t->server = server;
    t->http2 = c->http2;
    must(t->ctx != NULL);
    if (set_up(t, c, e)) {
        tls_context_free(t);
        return NULL;
    }
    return t;
}

void tls_context_free(struct tls_context *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* ---- connections ---- */

/* SNI carries names only; an address is matched against the certificate's addresses. */
static bool expect_server(SSL *ssl, struct str name)
{
    char z[256];
    if (name.n >= sizeof z || memchr(name.p, 0, name.n))
        return false;
    memcpy(z, name.p, name.n);
    z[name.n] = 0;
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), z) == 1)
        return true;
    return SSL_set_tlsext_host_name(ssl, z) == 1 && SSL_set1_host(ssl, z) == 1;
}

struct tls *tls_new(struct tls_context *c, struct str server_name)
{
    struct tls *t = xcalloc(1, sizeof *t);
    t->ssl = SSL_new(c->ctx);
    if (!t->ssl || (server_name.n && !expect_server(t->ssl, server_name))) {
        ERR_clear_error();
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    BIO *b = new_bio(t);
    SSL_set_bio(t->ssl, b, b);
    if (c->server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return t;
}

void tls_offer_http1(struct tls *t)
{
    SSL_set_alpn_protos(t->ssl, (const unsigned char *)"\x08http/1.1", 9);
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

bool tls_ready(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

bool tls_is_http2(const struct tls *t)
{
    const unsigned char *p;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return n == 2 && memcmp(p, "h2", 2) == 0;
}

void tls_feed(struct tls *t, struct str bytes)
{
    t->in = bytes;
}

/* SSL_get_error wants the error queue empty before the call; it hardly ever is not. */
static void begin_call(struct tls *t, struct buf *out)
{
    if (ERR_peek_error())
        ERR_clear_error();
    t->out = out;
}

static int read_failure(struct tls *t, int n)
{
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_ZERO_RETURN: return -ERR_CANCELED;
    default: break;
    }
    bool plain = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST;
    t->failure = take_reason(t->ssl);
    return plain ? -ERR_BAD_REQUEST : -ERR_IO;
}

ssize_t tls_read(struct tls *t, struct buf *out, char *to, size_t room)
{
    /* Spares the call that would only find nothing there. */
    if (t->in.n == 0 && tls_ready(t) && !SSL_has_pending(t->ssl))
        return 0;
    begin_call(t, out);
    int n = SSL_read(t->ssl, to, (int)MIN(room, (size_t)INT32_MAX));
    t->out = NULL;
    return n > 0 ? n : read_failure(t, n);
}

bool tls_write(struct tls *t, struct buf *out, struct str plain)
{
    size_t written = 0;
    begin_call(t, out);
    bool good = plain.n == 0 || SSL_write_ex(t->ssl, plain.p, plain.n, &written) == 1;
    t->out = NULL;
    if (!good)
        t->failure = take_reason(t->ssl);
    return good;
}

void tls_close_notify(struct tls *t, struct buf *out)
{
    if (!tls_ready(t))
        return;
    begin_call(t, out);
    (void)SSL_shutdown(t->ssl);
    t->out = NULL;
}

/* ---- who is the peer? ---- */

static struct str entry_text(struct arena *a, const X509_NAME_ENTRY *entry)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    struct str text = n < 0 ? STR_NULL : arena_str(a, str_n((char *)utf8, (size_t)n));
    OPENSSL_free(utf8);
    return text;
}

static void note_subject(struct tls_identity *i, const X509_NAME *subject)
{
    int n = X509_NAME_entry_count(subject);
    i->peer.organizations.v = arena_array(&i->arena, n, struct str);
    for (int k = 0; k < n; k++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, k);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        if (nid == NID_commonName) /* the last one counts, as in Go's crypto/x509 */
            i->peer.common_name = entry_text(&i->arena, entry);
        else if (nid == NID_organizationName)
            i->peer.organizations.v[i->peer.organizations.n++] = entry_text(&i->arena, entry);
    }
}

static void note_digest(struct tls_identity *i, const X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    must(X509_digest(cert, EVP_sha256(), digest, &n) == 1);
    char *hex = arena_raw(&i->arena, n * 2 + 1);
    for (unsigned k = 0; k < n; k++)
        snprintf(hex + k * 2, 3, "%02x", digest[k]);
    i->peer.der_sha256 = str_n(hex, n * 2);
}

struct tls_identity *tls_identity(struct tls *t, const char **ret_refused)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    *ret_refused = NULL;
    if (!cert)
        return NULL;
    long verdict = SSL_get_verify_result(t->ssl);
    if (verdict != X509_V_OK) {
        *ret_refused = X509_verify_cert_error_string(verdict);
        return NULL;
    }
    struct tls_identity *i = xcalloc(1, sizeof *i);
    i->refs = 1;
    i->arena = ARENA_INIT;
    note_subject(i, X509_get_subject_name(cert));
    note_digest(i, cert);
    return i;
}

struct tls_identity *tls_identity_ref(struct tls_identity *i)
{
    if (i)
        i->refs++;
    return i;
}

void tls_identity_unref(struct tls_identity *i)
{
    if (!i || --i->refs)
        return;
    arena_fini(&i->arena);
    free(i);
}
