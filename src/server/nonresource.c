/* SPDX-License-Identifier: Apache-2.0 */
#include "server/nonresource.h"

#include "server/authn.h"
#include "server/discovery.h"
#include "server/impl.h"
#include "server/openapi.h"

enum { PARTS_MAX = 8 };

static void text(struct request *r, int status, const char *s)
{
    respond_text(r, status, "text/plain; charset=utf-8", str_z(s));
}

#if defined(__aarch64__)
#define PLATFORM "linux/arm64"
#else
#define PLATFORM "linux/amd64"
#endif

static void version(struct request *r)
{
    struct str body = STR(
        "{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n  \"gitVersion\": "
        "\"v1.36.0+barque-" BARQUE_VERSION "\",\n  \"gitCommit\": \"\",\n"
        "  \"gitTreeState\": \"clean\",\n  \"buildDate\": \"1970-01-01T00:00:00Z\",\n"
        "  \"goVersion\": \"none\",\n  \"compiler\": \"cc\",\n  \"platform\": \"" PLATFORM "\"\n}");
    respond_text(r, 200, "application/json", body);
}

/* /healthz, /livez and /readyz, each with ?verbose and /name of one check. */
static void health(struct request *r, struct str which)
{
    struct str rest = r->query, key, value;
    bool verbose = false;
    while (request_param_next(r, &rest, &key, &value))
        verbose |= str_eq(key, STR("verbose"));
    if (!verbose) {
        text(r, 200, "ok");
        return;
    }
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    buf_z(&b, "[+]ping ok\n[+]log ok\n[+]store ok\n");
    buf_str(&b, which);
    buf_z(&b, " check passed\n");
    respond_text(r, 200, "text/plain; charset=utf-8", buf_view(&b));
}

static void metrics(struct request *r)
{
    struct store_stats st;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    store_stats(r->server->store, &st);
    buf_fmt(&b,
            "# HELP apiserver_storage_objects Number of stored objects.\n"
            "# TYPE apiserver_storage_objects gauge\napiserver_storage_objects %zu\n",
            st.keys);
    buf_fmt(&b,
            "# HELP barque_store_commits_total Batches written to disk.\n"
            "# TYPE barque_store_commits_total counter\nbarque_store_commits_total %llu\n",
            (unsigned long long)st.commits);
    buf_fmt(&b,
            "# HELP barque_store_puts_total Writes to the store.\n"
            "# TYPE barque_store_puts_total counter\nbarque_store_puts_total %llu\n",
            (unsigned long long)st.puts);
    for (int v = REQ_GET; v <= REQ_CONNECT; v++) {
        if (v == REQ_GET)
            buf_z(&b, "# HELP apiserver_request_total Requests by verb.\n"
                      "# TYPE apiserver_request_total counter\n");
        buf_fmt(&b, "apiserver_request_total{verb=\"%s\"} %llu\n",
                request_verb_name((enum request_verb)v),
                (unsigned long long)r->server->requests[v]);
    }
    respond_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b));
}

static void root(struct request *r)
{
    struct metav1_root_paths out = {0};
    static const char *const paths[] = {"/.well-known/openid-configuration",
                                        "/api",
                                        "/api/v1",
                                        "/apis",
                                        "/healthz",
                                        "/livez",
                                        "/metrics",
                                        "/openapi/v2",
                                        "/openapi/v3",
                                        "/openid/v1/jwks",
                                        "/readyz",
                                        "/version"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        str_list_push(r->arena, &out.paths, str_z(paths[i]));
    respond_typed(r, 200, &metav1_root_paths_desc, &out);
}

static bool is_health(struct str s)
{
    return str_eq(s, STR("healthz")) || str_eq(s, STR("livez")) || str_eq(s, STR("readyz"));
}

static void run_get(struct request *r, struct str *parts, size_t n)
{
    if (n == 0)
        root(r);
    else if (discovery_run(r, parts, n))
        return;
    else if (n == 1 && str_eq(parts[0], STR("version")))
        version(r);
    else if (is_health(parts[0]))
        health(r, parts[0]);
    else if (n == 1 && str_eq(parts[0], STR("metrics")))
        metrics(r);
    else if (str_eq(parts[0], STR("openapi")))
        openapi_run(r, parts, n);
    else if (str_eq(r->path, STR("/.well-known/openid-configuration")))
        respond_text(r, 200, "application/json", token_discovery(r->server, r->arena));
    else if (str_eq(r->path, STR("/openid/v1/jwks")))
        respond_text(r, 200, "application/jwk-set+json", token_jwks(r->server, r->arena));
    else
        text(r, 404, "404 page not found\n");
}

void nonresource_run(struct request *r)
{
    struct str parts[PARTS_MAX], rest = r->path, part;
    size_t n = 0;
    while (n < PARTS_MAX && str_next(&rest, '/', &part))
        if (part.n)
            parts[n++] = part;
    if (!str_eq(r->method, STR("GET")) && !str_eq(r->method, STR("HEAD"))) {
        respond_errorf(r, ERR_METHOD_NOT_ALLOWED,
                       "the server does not allow this method on the requested resource");
        return;
    }
    run_get(r, parts, n);
}
