/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include <curl/curl.h>
#include <pthread.h>
#include <time.h>

#include "base/vec.h"
#include "codec/base64.h"
#include "codec/json.h"

enum {
    TOKEN_BYTES_MAX = 1 << 20,
    TOKEN_TEXT_MAX = 64 << 10,
    HEADER_MAX = 16 << 10,
    REDIRECTS_MAX = 10,
    PAUSE_FIRST_MS = 500,
    PAUSE_MAX_MS = 16000,
    TOKEN_FRESH_MS = 30000,
};

static const char accepted[] = "Accept: " OCI_MANIFEST_TYPE ", " OCI_INDEX_TYPE
                               ", " DOCKER_MANIFEST_TYPE ", " DOCKER_INDEX_TYPE;

struct registry {
    const struct reference *ref;
    const struct registry_trust *trust;
    const struct registry_auth *auth;
    struct registry_progress *progress;
    CURLM *multi, *token_multi; /* a token is fetched while the others wait */
    struct arena arena;
    const char *base; /* "https://host/v2/path" */
    bool plain;       /* http */
    bool insecure;
    struct str header;    /* "Authorization: ...", once the registry has asked for it */
    int64_t header_at_ms; /* when it was got */
    atomic_bool canceled;
};

/* One request, and what came back. */
struct transfer {
    struct registry *r;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    const char *url;
    bool url_is_registry;     /* not the token server's */
    const char *extra_header; /* NULL: none */
    const char *userpwd;      /* "user:password" for basic authentication; NULL: none */
    const char *form;         /* body of a POST; NULL: a GET */
    struct buf body;          /* of small answers, and of errors */
    const struct oci_blob *blob;
    struct blob_writer writer; /* of a blob */
    bool writing;              /* the writer is open */
    bool checked;              /* the first byte has come, and the status fits */
    uint64_t counted;          /* bytes reported as progress */
    struct str challenge;      /* WWW-Authenticate, on the registry's arena */
    int64_t retry_after_s;
    unsigned attempts;
    char range[32];
    bool authorized; /* sent with the registry's header */
    bool active, finished;
    int64_t not_before_ms;
    char message[CURL_ERROR_SIZE];
    struct err *e;
    int failure; /* of writing; e is set */
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- opening ---- */

static void init_curl(void)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static bool is_local(struct str host)
{
    struct str name, port;
    if (str_has_prefix(host, STR("[::1]")))
        return true;
    str_cut(host, ':', &name, &port);
    return str_eq(name, STR("localhost")) || str_has_prefix(name, STR("127."));
}

static bool is_insecure(const struct registry_trust *trust, struct str host)
{
    for (size_t i = 0; i < trust->n_insecure; i++)
        if (str_eqz(host, trust->insecure[i]))
            return true;
    return is_local(host);
}

static void set_base(struct registry *r, bool plain)
{
    struct str host = r->ref->domain;
    if (str_eq(host, STR("docker.io")))
        host = STR("registry-1.docker.io");
    r->plain = plain;
    r->base = arena_fmt(&r->arena, "%s://%.*s/v2/%.*s", plain ? "http" : "https", STR_ARG(host),
                        STR_ARG(r->ref->path))
                  .p;
}

struct registry *registry_open(const struct reference *ref, const struct registry_trust *trust,
                               const struct registry_auth *auth, struct registry_progress *progress)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct registry *r = xcalloc(1, sizeof *r);
    r->ref = ref;
    r->trust = trust;
    r->auth = auth;
    r->progress = progress;
    r->arena = ARENA_INIT;
    r->multi = curl_multi_init();
    r->token_multi = curl_multi_init();
    must(r->multi && r->token_multi);
    r->insecure = is_insecure(trust, ref->domain);
    set_base(r, false);
    if (auth->registry_token.n)
        r->header =
            arena_fmt(&r->arena, "Authorization: Bearer %.*s", STR_ARG(auth->registry_token));
    return r;
}

void registry_close(struct registry *r)
{
    curl_multi_cleanup(r->multi);
    curl_multi_cleanup(r->token_multi);
    arena_fini(&r->arena);
    free(r);
}

void registry_cancel(struct registry *r)
{
    atomic_store(&r->canceled, true);
    curl_multi_wakeup(r->multi);
    curl_multi_wakeup(r->token_multi);
}

/* ---- receiving ---- */

static bool store_bytes(struct transfer *t, const char *p, size_t n)
{
    t->failure = blob_add(&t->writer, p, n, t->e);
    if (t->failure < 0)
        return false;
    t->counted += n;
    atomic_fetch_add(&t->r->progress->bytes_done, n);
    return true;
}

static void uncount(struct transfer *t)
{
    atomic_fetch_sub(&t->r->progress->bytes_done, t->counted);
    t->counted = 0;
}

/* The answer begins: a whole blob where a part was asked for means starting over. */
static bool begin_blob(struct transfer *t, long status)
{
    t->checked = true;
    if (status == 200 && t->writer.size > 0) {
        uncount(t);
        t->failure = blob_restart(&t->writer, t->e);
    }
    return t->failure == 0;
}

static size_t receive(char *p, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!t->blob || (status != 200 && status != 206)) {
        buf_add(&t->body, p, n);
        return t->body.failed ? 0 : n;
    }
    if (!t->checked && !begin_blob(t, status))
        return 0;
    return store_bytes(t, p, n) ? n : 0;
}

static size_t receive_header(char *p, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    struct str line = str_n(p, size * count), name, value;
    if (str_has_prefix(line, STR("HTTP/"))) { /* a redirect's answer does not count */
        t->challenge = STR_NULL;
        t->retry_after_s = 0;
    } else if (str_cut(line, ':', &name, &value)) {
        if (str_case_eq(name, STR("WWW-Authenticate")) && value.n < HEADER_MAX && !t->challenge.n)
            t->challenge = arena_str(&t->r->arena, str_trim(value));
        else if (str_case_eq(name, STR("Retry-After")))
            (void)!str_to_i64(str_trim(value), &t->retry_after_s);
    }
    return size * count;
}

static int check_cancel(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                        curl_off_t ulnow)
{
    struct transfer *t = arg;
    return atomic_load(&t->r->canceled);
}

/* ---- one request ---- */

static void set_headers(struct transfer *t)
{
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    if (t->extra_header)
        t->headers = curl_slist_append(t->headers, t->extra_header);
    t->authorized = t->r->header.n > 0 && t->url_is_registry;
    if (t->authorized)
        t->headers = curl_slist_append(t->headers, t->r->header.p);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_trust(struct transfer *t)
{
    const struct registry *r = t->r;
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR,
                     r->plain || r->insecure ? "http,https" : "https");
    if (r->insecure) {
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (r->trust->ca_file) {
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, r->trust->ca_file);
        curl_easy_setopt(t->easy, CURLOPT_CAPATH, "/etc/ssl/certs");
    }
}

static void transfer_init(struct transfer *t, struct registry *r, const char *url, size_t body_max,
                          struct err *e)
{
    *t = (struct transfer){
        .r = r, .url = url, .body = BUF_INIT(body_max), .url_is_registry = true, .e = e};
    t->multi = r->multi;
    t->easy = curl_easy_init();
    must(t->easy);
}

static void set_options(struct transfer *t)
{
    CURL *c = t->easy;
    curl_easy_reset(c);
    set_trust(t);
    set_headers(t);
    curl_easy_setopt(c, CURLOPT_URL, t->url);
    curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->message);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, check_cancel);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)REGISTRY_CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)REGISTRY_STALL_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "barque/" BARQUE_VERSION);
    if (t->userpwd) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(c, CURLOPT_USERPWD, t->userpwd);
    }
    if (t->form)
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->form);
    if (t->blob && t->writer.size > 0) {
        snprintf(t->range, sizeof t->range, "%llu-", (unsigned long long)t->writer.size);
        curl_easy_setopt(c, CURLOPT_RANGE, t->range);
    }
}

static void transfer_fini(struct transfer *t)
{
    if (t->active)
        curl_multi_remove_handle(t->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    buf_fini(&t->body);
    if (t->writing) {
        t->writer.keep = true; /* the next attempt goes on there */
        blob_abort(&t->writer);
    }
}

static void transfer_begin(struct transfer *t)
{
    t->attempts++;
    t->checked = false;
    t->challenge = STR_NULL;
    t->retry_after_s = 0;
    t->message[0] = 0;
    buf_clear(&t->body);
    set_options(t);
    t->active = true;
    must(curl_multi_add_handle(t->multi, t->easy) == CURLM_OK);
}

/* ---- what went wrong ---- */

static struct str first_message(struct transfer *t)
{
    struct json *doc;
    struct err ignored = ERR_INIT(&t->r->arena);
    if (!t->body.n || json_parse(&t->r->arena, buf_view(&t->body), &doc, &ignored) < 0)
        return STR_NULL;
    const struct json *errors = json_getz(doc, "errors");
    if (!errors || errors->type != JSON_ARRAY || !errors->array.n)
        return STR_NULL;
    return json_str(json_getz(errors->array.v[0], "message"));
}

static int status_failure(struct transfer *t, long status)
{
    struct str said = first_message(t);
    if (said.n > 500)
        said = str_sub(said, 0, 500);
    if (status == 404)
        return err_set(t->e, ERR_NOT_FOUND, "not found");
    if (status == 401 || status == 403)
        return err_set(t->e, ERR_UNAUTHORIZED,
                       "pull access denied, repository does not exist or may require "
                       "authorization: %s%.*s",
                       status == 401 ? "401 Unauthorized " : "403 Forbidden ", STR_ARG(said));
    return err_set(t->e, ERR_UNAVAILABLE, "unexpected status %ld from GET %s: %.*s", status, t->url,
                   STR_ARG(said));
}

static int curl_failure(struct transfer *t, CURLcode code)
{
    const char *text = t->message[0] ? t->message : curl_easy_strerror(code);
    if (atomic_load(&t->r->canceled))
        return err_set(t->e, ERR_CANCELED, "canceled");
    if (t->failure < 0)
        return t->failure;
    if (t->body.failed)
        return err_set(t->e, ERR_INVALID, "the answer to GET %s is too large", t->url);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(t->e, ERR_UNAVAILABLE, "tls: failed to verify certificate: x509: %s", text);
    return err_set(t->e, ERR_UNAVAILABLE, "GET %s: %s", t->url, text);
}

static bool is_transient(CURLcode code, long status)
{
    switch ((int)code) {
    case CURLE_OK: return status == 429 || status == 408 || status >= 500;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return true;
    default: return false;
    }
}

/* ---- many requests ---- */

static int64_t pause_ms(const struct transfer *t)
{
    int64_t first = t->r->trust->pause_ms ? t->r->trust->pause_ms : PAUSE_FIRST_MS;
    int64_t pause = first << MIN(t->attempts - 1, 5u);
    return MIN(MAX(pause, t->retry_after_s * 1000), (int64_t)PAUSE_MAX_MS);
}

static bool may_authorize(const struct transfer *t);
static int authorize(struct registry *r, struct transfer *t);

/* An https that the other side does not speak, where plain text is allowed. */
static bool falls_back(struct transfer *t, CURLcode code)
{
    struct registry *r = t->r;
    if (!r->insecure || r->plain || !t->url_is_registry ||
        (code != CURLE_SSL_CONNECT_ERROR && code != CURLE_COULDNT_CONNECT &&
         code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING))
        return false;
    size_t old = strlen(r->base);
    set_base(r, true);
    t->url = arena_fmt(&r->arena, "%s%s", r->base, t->url + old).p;
    return true;
}

/* 0: done or to be repeated (t->finished tells); negative: failed. */
static int transfer_ended(struct transfer *t, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(t->multi, t->easy);
    t->active = false;
    t->not_before_ms = 0;
    if (falls_back(t, code))
        return 0;
    if (code == CURLE_OK && status == 401 && may_authorize(t))
        return authorize(t->r, t);
    if (code == CURLE_OK && status == 416 && t->blob && t->writer.size > 0) {
        uncount(t);
        return blob_restart(&t->writer, t->e);
    }
    if (t->failure == 0 && is_transient(code, status) && t->attempts < REGISTRY_ATTEMPTS_MAX &&
        !atomic_load(&t->r->canceled)) {
        t->not_before_ms = now_ms() + pause_ms(t);
        return 0;
    }
    if (code != CURLE_OK)
        return curl_failure(t, code);
    if (status != 200 && status != 206)
        return status_failure(t, status);
    t->finished = true;
    return 0;
}

static int take_messages(CURLM *multi)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(multi, &left))) {
        struct transfer *t;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        int failed = transfer_ended(t, m->data.result);
        if (failed < 0)
            return failed;
    }
    return 0;
}

/* Starts what may start; how long to wait at most, or -1 when all are finished. */
static int start_due(struct transfer *v, size_t n)
{
    size_t active = 0, finished = 0;
    int64_t now = now_ms(), wait = 60000;
    for (size_t i = 0; i < n; i++) {
        active += v[i].active;
        finished += v[i].finished;
    }
    for (size_t i = 0; i < n && active < REGISTRY_PARALLEL_MAX; i++) {
        if (v[i].active || v[i].finished)
            continue;
        if (v[i].not_before_ms > now) {
            wait = MIN(wait, v[i].not_before_ms - now);
        } else {
            transfer_begin(&v[i]);
            active++;
        }
    }
    return finished == n ? -1 : (int)wait;
}

/* Runs all to their ends; the first failure ends it. */
static int perform(struct registry *r, struct transfer *v, size_t n, struct err *e)
{
    CURLM *multi = n ? v[0].multi : NULL;
    int wait_ms;
    while ((wait_ms = start_due(v, n)) >= 0) {
        int running, failed;
        if (atomic_load(&r->canceled))
            return err_set(e, ERR_CANCELED, "canceled");
        must(curl_multi_perform(multi, &running) == CURLM_OK);
        if ((failed = take_messages(multi)) < 0)
            return failed;
        if ((wait_ms = start_due(v, n)) >= 0)
            must(curl_multi_poll(multi, NULL, 0, wait_ms, NULL) == CURLM_OK);
    }
    return 0;
}

/* ---- authentication ---- */

struct challenge {
    bool bearer;
    struct str realm, service, scope;
};

/* Bearer realm="https://auth.x/token",service="x",scope="repository:a/b:pull" */
static bool parse_challenge(struct str text, struct challenge *ret)
{
    struct str scheme, rest, name;
    *ret = (struct challenge){0};
    str_cut(text, ' ', &scheme, &rest);
    ret->bearer = str_case_eq(scheme, STR("Bearer"));
    if (!ret->bearer)
        return str_case_eq(scheme, STR("Basic"));
    while (str_cut(rest, '=', &name, &rest)) {
        struct str value;
        name = str_trim(name);
        while (name.n && (name.p[0] == ',' || name.p[0] == ' '))
            name = str_sub(name, 1, name.n);
        if (!str_skip(&rest, STR("\""))) {
            str_cut(rest, ',', &value, &rest);
        } else if (!str_cut(rest, '"', &value, &rest)) {
            return false;
        }
        if (str_case_eq(name, STR("realm")))
            ret->realm = value;
        else if (str_case_eq(name, STR("service")))
            ret->service = value;
        else if (str_case_eq(name, STR("scope")))
            ret->scope = value;
    }
    return ret->realm.n > 0;
}

static const char *escaped(struct registry *r, CURL *c, struct str s)
{
    char *e = curl_easy_escape(c, s.p ? s.p : "", (int)MIN(s.n, (size_t)HEADER_MAX));
    must(e);
    const char *copy = arena_cstr(&r->arena, e).p;
    curl_free(e);
    return copy;
}

static const char *user_and_password(struct registry *r)
{
    if (!r->auth->username.n && !r->auth->password.n)
        return NULL;
    return arena_fmt(&r->arena, "%.*s:%.*s", STR_ARG(r->auth->username), STR_ARG(r->auth->password))
        .p;
}

/* A password is not sent in plain text to whoever the registry names, unless the registry itself
 * is spoken to in plain text. */
static bool may_send_secret(const struct registry *r, struct str realm)
{
    return r->plain || r->insecure || str_has_prefix(realm, STR("https://"));
}

static void prepare_token_request(struct registry *r, struct transfer *t, const struct challenge *c)
{
    bool query = str_index(c->realm, '?') >= 0;
    struct str scope =
        c->scope.n ? c->scope : arena_fmt(&r->arena, "repository:%.*s:pull", STR_ARG(r->ref->path));
    const char *service = escaped(r, t->easy, c->service);
    const char *escaped_scope = escaped(r, t->easy, scope);
    bool secret = may_send_secret(r, c->realm);
    if (r->auth->identity_token.n && secret) {
        t->url = arena_z(&r->arena, c->realm);
        t->form = arena_fmt(&r->arena,
                            "grant_type=refresh_token&client_id=barque&service=%s&scope=%s"
                            "&refresh_token=%s",
                            service, escaped_scope, escaped(r, t->easy, r->auth->identity_token))
                      .p;
        return;
    }
    t->url = arena_fmt(&r->arena, "%.*s%cservice=%s&scope=%s", STR_ARG(c->realm), query ? '&' : '?',
                       service, escaped_scope)
                 .p;
    t->userpwd = secret ? user_and_password(r) : NULL;
}

static int read_token(struct registry *r, struct str body, struct err *e)
{
    struct json *doc;
    if (json_parse(&r->arena, arena_str(&r->arena, body), &doc, e) < 0)
        return err_set(e, ERR_UNAVAILABLE, "the token server's answer is not JSON");
    struct str token = json_str(json_getz(doc, "token"));
    if (!token.n)
        token = json_str(json_getz(doc, "access_token"));
    if (!token.n || token.n > TOKEN_TEXT_MAX || str_index(token, '\n') >= 0 ||
        str_index(token, '\r') >= 0)
        return err_set(e, ERR_UNAUTHORIZED, "the token server gave no token");
    r->header = arena_fmt(&r->arena, "Authorization: Bearer %.*s", STR_ARG(token));
    return 0;
}

static int fetch_token(struct registry *r, const struct challenge *c, struct err *e)
{
    struct transfer t;
    transfer_init(&t, r, NULL, TOKEN_BYTES_MAX, e);
    t.url_is_registry = false;
    t.multi = r->token_multi;
    prepare_token_request(r, &t, c);
    int failed = perform(r, &t, 1, e);
    if (failed == 0)
        failed = read_token(r, buf_view(&t.body), e);
    transfer_fini(&t);
    return failed;
}

static int use_basic(struct registry *r, struct transfer *t)
{
    const char *pair = user_and_password(r);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(HEADER_MAX);
    if (!pair)
        return status_failure(t, 401);
    base64_encode(&b, str_z(pair));
    r->header = arena_fmt(&r->arena, "Authorization: Basic %.*s", STR_ARG(buf_view(&b)));
    return 0;
}

/* Tokens live for minutes and pulls may take longer: an old one is got anew. */
static bool may_authorize(const struct transfer *t)
{
    return t->url_is_registry && t->challenge.n && t->attempts < REGISTRY_ATTEMPTS_MAX &&
           !t->r->auth->registry_token.n &&
           (!t->authorized || now_ms() - t->r->header_at_ms > TOKEN_FRESH_MS);
}

/* Called inside perform, which goes on afterwards. */
static int authorize(struct registry *r, struct transfer *t)
{
    struct challenge c;
    if (!parse_challenge(t->challenge, &c))
        return err_set(t->e, ERR_UNAVAILABLE, "unknown authentication \"%.*s\"",
                       STR_ARG(t->challenge));
    if (r->header.n && !t->authorized) /* another transfer has authorized meanwhile */
        return 0;
    int failed = c.bearer ? fetch_token(r, &c, t->e) : use_basic(r, t);
    r->header_at_ms = now_ms();
    return failed < 0 ? err_wrap(t->e, "failed to authorize") : 0;
}

/* ---- what is asked for ---- */

int registry_manifest(struct registry *r, struct str tag_or_digest, struct arena *a,
                      struct str *ret_body, struct err *e)
{
    struct transfer t;
    const char *url = arena_fmt(&r->arena, "%s/manifests/%.*s", r->base, STR_ARG(tag_or_digest)).p;
    transfer_init(&t, r, url, OCI_DOCUMENT_MAX, e);
    t.extra_header = accepted;
    int failed = perform(r, &t, 1, e);
    if (failed == 0) {
        *ret_body = buf_to_arena(&t.body, a);
        if (digest_valid(tag_or_digest) && !str_eq(sha256_text(a, *ret_body), tag_or_digest))
            failed = err_set(e, ERR_INVALID, "manifest does not verify: it is not %.*s",
                             STR_ARG(tag_or_digest));
    }
    transfer_fini(&t);
    return failed;
}

static int begin_transfer(struct registry *r, const struct content *c, const struct oci_blob *blob,
                          struct transfer *t, struct err *e)
{
    const char *url = arena_fmt(&r->arena, "%s/blobs/%.*s", r->base, STR_ARG(blob->digest)).p;
    transfer_init(t, r, url, OCI_DOCUMENT_MAX, e);
    t->blob = blob;
    int failed = blob_begin(c, blob->digest, (uint64_t)blob->size, &t->writer, e);
    if (failed == -ERR_CONFLICT) { /* another pull brings it: twice is better than waiting */
        err_clear(e);
        failed = blob_begin(c, STR_NULL, (uint64_t)blob->size, &t->writer, e);
    }
    t->writing = failed == 0;
    if (failed == 0) {
        t->counted = t->writer.size;
        atomic_fetch_add(&r->progress->bytes_done, t->writer.size);
        t->finished = blob->size > 0 && t->writer.size == (uint64_t)blob->size;
    }
    return failed;
}

static int commit_all(struct transfer *v, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char digest[DIGEST_TEXT_LEN + 1];
        v[i].writing = false;
        int failed = blob_commit(&v[i].writer, v[i].blob->digest, v[i].blob->size, digest, e);
        if (failed < 0)
            return failed;
    }
    return 0;
}

static bool is_repeated(const struct oci_blob *blobs, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(blobs[k].digest, blobs[i].digest))
            return true;
    return false;
}

int registry_blobs(struct registry *r, const struct content *c, const struct oci_blob *blobs,
                   size_t n, struct err *e)
{
    struct transfer *v = xcalloc(n, sizeof *v);
    size_t begun = 0;
    int failed = 0;
    for (size_t i = 0; i < n && failed == 0; i++) {
        uint64_t size;
        if (is_repeated(blobs, i))
            continue;
        atomic_fetch_add(&r->progress->bytes_total, (uint64_t)blobs[i].size);
        if (content_stat(c, blobs[i].digest, &size) == 0)
            atomic_fetch_add(&r->progress->bytes_done, (uint64_t)blobs[i].size);
        else
            failed = begin_transfer(r, c, &blobs[i], &v[begun++], e);
    }
    if (failed == 0)
        failed = perform(r, v, begun, e);
    if (failed == 0)
        failed = commit_all(v, begun, e);
    for (size_t i = 0; i < begun; i++)
        transfer_fini(&v[i]);
    free(v);
    return failed;
}
