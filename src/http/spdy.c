/* SPDX-License-Identifier: Apache-2.0 */
#include "http/spdy.h"

enum frame {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9,
};

enum { FLAG_FIN = 1, FLAG_UNIDIRECTIONAL = 2 };
enum { SETTING_INITIAL_WINDOW = 7 };
enum { VERSION = 3 };
enum { GOAWAY_OK = 0, GOAWAY_PROTOCOL_ERROR = 1 };
enum { ID_MAX = 0x7fffffff };

/* ---- writing frames ---- */

static void put_u32(struct buf *b, uint32_t v)
{
    char be[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    buf_add(b, be, sizeof be);
}

static void put_head(struct spdy *c, enum frame type, unsigned flags, size_t length)
{
    put_u32(&c->out, 0x80000000u | VERSION << 16 | (unsigned)type);
    put_u32(&c->out, flags << 24 | (uint32_t)length);
}

static void put_two(struct spdy *c, enum frame type, uint32_t first, uint32_t second)
{
    put_head(c, type, 0, 8);
    put_u32(&c->out, first);
    put_u32(&c->out, second);
}

static void put_settings(struct spdy *c)
{
    put_head(c, SETTINGS, 0, 12);
    put_u32(&c->out, 1);
    put_u32(&c->out, SETTING_INITIAL_WINDOW);
    put_u32(&c->out, SPDY_WINDOW);
}

static void put_data(struct spdy *c, uint32_t id, struct str bytes, bool fin)
{
    put_u32(&c->out, id);
    put_u32(&c->out, (fin ? (unsigned)FLAG_FIN << 24 : 0) | (uint32_t)bytes.n);
    buf_str(&c->out, bytes);
}

/* SYN_STREAM, SYN_REPLY and HEADERS: `fixed` bytes of ids and such, then the block. */
static int put_headers(struct spdy *c, enum frame type, unsigned flags, uint32_t id,
                       const struct http_headers *headers)
{
    CLEANUP(buf_fini) struct buf block = BUF_INIT(2 * SPDY_BLOCK_MAX);
    int r = spdy_deflate(&c->deflate, headers, &block);
    if (r < 0)
        return r;
    size_t fixed = type == SYN_STREAM ? 10 : 4;
    put_head(c, type, flags, fixed + block.n);
    put_u32(&c->out, id);
    if (type == SYN_STREAM) {
        put_u32(&c->out, 0);         /* associated to no stream */
        buf_add(&c->out, "\0\0", 2); /* highest priority, no credential */
    }
    buf_str(&c->out, buf_view(&block));
    return 0;
}

/* ---- streams ---- */

static struct str id_key(const uint32_t *id)
{
    return str_n((const char *)id, sizeof *id);
}

static struct spdy_stream *find(const struct spdy *c, uint32_t id)
{
    return map_get(&c->by_id, id_key(&id));
}

static struct spdy_stream *stream_new(struct spdy *c, uint32_t id)
{
    struct spdy_stream *s = xcalloc(1, sizeof *s);
    s->id = id;
    s->send_window = c->stream_window;
    buf_init(&s->pending, SPDY_OUT_MAX);
    map_put(&c->by_id, id_key(&s->id), s);
    list_push_back(&c->streams, &s->link);
    c->stream_count++;
    return s;
}

static void stream_drop(struct spdy *c, struct spdy_stream *s)
{
    map_remove(&c->by_id, id_key(&s->id));
    list_remove(&s->link);
    c->stream_count--;
    buf_fini(&s->pending);
    free(s);
}

static void stream_gone(struct spdy *c, struct spdy_stream *s, enum spdy_status status)
{
    /* Unknown to the callbacks' calls already, so that none of them can end it again. */
    map_remove(&c->by_id, id_key(&s->id));
    s->local_done = s->remote_done = true;
    c->ops->gone(c->arg, s, status);
    stream_drop(c, s);
}

static void gone_if_done(struct spdy *c, struct spdy_stream *s)
{
    if (s->fin_sent && s->remote_done)
        stream_gone(c, s, SPDY_OK);
}

/* ---- flow control ---- */

/* How many of n bytes may go out now. */
static size_t window_take(struct spdy *c, struct spdy_stream *s, size_t n)
{
    if (!s->replied)
        return 0;
    if (c->peer_windows) {
        int64_t room = MIN(c->send_window, s->send_window);
        n = room <= 0 ? 0 : MIN(n, (size_t)room);
    }
    /* Counted even where not kept: the peer may turn out to keep windows after all. */
    c->send_window -= (int64_t)n;
    s->send_window -= (int64_t)n;
    return n;
}

/* Frames what the windows allow; returns how many bytes that were. */
static size_t send_some(struct spdy *c, struct spdy_stream *s, struct str bytes, bool fin)
{
    size_t at = 0;
    while (at < bytes.n) {
        size_t n = window_take(c, s, MIN(bytes.n - at, (size_t)SPDY_DATA_MAX));
        if (n == 0)
            return at;
        bool last = fin && at + n == bytes.n;
        put_data(c, s->id, str_sub(bytes, at, at + n), last);
        s->fin_sent |= last;
        at += n;
    }
    return at;
}

/* Sends what was held back, as far as it goes. The stream may be gone afterwards. */
static void stream_flush(struct spdy *c, struct spdy_stream *s)
{
    bool held = s->pending.n > 0;
    buf_consume(&s->pending, send_some(c, s, buf_view(&s->pending), s->local_done));
    if (s->pending.n > 0 || !s->replied)
        return;
    buf_fini(&s->pending);
    if (s->local_done && !s->fin_sent) {
        put_data(c, s->id, STR_NULL, true);
        s->fin_sent = true;
    }
    if (s->fin_sent)
        gone_if_done(c, s);
    else if (held && c->ops->drained)
        c->ops->drained(c->arg, s);
}

static void flush_all(struct spdy *c)
{
    /* A callback may end any stream, so go by the ids that were there. */
    size_t n = 0;
    CLEANUP(free_ptr) uint32_t *ids = xmalloc((c->stream_count + 1) * sizeof *ids);
    struct spdy_stream *s;
    list_each (s, &c->streams, link)
        if (s->pending.n > 0)
            ids[n++] = s->id;
    for (size_t i = 0; i < n; i++) {
        s = find(c, ids[i]);
        if (s)
            stream_flush(c, s);
    }
}

/* Gives bytes back in steps of half a window, for one stream or (id 0) the session. */
static void window_give(struct spdy *c, uint32_t id, int64_t *received)
{
    if (*received < SPDY_WINDOW / 2)
        return;
    put_two(c, WINDOW_UPDATE, id, (uint32_t)*received);
    *received = 0;
}

/* ---- the user's calls ---- */

void spdy_init(struct spdy *c, enum spdy_role role, const struct spdy_ops *ops, void *arg)
{
    *c = (struct spdy){.role = role, .ops = ops, .arg = arg, .arena = ARENA_INIT};
    buf_init(&c->out, SPDY_OUT_MAX);
    buf_init(&c->control, SPDY_CONTROL_MAX);
    c->by_id = MAP_INIT_BORROWED;
    list_init(&c->streams);
    c->send_window = c->stream_window = SPDY_WINDOW;
    c->next_id = role == SPDY_CLIENT ? 1 : 2;
    c->next_ping = c->next_id;
    put_settings(c);
}

void spdy_fini(struct spdy *c)
{
    struct spdy_stream *s;
    c->goaway_received = c->goaway_sent = true;
    while (!list_empty(&c->streams)) {
        s = list_entry(list_first(&c->streams), struct spdy_stream, link);
        stream_gone(c, s, SPDY_CANCEL);
    }
    map_fini(&c->by_id);
    spdy_deflate_fini(&c->deflate);
    spdy_inflate_fini(&c->inflate);
    buf_fini(&c->out);
    buf_fini(&c->control);
    arena_fini(&c->arena);
}

struct spdy_stream *spdy_open(struct spdy *c, const struct http_headers *headers, void *user)
{
    if (c->goaway_received || c->error || c->stream_count >= SPDY_STREAMS_MAX ||
        c->next_id > ID_MAX)
        return NULL;
    if (put_headers(c, SYN_STREAM, 0, c->next_id, headers) < 0)
        return NULL;
    struct spdy_stream *s = stream_new(c, c->next_id);
    c->next_id += 2;
    s->user = user;
    return s;
}

size_t spdy_write(struct spdy *c, struct spdy_stream *s, struct str bytes)
{
    if (s->local_done)
        return s->pending.n;
    size_t sent = s->pending.n > 0 ? 0 : send_some(c, s, bytes, false);
    buf_str(&s->pending, str_sub(bytes, sent, bytes.n));
    if (s->pending.failed)
        c->out.failed = true; /* the stream would have a hole */
    return s->pending.n;
}

void spdy_fin(struct spdy *c, struct spdy_stream *s)
{
    if (s->local_done)
        return;
    s->local_done = true;
    if (s->pending.n == 0)
        stream_flush(c, s);
}

void spdy_reset(struct spdy *c, struct spdy_stream *s, enum spdy_status status)
{
    if (find(c, s->id) != s)
        return;
    put_two(c, RST_STREAM, s->id, (uint32_t)status);
    stream_gone(c, s, status);
}

void spdy_goaway(struct spdy *c, uint32_t status)
{
    if (c->goaway_sent)
        return;
    c->goaway_sent = true;
    put_two(c, GOAWAY, c->last_id, status);
}

uint32_t spdy_ping(struct spdy *c)
{
    uint32_t id = c->next_ping;
    c->next_ping = id + 2 > ID_MAX ? (id & 1 ? 1 : 2) : id + 2;
    put_head(c, PING, 0, 4);
    put_u32(&c->out, id);
    return id;
}

/* ---- reading: control frames ---- */

struct control {
    enum frame type;
    unsigned flags;
    struct str body;
};

static int fail(struct spdy *c, int error)
{
    spdy_goaway(c, GOAWAY_PROTOCOL_ERROR);
    c->error = error;
    return error;
}

static uint32_t get_u32(struct str s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s.p + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_reset(struct spdy *c, uint32_t id, enum spdy_status status)
{
    put_two(c, RST_STREAM, id, (uint32_t)status);
}

static void remote_fin(struct spdy *c, struct spdy_stream *s)
{
    uint32_t id = s->id;
    s->remote_done = true;
    c->ops->fin(c->arg, s);
    s = find(c, id);
    if (s)
        gone_if_done(c, s);
}

/* Offers a stream with a valid id to the user. */
static void accept_stream(struct spdy *c, uint32_t id, unsigned flags,
                          const struct http_headers *headers)
{
    if (c->stream_count >= SPDY_STREAMS_MAX) {
        put_reset(c, id, SPDY_REFUSED_STREAM);
        return;
    }
    struct spdy_stream *s = stream_new(c, id);
    s->local_done = s->fin_sent = flags & FLAG_UNIDIRECTIONAL;
    int refused = c->ops->open(c->arg, s, headers);
    if (find(c, id) != s)
        return; /* reset inside */
    if (refused) {
        put_reset(c, id, SPDY_REFUSED_STREAM);
        stream_drop(c, s);
        return;
    }
    s->replied = true;
    if (!s->fin_sent && put_headers(c, SYN_REPLY, 0, id, &(struct http_headers){0}) < 0)
        c->out.failed = true;
    stream_flush(c, s);
    if ((flags & FLAG_FIN) && (s = find(c, id)))
        remote_fin(c, s);
}

static int got_syn_stream(struct spdy *c, const struct control *f)
{
    struct http_headers headers;
    if (f->body.n < 10)
        return fail(c, -ERR_BAD_REQUEST);
    uint32_t id = get_u32(f->body, 0) & ID_MAX;
    /* Inflated even when not wanted: the zlib stream must not lose a block. */
    int r = spdy_inflate(&c->inflate, str_sub(f->body, 10, f->body.n), &c->arena, &headers);
    if (r < 0)
        return fail(c, r);
    bool odd = id & 1;
    if (odd != (c->role == SPDY_SERVER) || id <= c->last_id)
        return fail(c, -ERR_BAD_REQUEST);
    if (c->goaway_sent)
        return 0;
    c->last_id = id;
    accept_stream(c, id, f->flags, &headers);
    return 0;
}

/* SYN_REPLY and HEADERS. */
static int got_headers(struct spdy *c, const struct control *f)
{
    struct http_headers headers;
    if (f->body.n < 4)
        return fail(c, -ERR_BAD_REQUEST);
    uint32_t id = get_u32(f->body, 0) & ID_MAX;
    int r = spdy_inflate(&c->inflate, str_sub(f->body, 4, f->body.n), &c->arena, &headers);
    if (r < 0)
        return fail(c, r);
    struct spdy_stream *s = find(c, id);
    if (!s || s->remote_done)
        return 0;
    if (f->type == SYN_REPLY && s->replied) {
        spdy_reset(c, s, SPDY_STREAM_IN_USE);
        return 0;
    }
    if (f->type == SYN_REPLY) {
        s->replied = true;
        if (c->ops->reply)
            c->ops->reply(c->arg, s, &headers);
        if ((s = find(c, id)))
            stream_flush(c, s);
    }
    if ((f->flags & FLAG_FIN) && (s = find(c, id)))
        remote_fin(c, s);
    return 0;
}

static int got_rst_stream(struct spdy *c, const struct control *f)
{
    if (f->body.n != 8 || get_u32(f->body, 4) == 0)
        return fail(c, -ERR_BAD_REQUEST);
    struct spdy_stream *s = find(c, get_u32(f->body, 0) & ID_MAX);
    if (s)
        stream_gone(c, s, (enum spdy_status)get_u32(f->body, 4));
    return 0;
}

/* A new initial window moves the windows of all streams by the difference (SPDY/3 section 2.6.8).
 */
static void set_stream_window(struct spdy *c, uint32_t window)
{
    int64_t change = (int64_t)window - c->stream_window;
    struct spdy_stream *s;
    c->stream_window = window;
    list_each (s, &c->streams, link)
        s->send_window += change;
}

static int got_settings(struct spdy *c, const struct control *f)
{
    if (f->body.n < 4 || (f->body.n - 4) % 8 != 0 || get_u32(f->body, 0) != (f->body.n - 4) / 8)
        return fail(c, -ERR_BAD_REQUEST);
    c->peer_windows = true;
    for (size_t at = 4; at < f->body.n; at += 8) {
        uint32_t value = get_u32(f->body, at + 4);
        if ((get_u32(f->body, at) & 0xffffff) != SETTING_INITIAL_WINDOW)
            continue;
        if (value > ID_MAX)
            return fail(c, -ERR_BAD_REQUEST);
        set_stream_window(c, value);
    }
    flush_all(c);
    return 0;
}

static int got_ping(struct spdy *c, const struct control *f)
{
    if (f->body.n != 4)
        return fail(c, -ERR_BAD_REQUEST);
    uint32_t id = get_u32(f->body, 0);
    bool ours = (id & 1) == (c->role == SPDY_CLIENT);
    if (ours && c->ops->pong) {
        c->ops->pong(c->arg, id);
    } else if (!ours) {
        put_head(c, PING, 0, 4);
        put_u32(&c->out, id);
    }
    return 0;
}

static int got_goaway(struct spdy *c, const struct control *f)
{
    if (f->body.n != 8)
        return fail(c, -ERR_BAD_REQUEST);
    c->goaway_received = true;
    if (c->ops->goaway)
        c->ops->goaway(c->arg, get_u32(f->body, 0) & ID_MAX, get_u32(f->body, 4));
    return 0;
}

static int got_window_update(struct spdy *c, const struct control *f)
{
    if (f->body.n != 8)
        return fail(c, -ERR_BAD_REQUEST);
    uint32_t id = get_u32(f->body, 0) & ID_MAX, delta = get_u32(f->body, 4) & ID_MAX;
    struct spdy_stream *s = id ? find(c, id) : NULL;
    int64_t *window = id == 0 ? &c->send_window : s ? &s->send_window : NULL;
    c->peer_windows = true;
    if (!window)
        return 0;
    if (delta == 0 || *window + delta > ID_MAX) {
        if (id == 0)
            return fail(c, -ERR_BAD_REQUEST);
        spdy_reset(c, s, SPDY_FLOW_CONTROL_ERROR);
        return 0;
    }
    *window += delta;
    if (id == 0)
        flush_all(c);
    else
        stream_flush(c, s);
    return 0;
}

static int got_control(struct spdy *c, const struct control *f)
{
    switch ((int)f->type) {
    case SYN_STREAM: return got_syn_stream(c, f);
    case SYN_REPLY:
    case HEADERS: return got_headers(c, f);
    case RST_STREAM: return got_rst_stream(c, f);
    case SETTINGS: return got_settings(c, f);
    case PING: return got_ping(c, f);
    case GOAWAY: return got_goaway(c, f);
    case WINDOW_UPDATE: return got_window_update(c, f);
    default: return 0; /* unknown types are ignored (section 2.2.1) */
    }
}

/* ---- reading: frames ---- */

/* bytes of a DATA frame; last: the frame is complete. */
static int got_data(struct spdy *c, struct str bytes, bool last)
{
    struct str head = str_n((const char *)c->head, sizeof c->head);
    uint32_t id = get_u32(head, 0);
    bool fin = last && ((unsigned char)head.p[4] & FLAG_FIN);
    c->received += (int64_t)bytes.n;
    window_give(c, 0, &c->received);
    struct spdy_stream *s = find(c, id);
    if (id == 0)
        return fail(c, -ERR_BAD_REQUEST);
    /* Either it was on its way when the stream was reset, or the peer is spdystream, which may
     * write after its FIN. */
    if (!s || s->remote_done)
        return 0;
    s->received += (int64_t)bytes.n;
    if (bytes.n > 0)
        c->ops->data(c->arg, s, bytes);
    if (!(s = find(c, id)))
        return 0;
    if (fin)
        remote_fin(c, s);
    else
        window_give(c, id, &s->received);
    return 0;
}

/* The eight bytes of a frame's head are there. */
static int begin_frame(struct spdy *c)
{
    struct str head = str_n((const char *)c->head, sizeof c->head);
    uint32_t first = get_u32(head, 0);
    c->left = get_u32(head, 4) & 0xffffff;
    buf_clear(&c->control);
    if (!(first & 0x80000000u))
        return 0;
    if ((first >> 16 & 0x7fff) != VERSION)
        return fail(c, -ERR_BAD_REQUEST);
    return c->left > SPDY_CONTROL_MAX ? fail(c, -ERR_LIMIT) : 0;
}

static int end_control(struct spdy *c)
{
    struct control f = {
        .type = (enum frame)(c->head[2] << 8 | c->head[3]),
        .flags = c->head[4],
        .body = buf_view(&c->control),
    };
    int r = got_control(c, &f);
    arena_reset(&c->arena);
    return r;
}

/* n payload bytes; n may be 0 when the frame has none. */
static int take_payload(struct spdy *c, struct str bytes)
{
    c->left -= (uint32_t)bytes.n;
    bool last = c->left == 0;
    if (last)
        c->head_n = 0;
    if (!(c->head[0] & 0x80))
        return got_data(c, bytes, last);
    buf_str(&c->control, bytes);
    return last ? end_control(c) : 0;
}

int spdy_feed(struct spdy *c, struct str bytes)
{
    while (c->error == 0 && bytes.n > 0) {
        if (c->head_n < sizeof c->head) {
            c->head[c->head_n++] = (unsigned char)bytes.p[0];
            bytes = str_sub(bytes, 1, bytes.n);
            if (c->head_n < sizeof c->head)
                continue;
            if (begin_frame(c) == 0 && c->left == 0)
                (void)!take_payload(c, STR_NULL);
            continue;
        }
        struct str part = str_sub(bytes, 0, c->left);
        bytes = str_sub(bytes, part.n, bytes.n);
        (void)!take_payload(c, part);
    }
    return c->error;
}
