/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/ready.h"

#include "api/corev1.h"
#include "http/http.h"

enum { RETRY_MS = 20, LINE_BYTES_MAX = 4 << 20 };

/* One wait: first for /readyz, then for a watch event that shows the node Ready. */
struct wait {
    struct arena arena;
    const struct cluster *c;
    struct loop *loop;
    struct http_client *client;
    struct timer retry, deadline;
    struct buf line; /* of the watch, until its newline */
    bool with_node, api_ready, done;
    int status;
    struct str last; /* why it is not ready yet */
};

static void ask(struct wait *w);

static void finish(struct wait *w)
{
    w->done = true;
    loop_stop(w->loop);
}

static void retry_due(struct timer *t)
{
    ask(CONTAINER_OF(t, struct wait, retry));
}

static void timed_out(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct wait, deadline)->loop);
}

static bool node_ready(struct wait *w, struct str event)
{
    struct err e = ERR_INIT(&w->arena);
    struct json *doc;
    struct corev1_node node = {0};
    if (json_parse(&w->arena, event, &doc, &e) < 0 || !json_getz(doc, "object") ||
        desc_decode_json(&corev1_node_desc, json_text(&w->arena, json_getz(doc, "object")),
                         &w->arena, &node, NULL, &e) < 0)
        return false;
    LIST_EACH (k, &node.status.conditions) {
        if (!str_eq(k->type, STR("Ready")))
            continue;
        w->last = arena_str(&w->arena, k->message);
        return str_eq(k->status, STR("True"));
    }
    return false;
}

static void on_head(void *arg, int status, const struct http_headers *headers)
{
    ((struct wait *)arg)->status = status;
}

static void on_data(void *arg, struct str bytes)
{
    struct wait *w = arg;
    if (!w->api_ready || w->status != 200)
        return;
    buf_str(&w->line, bytes);
    for (;;) {
        ptrdiff_t end = str_index(buf_view(&w->line), '\n');
        if (end < 0)
            return;
        if (node_ready(w, str_n(w->line.p, (size_t)end))) {
            finish(w);
            return;
        }
        buf_consume(&w->line, (size_t)end + 1);
    }
}

static void on_done(void *arg, const struct err *error)
{
    struct wait *w = arg;
    if (w->done)
        return;
    if (error) {
        w->last = arena_str(&w->arena, error->message);
    } else if (!w->api_ready && w->status == 200) {
        w->api_ready = true;
        if (!w->with_node) {
            finish(w);
            return;
        }
    }
    timer_start(w->loop, &w->retry, RETRY_MS, retry_due);
}

static void ask(struct wait *w)
{
    static const struct http_call_ops ops = {on_head, on_data, on_done};
    struct http_headers none = {0};
    struct str target =
        w->api_ready
            ? arena_fmt(&w->arena, "/api/v1/nodes?watch=1&fieldSelector=metadata.name%%3D%s",
                        w->c->name)
            : STR("/readyz");
    w->status = 0;
    buf_clear(&w->line);
    http_call(w->client, STR("GET"), target, &none, STR(""), 0, &ops, w);
}

static int open_client(struct wait *w, struct tls_context **ret_tls, struct err *e)
{
    struct tls_config tc = {0};
    int rc;
    if ((rc = file_read(&w->arena, cluster_path(&w->arena, w->c, "pki/ca.crt"), &tc.server_ca_pem,
                        e)) < 0 ||
        (rc = file_read(&w->arena, cluster_path(&w->arena, w->c, "pki/admin.crt"), &tc.cert_pem,
                        e)) < 0 ||
        (rc = file_read(&w->arena, cluster_path(&w->arena, w->c, "pki/admin.key"), &tc.key_pem,
                        e)) < 0)
        return rc;
    *ret_tls = tls_context_new(&tc, false, e);
    if (!*ret_tls)
        return -(int)e->code;
    struct http_client_config hc = {
        .address = arena_fmt(&w->arena, "tcp:127.0.0.1:%lld", (long long)w->c->port),
        .host = STR("localhost"),
        .tls = *ret_tls,
    };
    w->client = http_client_new(w->loop, &hc);
    return 0;
}

int wait_ready(const struct cluster *c, bool with_node, int64_t timeout_ms, struct err *e)
{
    struct wait w = {.arena = ARENA_INIT,
                     .c = c,
                     .with_node = with_node,
                     .line = BUF_INIT(LINE_BYTES_MAX),
                     .last = STR("no answer from the server")};
    struct tls_context *tls = NULL;
    w.loop = loop_new(e);
    if (!w.loop)
        return -(int)e->code;
    int rc = open_client(&w, &tls, e);
    if (rc == 0) {
        timer_start(w.loop, &w.deadline, timeout_ms, timed_out);
        ask(&w);
        loop_run(w.loop);
        timer_stop(&w.retry);
        timer_stop(&w.deadline);
        http_client_free(w.client);
        loop_run(w.loop); /* until what was closed is gone */
        if (!w.done)
            rc = err_set(e, ERR_TIMEOUT, "the cluster is not ready after %lld s: %.*s",
                         (long long)timeout_ms / 1000, STR_ARG(w.last));
    }
    tls_context_free(tls);
    loop_free(w.loop);
    buf_fini(&w.line);
    arena_fini(&w.arena);
    return rc;
}
