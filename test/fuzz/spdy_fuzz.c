/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile bytes for either role, against a user that does something in every callback. Whatever
 * comes back must itself be acceptable to the other role, and every stream must end once. */
#include "fuzz.h"
#include "http/spdy.h"

struct end {
    struct spdy c;
    size_t open; /* streams accepted and not gone */
};

static int on_open(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    struct end *e = arg;
    for (size_t i = 0; i < h->n; i++)
        must(h->v[i].name.n > 0 && h->v[i].value.n <= SPDY_BLOCK_MAX);
    e->open++;
    switch (h->n % 5) {
    case 1: spdy_write(&e->c, s, STR("hello")); break;
    case 2: spdy_fin(&e->c, s); break;
    case 3: spdy_reset(&e->c, s, SPDY_CANCEL); break;
    case 4: e->open--; return -1;
    default: break;
    }
    return 0;
}

static void on_reply(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    struct end *e = arg;
    spdy_write(&e->c, s, STR("after the reply"));
}

static void on_data(void *arg, struct spdy_stream *s, struct str bytes)
{
    struct end *e = arg;
    must(bytes.n > 0 && !s->remote_done);
    if (bytes.p[0] == 'R')
        spdy_reset(&e->c, s, SPDY_CANCEL);
    else if (bytes.p[0] == 'F')
        spdy_fin(&e->c, s);
    else
        spdy_write(&e->c, s, bytes);
}

static void on_fin(void *arg, struct spdy_stream *s)
{
    struct end *e = arg;
    if (s->id % 3 == 0)
        spdy_reset(&e->c, s, SPDY_CANCEL);
    else
        spdy_fin(&e->c, s);
}

static void on_gone(void *arg, struct spdy_stream *s, enum spdy_status status)
{
    struct end *e = arg;
    must(e->open > 0);
    e->open--;
    /* Calls on a stream that is on its way out have no effect. */
    spdy_write(&e->c, s, STR("late"));
    spdy_fin(&e->c, s);
    spdy_reset(&e->c, s, SPDY_CANCEL);
}

static void on_drained(void *arg, struct spdy_stream *s)
{
    struct end *e = arg;
    spdy_write(&e->c, s, STR("more"));
}

static int mirror_open(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    return -1;
}

static void ignore(void *arg, struct spdy_stream *s)
{
}

static void ignore_data(void *arg, struct spdy_stream *s, struct str bytes)
{
}

static void ignore_gone(void *arg, struct spdy_stream *s, enum spdy_status status)
{
}

static const struct spdy_ops end_ops = {.open = on_open,
                                        .reply = on_reply,
                                        .data = on_data,
                                        .fin = on_fin,
                                        .gone = on_gone,
                                        .drained = on_drained};
static const struct spdy_ops mirror_ops = {
    .open = mirror_open, .data = ignore_data, .fin = ignore, .gone = ignore_gone};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    uint8_t how = fuzz_byte(&in);
    enum spdy_role role = how & 1 ? SPDY_CLIENT : SPDY_SERVER;
    size_t step = (size_t)(how >> 3) + 1;
    struct end e = {0};
    struct spdy mirror;
    spdy_init(&e.c, role, &end_ops, &e);
    spdy_init(&mirror, role == SPDY_SERVER ? SPDY_CLIENT : SPDY_SERVER, &mirror_ops, NULL);
    struct http_header header = {STR("streamtype"), STR("stdin")};
    for (unsigned i = how >> 1 & 3; i > 0; i--)
        if (spdy_open(&e.c, &(struct http_headers){&header, 1, 1}, NULL))
            e.open++;
    int r = 0;
    for (size_t at = 0; at < in.n && r == 0; at += step)
        r = spdy_feed(&e.c, str_sub(fuzz_rest(&in), at, at + step));
    must(r == 0 || e.c.goaway_sent);
    must(!e.c.out.failed);
    must(e.open == e.c.stream_count);
    must(spdy_feed(&mirror, buf_view(&e.c.out)) == 0);
    spdy_fini(&e.c);
    must(e.open == 0);
    spdy_fini(&mirror);
    return 0;
}
