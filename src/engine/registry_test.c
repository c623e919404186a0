/* SPDX-License-Identifier: Apache-2.0 */
/* The registry client against a registry that misbehaves on demand. */
#include "base/test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "engine/files.h"
#include "engine/registry.h"

enum { BLOB_SIZE = 300000 };

/* ---- the registry: one request for each connection ---- */

enum fault {
    FAULT_NONE,
    FAULT_BEARER,       /* wants a token */
    FAULT_BASIC,        /* wants user and password */
    FAULT_DENIED,       /* never content */
    FAULT_BREAKS,       /* the first two transfers of a blob break off half way */
    FAULT_BREAKS_WHOLE, /* the same, and ranges are not understood */
    FAULT_BUSY,         /* 503 twice, then fine */
    FAULT_WRONG_BYTES,
    FAULT_TOO_MUCH,
    FAULT_REDIRECT, /* blobs are elsewhere, where the credentials must not go */
    FAULT_HUGE_MANIFEST,
};

struct server {
    int fd, port;
    pthread_t thread;
    enum fault fault;
    int requests, broken, busy;
    bool leaked; /* credentials came where they must not */
    char *blob;
    char digest[DIGEST_TEXT_LEN + 1];
};

static struct server server;

static void reply(int fd, const char *status, const char *headers, struct str body, size_t cut)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(64));
    buf_fmt(&b, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
            headers, body.n);
    buf_str(&b, str_sub(body, 0, cut));
    struct str rest = buf_view(&b);
    while (rest.n) {
        ssize_t n = send(fd, rest.p, rest.n, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        rest = str_sub(rest, (size_t)n, rest.n);
    }
}

static void plain(int fd, const char *status, const char *text)
{
    reply(fd, status, "", str_z(text), strlen(text));
}

static bool has(const char *request, const char *text)
{
    return strstr(request, text) != NULL;
}

static bool allowed(int fd, const char *request)
{
    char challenge[256];
    if (server.fault == FAULT_DENIED) {
        reply(fd, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n",
              STR("{\"errors\":[{\"message\":\"go away\"}]}"), 100);
        return false;
    }
    if (server.fault == FAULT_BEARER && !has(request, "Authorization: Bearer sesame\r\n")) {
        snprintf(challenge, sizeof challenge,
                 "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%d/token\",service=\"s v\","
                 "scope=\"repository:a/b:pull\"\r\n",
                 server.port);
        reply(fd, "401 Unauthorized", challenge, STR("{}"), 2);
        return false;
    }
    /* user:secret */
    if (server.fault == FAULT_BASIC && !has(request, "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n")) {
        reply(fd, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", STR("{}"), 2);
        return false;
    }
    return true;
}

static void serve_blob(int fd, const char *request)
{
    char headers[128];
    struct str whole = str_n(server.blob, BLOB_SIZE), part = whole;
    const char *range = strstr(request, "Range: bytes=");
    size_t from = range ? strtoul(range + 13, NULL, 10) : 0;
    if (server.fault == FAULT_WRONG_BYTES)
        part.p = server.blob + 1;
    if (server.fault == FAULT_TOO_MUCH)
        part.n = BLOB_SIZE + 1000;
    if (server.fault == FAULT_BREAKS && range)
        part = str_sub(whole, from, whole.n);
    snprintf(headers, sizeof headers, "Content-Range: bytes %zu-%d/%d\r\n", from, BLOB_SIZE - 1,
             BLOB_SIZE);
    bool breaks =
        (server.fault == FAULT_BREAKS || server.fault == FAULT_BREAKS_WHOLE) && server.broken++ < 2;
    bool partial = server.fault == FAULT_BREAKS && range;
    reply(fd, partial ? "206 Partial Content" : "200 OK", partial ? headers : "", part,
          breaks ? part.n / 2 : part.n);
}

static void serve_manifest(int fd, const char *request)
{
    if (!has(request, "Accept: application/vnd.oci.image.manifest.v1+json"))
        plain(fd, "400 Bad Request", "no accept");
    else if (server.fault == FAULT_HUGE_MANIFEST) {
        CLEANUP(free_ptr) char *huge = xcalloc(1, OCI_DOCUMENT_MAX + 2);
        reply(fd, "200 OK", "", str_n(huge, OCI_DOCUMENT_MAX + 1), OCI_DOCUMENT_MAX + 1);
    } else {
        plain(fd, "200 OK", "{\"a\":1}");
    }
}

static void serve(int fd, const char *request)
{
    char location[128];
    server.requests++;
    if (has(request, "GET /token?service=s%20v&scope=repository%3Aa%2Fb%3Apull ")) {
        plain(fd, "200 OK", "{\"token\":\"sesame\"}");
        return;
    }
    if (has(request, "GET /elsewhere")) {
        server.leaked |= has(request, "Authorization");
        serve_blob(fd, request);
        return;
    }
    if (!allowed(fd, request))
        return;
    if (server.fault == FAULT_BUSY && server.busy++ < 2) {
        plain(fd, "503 Service Unavailable", "later");
    } else if (has(request, "GET /v2/a/b/manifests/latest ")) {
        serve_manifest(fd, request);
    } else if (has(request, "GET /v2/a/b/blobs/sha256:") && server.fault == FAULT_REDIRECT) {
        snprintf(location, sizeof location, "Location: http://localhost:%d/elsewhere\r\n",
                 server.port);
        reply(fd, "307 Temporary Redirect", location, STR(""), 0);
    } else if (has(request, "GET /v2/a/b/blobs/sha256:")) {
        serve_blob(fd, request);
    } else {
        plain(fd, "404 Not Found", "{\"errors\":[{\"message\":\"unknown\"}]}");
    }
}

static void *server_run(void *arg)
{
    for (;;) {
        char request[8192];
        size_t n = 0;
        int fd = accept(server.fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        while (n < sizeof request - 1) {
            ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
            request[n] = 0;
            if (request[0] != 'G' || strstr(request, "\r\n\r\n"))
                break;
        }
        if (n && request[0] == 'G')
            serve(fd, request);
        else if (n) /* the hello of TLS, which plain servers answer like this */
            plain(fd, "400 Bad Request", "not HTTP");
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof request, 0) > 0)
            ;
        close(fd);
    }
}

/* ---- the client ---- */

struct world {
    struct arena arena;
    struct err err;
    struct content content;
    char root[64];
    struct reference ref;
    struct registry_trust trust;
    struct registry_auth auth;
    struct registry_progress progress;
    struct oci_blob blob;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    struct sha256 h;
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    w->trust.pause_ms = 20;
    snprintf(w->root, sizeof w->root, "/tmp/registry-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    assert_int_equal(content_init(&w->content, w->root, &w->err), 0);
    server = (struct server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    server.blob = xcalloc(1, BLOB_SIZE + 4096);
    for (size_t i = 0; i < BLOB_SIZE; i++)
        server.blob[i] = (char)(i * 7 + i / 256);
    sha256_init(&h);
    sha256_add(&h, server.blob, BLOB_SIZE);
    sha256_end(&h, server.digest);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(server.fd, 16), 0);
    getsockname(server.fd, (struct sockaddr *)&in, &len);
    server.port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, server_run, NULL), 0);
    struct str name = arena_fmt(&w->arena, "127.0.0.1:%d/a/b", server.port);
    assert_int_equal(reference_parse(&w->arena, name, &w->ref, &w->err), 0);
    w->blob = (struct oci_blob){STR(OCI_LAYER_TYPE), str_z(server.digest), BLOB_SIZE};
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    free(server.blob);
    content_fini(&w->content);
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

static int get_manifest(struct world *w, struct str *ret)
{
    struct registry *r = registry_open(&w->ref, &w->trust, &w->auth, &w->progress);
    err_clear(&w->err);
    int failed = registry_manifest(r, w->ref.tag, &w->arena, ret, &w->err);
    registry_close(r);
    return failed;
}

static int get_blob(struct world *w)
{
    struct registry *r = registry_open(&w->ref, &w->trust, &w->auth, &w->progress);
    err_clear(&w->err);
    atomic_store(&w->progress.bytes_done, 0);
    atomic_store(&w->progress.bytes_total, 0);
    int failed = registry_blobs(r, &w->content, &w->blob, 1, &w->err);
    registry_close(r);
    return failed;
}

static void assert_have_blob(struct world *w)
{
    struct str text;
    assert_int_equal(
        content_read(&w->content, &w->arena, w->blob.digest, BLOB_SIZE, &text, &w->err), 0);
    assert_int_equal(text.n, BLOB_SIZE);
    assert_int_equal(atomic_load(&w->progress.bytes_done), BLOB_SIZE);
    assert_int_equal(atomic_load(&w->progress.bytes_total), BLOB_SIZE);
    assert_int_equal(content_remove(&w->content, w->blob.digest, &w->err), 0);
}

static void test_plain(void **state)
{
    struct world *w = *state;
    struct str text;
    assert_int_equal(get_manifest(w, &text), 0);
    assert_str(text, "{\"a\":1}");
    assert_int_equal(get_blob(w), 0);
    assert_have_blob(w);
    w->ref.tag = STR("other");
    assert_int_equal(get_manifest(w, &text), -ERR_NOT_FOUND);
    assert_str(w->err.message, "not found");
}

static void test_bearer(void **state)
{
    struct world *w = *state;
    struct str text;
    server.fault = FAULT_BEARER;
    if (get_manifest(w, &text) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_int_equal(server.requests, 3);
    assert_int_equal(get_blob(w), 0);
    assert_have_blob(w);
    w->auth.registry_token = STR("sesame");
    server.requests = 0;
    assert_int_equal(get_manifest(w, &text), 0);
    assert_int_equal(server.requests, 1);
    w->auth.registry_token = STR("wrong");
    assert_int_equal(get_manifest(w, &text), -ERR_UNAUTHORIZED);
}

static void test_basic(void **state)
{
    struct world *w = *state;
    struct str text;
    server.fault = FAULT_BASIC;
    assert_int_equal(get_manifest(w, &text), -ERR_UNAUTHORIZED);
    w->auth.username = STR("user");
    w->auth.password = STR("secret");
    assert_int_equal(get_manifest(w, &text), 0);
    w->auth.password = STR("wrong");
    assert_int_equal(get_manifest(w, &text), -ERR_UNAUTHORIZED);
    server.fault = FAULT_DENIED;
    assert_int_equal(get_manifest(w, &text), -ERR_UNAUTHORIZED);
    assert_true(str_find(w->err.message, STR("go away")) > 0);
}

static void test_resumed(void **state)
{
    struct world *w = *state;
    static const enum fault faults[] = {FAULT_BREAKS, FAULT_BREAKS_WHOLE};
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        server.fault = faults[i];
        server.broken = 0;
        assert_int_equal(get_blob(w), 0);
        assert_int_equal(server.broken, 3);
        assert_have_blob(w);
    }
}

/* What one pull leaves unfinished, the next goes on with. */
static void test_resumed_later(void **state)
{
    struct world *w = *state;
    struct blob_writer b;
    assert_int_equal(blob_begin(&w->content, w->blob.digest, BLOB_SIZE, &b, &w->err), 0);
    assert_int_equal(blob_add(&b, server.blob, 1000, &w->err), 0);
    b.keep = true;
    blob_abort(&b);
    server.fault = FAULT_BREAKS;
    server.broken = 2; /* no more */
    assert_int_equal(get_blob(w), 0);
    assert_have_blob(w);
    /* all there already: nothing is asked */
    assert_int_equal(blob_begin(&w->content, w->blob.digest, BLOB_SIZE, &b, &w->err), 0);
    assert_int_equal(blob_add(&b, server.blob, BLOB_SIZE, &w->err), 0);
    b.keep = true;
    blob_abort(&b);
    server.requests = 0;
    assert_int_equal(get_blob(w), 0);
    assert_int_equal(server.requests, 0);
    assert_have_blob(w);
}

static void test_busy(void **state)
{
    struct world *w = *state;
    struct str text;
    server.fault = FAULT_BUSY;
    assert_int_equal(get_manifest(w, &text), 0);
    assert_int_equal(server.busy, 3);
}

static void test_hostile(void **state)
{
    struct world *w = *state;
    struct str text;
    server.fault = FAULT_WRONG_BYTES;
    assert_int_equal(get_blob(w), -ERR_INVALID);
    server.fault = FAULT_TOO_MUCH;
    assert_int_equal(get_blob(w), -ERR_LIMIT);
    server.fault = FAULT_HUGE_MANIFEST;
    assert_int_equal(get_manifest(w, &text), -ERR_INVALID);
}

static void test_redirect(void **state)
{
    struct world *w = *state;
    server.fault = FAULT_REDIRECT;
    w->auth.registry_token = STR("secret");
    assert_int_equal(get_blob(w), 0);
    assert_false(server.leaked);
    assert_have_blob(w);
}

static void test_unreachable(void **state)
{
    struct world *w = *state;
    struct str text;
    assert_int_equal(reference_parse(&w->arena, STR("127.0.0.1:1/a/b"), &w->ref, &w->err), 0);
    assert_int_equal(get_manifest(w, &text), -ERR_UNAVAILABLE);
    assert_true(str_find(w->err.message, STR("127.0.0.1")) > 0);
}

static void *cancel_soon(void *arg)
{
    usleep(100000);
    registry_cancel(arg);
    return NULL;
}

static void test_canceled(void **state)
{
    struct world *w = *state;
    struct str text;
    pthread_t thread;
    struct registry *r = registry_open(&w->ref, &w->trust, &w->auth, &w->progress);
    server.fault = FAULT_BUSY;
    server.busy = -100; /* for ever, with long pauses between */
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, r), 0);
    assert_int_equal(registry_manifest(r, w->ref.tag, &w->arena, &text, &w->err), -ERR_CANCELED);
    pthread_join(thread, NULL);
    registry_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TESTS(TEST(test_plain), TEST(test_bearer), TEST(test_basic), TEST(test_resumed),
      TEST(test_resumed_later), TEST(test_busy), TEST(test_hostile), TEST(test_redirect),
      TEST(test_unreachable), TEST(test_canceled))
