/* SPDX-License-Identifier: Apache-2.0 */
/* The response calls of http.h; serve1.c and serve2.c carry them out. */
#include "http/server.h"

struct http_exchange *exchange_new(struct server_conn *c)
{
    struct http_server *s = c->server;
    struct list *spare = list_pop_front(&s->spare);
    struct http_exchange *x;
    if (spare) {
        x = list_entry(spare, struct http_exchange, link);
        struct arena arena = x->arena;
        memset(x, 0, sizeof *x);
        x->arena = arena;
        s->spare_count--;
    } else {
        x = xcalloc(1, sizeof *x);
        x->arena = ARENA_INIT;
    }
    x->server = s;
    s->refs++;
    x->conn = c;
    x->since = loop_now_ms(s->loop);
    x->identity = tls_identity_ref(c->identity);
    list_push_back(&c->exchanges, &x->link);
    return x;
}

void exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;
    list_remove(&x->link);
    tls_identity_unref(x->identity);
    if (x->request.http2) {
        http2_stream_fini(&x->two);
    } else {
        s->bodies -= x->one.body.n;
        buf_fini(&x->one.body);
    }
    if (s->spare_count < EXCHANGES_SPARE_MAX && x->arena.used <= EXCHANGE_SPARE_BYTES) {
        arena_reset(&x->arena);
        list_push_front(&s->spare, &x->link);
        s->spare_count++;
    } else {
        arena_fini(&x->arena);
        free(x);
    }
    server_unref(s);
}

void exchange_dispatch(struct http_exchange *x)
{
    struct server_conn *c = x->conn;
    struct http_request *r = &x->request;
    r->peer = arena_str(&x->arena, stream_peer(c->t.stream));
    r->tls = c->t.tls != NULL;
    r->tls_peer = x->identity ? &x->identity->peer : NULL;
    r->tls_peer_refused = str_z(c->refused_identity);
    x->head = str_eqz(r->method, "HEAD");
    x->state = EXCHANGE_HANDLING;
    c->server->handler->handle(c->server->arg, x);
}

void exchange_abandon(struct http_exchange *x)
{
    bool with_handler = x->state == EXCHANGE_HANDLING || x->state == EXCHANGE_STREAMING;
    list_remove(&x->link);
    x->conn = NULL;
    if (with_handler && !x->abort)
        return; /* its last call frees it */
    x->state = EXCHANGE_DONE;
    if (with_handler)
        x->abort(x->abort_arg, x);
    exchange_free(x);
}

void exchange_abandon_all(struct server_conn *c)
{
    struct list *first;
    while ((first = list_first(&c->exchanges)))
        exchange_abandon(list_entry(first, struct http_exchange, link));
}

struct str exchange_refusal(struct arena *a, int status)
{
    return arena_fmt(a, "%d %.*s\n", status, STR_ARG(http_phrase(status)));
}

/* ---- http.h ---- */

const struct http_request *http_request(struct http_exchange *x)
{
    return &x->request;
}

struct arena *http_arena(struct http_exchange *x)
{
    return &x->arena;
}

struct loop *http_loop(struct http_exchange *x)
{
    return x->server->loop;
}

void http_on_abort(struct http_exchange *x, void (*fn)(void *arg, struct http_exchange *x),
                   void *arg)
{
    x->abort = fn;
    x->abort_arg = arg;
    if (x->conn && x->conn->eof)
        serve1_recheck(x->conn);
}

void http_on_drained(struct http_exchange *x, void (*fn)(void *arg, struct http_exchange *x),
                     void *arg)
{
    x->drained = fn;
    x->drained_arg = arg;
}

void http_allow_stall(struct http_exchange *x)
{
    x->may_stall = true;
    if (x->conn && !x->request.http2)
        conn_stall_limit(&x->conn->t, INT64_MAX);
}

void http_respond(struct http_exchange *x, int status, const struct http_headers *headers,
                  struct str body)
{
    must(x->state == EXCHANGE_HANDLING);
    x->state = EXCHANGE_DONE;
    if (x->conn)
        x->conn->wire->respond(x, status, headers, body);
    else
        exchange_free(x);
}

void http_respond_start(struct http_exchange *x, int status, const struct http_headers *headers)
{
    must(x->state == EXCHANGE_HANDLING);
    x->state = EXCHANGE_STREAMING;
    if (x->conn)
        x->conn->wire->start(x, status, headers);
}

size_t http_write(struct http_exchange *x, const struct str *parts, size_t n_parts)
{
    must(x->state == EXCHANGE_STREAMING);
    return x->conn ? x->conn->wire->write(x, parts, n_parts) : 0;
}

void http_end(struct http_exchange *x)
{
    must(x->state == EXCHANGE_STREAMING);
    x->state = EXCHANGE_DONE;
    if (x->conn)
        x->conn->wire->end(x);
    else
        exchange_free(x);
}

void http_reset(struct http_exchange *x)
{
    must(x->state == EXCHANGE_HANDLING || x->state == EXCHANGE_STREAMING);
    x->state = EXCHANGE_DONE;
    if (x->conn)
        x->conn->wire->reset(x);
    else
        exchange_free(x);
}
