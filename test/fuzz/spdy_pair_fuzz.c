/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a script for two honest ends: who opens, writes, half-closes, resets, and how many
 * bytes the wire carries when. What arrives must be a prefix of what was sent, and all of it
 * where a FIN arrived. */
#include "fuzz.h"
#include "http/spdy.h"

enum { STREAMS = 8, WRITE_MAX = 40000, SENT_MAX = 150000 };

/* Byte i of stream id in one direction. */
static char expected(uint32_t id, bool from_client, uint64_t i)
{
    return (char)(id * 7 + (from_client ? 3 : 0) + i * 31 + (i >> 8));
}

struct flow {
    uint64_t sent, got;
    bool sent_fin, got_fin;
};

struct end {
    struct spdy c;
    bool client;
    struct spdy_stream *streams[STREAMS];
    struct buf wire; /* on the way from here to the other end */
};

/* [0]: from the client. Ids are odd, 1, 3, ...: at id / 2. */
static struct flow flows[2][1 << 8];

static struct flow *flow(uint32_t id, bool from_client)
{
    must(id / 2 < ARRAY_LEN(flows[0]));
    return &flows[from_client ? 0 : 1][id / 2];
}

static void adopt(struct end *e, struct spdy_stream *s)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (!e->streams[i]) {
            e->streams[i] = s;
            return;
        }
}

static int on_open(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    must(h->n == 1 && str_eqz(h->v[0].name, "streamtype"));
    adopt(arg, s);
    return 0;
}

static void on_data(void *arg, struct spdy_stream *s, struct str bytes)
{
    struct end *e = arg;
    struct flow *f = flow(s->id, !e->client);
    must(!f->got_fin);
    for (size_t i = 0; i < bytes.n; i++)
        must(bytes.p[i] == expected(s->id, !e->client, f->got++));
    must(f->got <= f->sent);
}

static void on_fin(void *arg, struct spdy_stream *s)
{
    struct end *e = arg;
    struct flow *f = flow(s->id, !e->client);
    must(f->sent_fin && f->got == f->sent && !f->got_fin);
    f->got_fin = true;
}

static void on_gone(void *arg, struct spdy_stream *s, enum spdy_status status)
{
    struct end *e = arg;
    must(status != SPDY_OK || (flow(s->id, true)->sent_fin && flow(s->id, false)->sent_fin));
    must(status == SPDY_OK || status == SPDY_CANCEL);
    for (size_t i = 0; i < STREAMS; i++)
        if (e->streams[i] == s)
            e->streams[i] = NULL;
}

static const struct spdy_ops ops = {
    .open = on_open, .data = on_data, .fin = on_fin, .gone = on_gone};

static void write_some(struct end *e, struct spdy_stream *s, size_t n)
{
    static char bytes[WRITE_MAX];
    struct flow *f = flow(s->id, e->client);
    if (s->local_done || f->sent > SENT_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        bytes[i] = expected(s->id, e->client, f->sent + i);
    f->sent += n;
    spdy_write(&e->c, s, str_n(bytes, n));
}

static void carry(struct end *from, struct end *to, size_t n)
{
    buf_str(&from->wire, buf_view(&from->c.out));
    buf_clear(&from->c.out);
    n = MIN(n, from->wire.n);
    must(spdy_feed(&to->c, str_n(from->wire.p, n)) == 0);
    buf_consume(&from->wire, n);
}

static void act(struct end *e, struct end *other, struct fuzz_input *in)
{
    uint8_t what = fuzz_byte(in);
    struct spdy_stream *s = e->streams[what >> 4 & (STREAMS - 1)];
    struct http_header header = {STR("streamtype"), STR("data")};
    switch (what & 7) {
    case 0:
        if (e->client && e->c.stream_count < STREAMS && e->c.next_id / 2 < ARRAY_LEN(flows[0]))
            adopt(e, spdy_open(&e->c, &(struct http_headers){&header, 1, 1}, NULL));
        return;
    case 1:
    case 2:
        if (s)
            write_some(e, s, fuzz_byte(in) * (what & 2 ? 150u : 1u));
        return;
    case 3:
        if (s) {
            flow(s->id, e->client)->sent_fin = true;
            spdy_fin(&e->c, s);
        }
        return;
    case 4:
        if (s && fuzz_byte(in) < 32)
            spdy_reset(&e->c, s, SPDY_CANCEL);
        return;
    case 5: spdy_ping(&e->c); return;
    default: carry(e, other, fuzz_byte(in) * (what & 1 ? 300u : 1u)); return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, MIN(n, 600)};
    struct end ends[2] = {{.client = true, .wire = BUF_INIT(SPDY_OUT_MAX)},
                          {.wire = BUF_INIT(SPDY_OUT_MAX)}};
    memset(flows, 0, sizeof flows);
    spdy_init(&ends[0].c, SPDY_CLIENT, &ops, &ends[0]);
    spdy_init(&ends[1].c, SPDY_SERVER, &ops, &ends[1]);
    while (in.n > 0) {
        unsigned who = in.p[0] >> 3 & 1;
        act(&ends[who], &ends[!who], &in);
    }
    /* Let everything arrive. */
    for (int i = 0; i < 2000 && (i < 2 || ends[0].c.out.n || ends[1].c.out.n); i++)
        carry(&ends[i & 1], &ends[!(i & 1)], SPDY_OUT_MAX);
    for (uint32_t id = 1; id < ends[0].c.next_id; id += 2)
        for (int from_client = 0; from_client < 2; from_client++) {
            struct flow *f = flow(id, from_client);
            bool alive = map_has(&ends[0].c.by_id, str_n((char *)&id, sizeof id));
            must(!alive || (f->got == f->sent && f->got_fin == f->sent_fin));
        }
    must(ends[0].c.stream_count == ends[1].c.stream_count);
    for (int i = 0; i < 2; i++) {
        spdy_fini(&ends[i].c);
        buf_fini(&ends[i].wire);
    }
    return 0;
}
