/* SPDX-License-Identifier: Apache-2.0 */
#include "http/mux.h"

#include "base/map.h"
#include "codec/base64.h"
#include "http/spdy.h"
#include "http/ws.h"

enum {
    CHANNELS_MAX = 255, /* of WebSocket; number 255 is the close signal */
    CLOSE_SIGNAL = 255,
    MESSAGE_BYTES = 32 * 1024,    /* of the WebSocket messages that we send */
    ANSWERS_QUEUED_MAX = 1 << 20, /* a peer that makes us answer and does not read is not read */
    CLOSE_MS_MAX = 10000,         /* for a peer to take what is left when we close */
};

struct channel {
    int id;                     /* the user's */
    uint8_t number;             /* WebSocket: on the wire */
    struct spdy_stream *stream; /* SPDY: NULL once the stream has gone */
    bool heard_end;             /* half_closed was called */
};

struct http_mux {
    struct loop *loop;
    struct http_raw *raw;
    struct mux_format format;
    const struct http_mux_ops *ops;
    void *arg;
    struct map channels; /* the user's id -> struct channel */
    struct ws ws;
    struct spdy spdy;
    size_t queued;    /* by the connection, as of the last write */
    bool begun;       /* the user was asked for the WebSocket channels */
    bool paused;      /* by the user */
    bool flooded;     /* not read because of ANSWERS_QUEUED_MAX */
    bool closing;     /* by the user */
    bool over;        /* only `closed` is still to come */
    struct task task; /* begins, and later ends */
    struct timer patience;
    /* the WebSocket message being read */
    struct channel *by_number[CHANNELS_MAX];
    struct channel *current; /* NULL: nobody's */
    bool numbered;           /* the channel byte came */
    bool is_close_signal;
    bool padded;  /* base64: its end came */
    char quad[4]; /* base64: characters without a full group */
    uint8_t quad_n;
    struct arena scratch;
    void *waiter; /* for mux_upgrade.c */
};

static void end_round(struct task *t);
static void give_up(struct timer *t);

/* ---- channels ---- */

static struct str id_key(const int *id)
{
    return str_n((const char *)id, sizeof *id);
}

static struct channel *find(struct http_mux *m, int id)
{
    return map_get(&m->channels, id_key(&id));
}

static struct channel *channel_new(struct http_mux *m, int id)
{
    struct channel *ch = xcalloc(1, sizeof *ch);
    ch->id = id;
    struct channel *old = map_put(&m->channels, id_key(&ch->id), ch);
    must(!old); /* the user's ids are its own */
    return ch;
}

static void channel_free(struct http_mux *m, struct channel *ch)
{
    map_remove(&m->channels, id_key(&ch->id));
    free(ch);
}

/* Bytes that a window holds back. */
static size_t held(const struct channel *ch)
{
    return ch->stream ? spdy_held(ch->stream) : 0;
}

static void half_closed(struct http_mux *m, struct channel *ch)
{
    if (m->over || m->closing || ch->heard_end)
        return;
    ch->heard_end = true;
    m->ops->half_closed(m->arg, ch->id);
}

/* ---- output ---- */

/* Nothing is to come any more but `closed`. */
static void finish(struct http_mux *m)
{
    if (m->over)
        return;
    m->over = true;
    timer_stop(&m->patience);
    loop_defer(m->loop, &m->task, end_round);
}

static void set_paused(struct http_mux *m)
{
    http_raw_pause(m->raw, m->paused || m->flooded);
}

static void send_out(struct http_mux *m, struct buf *out)
{
    if (out->failed) {
        finish(m);
        return;
    }
    if (out->n == 0)
        return;
    m->queued = http_raw_write(m->raw, buf_view(out));
    buf_clear(out);
    if (out->room > 2 * MESSAGE_BYTES)
        buf_fini(out);
    if (m->queued > ANSWERS_QUEUED_MAX && !m->flooded) {
        m->flooded = true;
        set_paused(m);
    }
}

/* Hands what the cores have written to the connection. */
static void flush(struct http_mux *m)
{
    if (!m->raw || m->over)
        return;
    if (m->format.carrier == MUX_TUNNEL && m->spdy.out.failed) {
        finish(m);
        return;
    }
    if (m->format.carrier == MUX_TUNNEL && m->spdy.out.n) {
        struct str bytes = buf_view(&m->spdy.out);
        ws_send(&m->ws, WS_BINARY, &bytes, 1);
        buf_clear(&m->spdy.out);
    }
    send_out(m, m->format.carrier == MUX_SPDY ? &m->spdy.out : &m->ws.out);
}

static void send_message(struct http_mux *m, struct channel *ch, struct str bytes)
{
    if (!m->format.base64) {
        char number = (char)ch->number;
        struct str parts[] = {str_n(&number, 1), bytes};
        ws_send(&m->ws, WS_BINARY, parts, 2);
        return;
    }
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MESSAGE_BYTES);
    buf_c(&text, (char)('0' + ch->number));
    base64_encode(&text, bytes);
    struct str whole = buf_view(&text);
    ws_send(&m->ws, WS_TEXT, &whole, 1);
}

static void send_messages(struct http_mux *m, struct channel *ch, struct str bytes)
{
    do {
        struct str part = str_sub(bytes, 0, MESSAGE_BYTES);
        send_message(m, ch, part);
        bytes = str_sub(bytes, part.n, bytes.n);
    } while (bytes.n);
}

size_t http_mux_write(struct http_mux *m, int channel, struct str bytes)
{
    struct channel *ch = find(m, channel);
    if (!ch || m->over || m->closing)
        return 0;
    if (m->format.carrier == MUX_WEBSOCKET)
        send_messages(m, ch, bytes);
    else if (ch->stream)
        spdy_write(&m->spdy, ch->stream, bytes);
    flush(m);
    return m->queued + held(ch);
}

void http_mux_half_close(struct http_mux *m, int channel)
{
    struct channel *ch = find(m, channel);
    if (!ch || m->over || m->closing)
        return;
    if (ch->stream) {
        spdy_fin(&m->spdy, ch->stream);
    } else if (m->format.close_signal && m->format.client) {
        char signal[2] = {(char)CLOSE_SIGNAL, (char)ch->number};
        ws_send(&m->ws, WS_BINARY, &(struct str){signal, 2}, 1);
    }
    flush(m);
}

void http_mux_reset(struct http_mux *m, int channel)
{
    struct channel *ch = find(m, channel);
    if (!ch || m->over || m->closing || !ch->stream)
        return;
    ch->heard_end = true; /* the user knows */
    spdy_reset(&m->spdy, ch->stream, SPDY_CANCEL);
    flush(m);
}

int http_mux_open(struct http_mux *m, const struct http_headers *headers, int channel)
{
    must(m->format.carrier != MUX_WEBSOCKET);
    if (m->over || m->closing)
        return -ERR_CANCELED;
    struct channel *ch = channel_new(m, channel);
    ch->stream = spdy_open(&m->spdy, headers, ch);
    if (!ch->stream) {
        channel_free(m, ch);
        return -ERR_LIMIT;
    }
    flush(m);
    return 0;
}

/* ---- SPDY's events ---- */

static int on_open(void *arg, struct spdy_stream *s, const struct http_headers *headers)
{
    struct http_mux *m = arg;
    if (m->over || m->closing)
        return -1;
    int id = m->ops->open(m->arg, headers, (int)s->id);
    if (id < 0)
        return -1;
    struct channel *ch = channel_new(m, id);
    ch->stream = s;
    s->user = ch;
    return 0;
}

static void on_data(void *arg, struct spdy_stream *s, struct str bytes)
{
    struct http_mux *m = arg;
    struct channel *ch = s->user;
    if (!m->over && !m->closing)
        m->ops->data(m->arg, ch->id, bytes);
}

static void on_fin(void *arg, struct spdy_stream *s)
{
    half_closed(arg, s->user);
}

static void on_gone(void *arg, struct spdy_stream *s, enum spdy_status status)
{
    struct http_mux *m = arg;
    struct channel *ch = s->user;
    ch->stream = NULL;
    half_closed(m, ch);
    int id = ch->id;
    channel_free(m, ch);
    if (m->ops->gone && !m->over && !m->closing)
        m->ops->gone(m->arg, id);
}

static void on_held_gone(void *arg, struct spdy_stream *s)
{
    struct http_mux *m = arg;
    if (!m->over && !m->closing && m->ops->drained)
        m->ops->drained(m->arg);
}

static const struct spdy_ops spdy_ops = {
    .open = on_open,
    .data = on_data,
    .fin = on_fin,
    .gone = on_gone,
    .drained = on_held_gone,
};

/* ---- WebSocket's events ---- */

/* More of a channel's base64; groups of four are decoded as they fill. */
static void take_base64(struct http_mux *m, struct str text)
{
    CLEANUP(buf_fini) struct buf groups = BUF_INIT(text.n + sizeof m->quad);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\r' || text.p[i] == '\n')
            continue;
        m->quad[m->quad_n++] = text.p[i];
        if (m->quad_n == sizeof m->quad) {
            buf_add(&groups, m->quad, sizeof m->quad);
            m->quad_n = 0;
        }
    }
    struct str bytes;
    /* Padding ends the message; what is wrong is dropped, as upstream's servers do. */
    if (groups.n == 0 || m->padded || !base64_decode(&m->scratch, buf_view(&groups), &bytes)) {
        m->padded |= groups.n > 0;
        return;
    }
    m->padded = groups.p[groups.n - 1] == '=';
    if (bytes.n)
        m->ops->data(m->arg, m->current->id, bytes);
    arena_reset(&m->scratch);
}

static struct channel *numbered(struct http_mux *m, unsigned char byte)
{
    unsigned number = m->format.base64 ? (unsigned)(byte - '0') & 0xff : byte;
    return number < CHANNELS_MAX ? m->by_number[number] : NULL;
}

/* Takes the leading byte or bytes of a message, if they are there. */
static void take_number(struct http_mux *m, struct str *bytes)
{
    while (bytes->n && !m->numbered) {
        unsigned char byte = (unsigned char)bytes->p[0];
        *bytes = str_sub(*bytes, 1, bytes->n);
        if (m->format.close_signal && !m->is_close_signal && byte == CLOSE_SIGNAL) {
            m->is_close_signal = true;
            continue;
        }
        m->numbered = true;
        m->current = numbered(m, byte);
    }
}

static void on_channel_piece(struct http_mux *m, struct str bytes, bool first)
{
    if (first) {
        m->numbered = m->is_close_signal = m->padded = false;
        m->current = NULL;
        m->quad_n = 0;
    }
    take_number(m, &bytes);
    if (!m->current)
        return; /* a channel that nobody has is ignored */
    if (m->is_close_signal)
        half_closed(m, m->current);
    else if (bytes.n == 0 || m->current->heard_end)
        return;
    else if (m->format.base64)
        take_base64(m, bytes);
    else
        m->ops->data(m->arg, m->current->id, bytes);
}

static void on_piece(void *arg, enum ws_type type, struct str bytes, bool first, bool last)
{
    struct http_mux *m = arg;
    if (m->over || m->closing)
        return;
    if (m->format.carrier != MUX_TUNNEL)
        on_channel_piece(m, bytes, first);
    else if (type != WS_BINARY)
        ws_close(&m->ws, WS_UNSUPPORTED, STR("SPDY travels in binary messages"));
    else if (spdy_feed(&m->spdy, bytes) < 0)
        ws_close(&m->ws, WS_PROTOCOL_ERROR, STR("malformed SPDY"));
}

static void mask_bytes(void *arg, void *p, size_t n)
{
    struct http_mux *m = arg;
    loop_random(m->loop, p, n);
}

static const struct ws_ops ws_ops = {.piece = on_piece, .random = mask_bytes};

/* ---- the connection's events ---- */

/* WebSocket's channels exist from the start: 0, 1, 2, ... as many as the user wants. */
static void begin(struct http_mux *m)
{
    static const struct http_headers none;
    for (int number = 0; number < CHANNELS_MAX && m->format.carrier == MUX_WEBSOCKET; number++) {
        int id = m->ops->open(m->arg, &none, number);
        if (id < 0)
            break;
        m->by_number[number] = channel_new(m, id);
        m->by_number[number]->number = (uint8_t)number;
    }
    flush(m);
}

static int feed(struct http_mux *m, struct str bytes)
{
    if (m->format.carrier == MUX_SPDY)
        return spdy_feed(&m->spdy, bytes);
    int r = ws_feed(&m->ws, bytes);
    return r == 0 && m->ws.close_sent && !m->closing ? WS_CLOSED : r;
}

/* Closing waits for what windows hold back. */
static bool holds_back(struct http_mux *m)
{
    uint32_t it = 0;
    struct map_entry *e;
    while ((e = map_next(&m->channels, &it)))
        if (held(e->value))
            return true;
    return false;
}

static void close_if_sent(struct http_mux *m)
{
    if (!m->closing || m->over || holds_back(m))
        return;
    if (m->format.carrier != MUX_WEBSOCKET)
        spdy_goaway(&m->spdy, 0);
    flush(m);
    if (m->format.carrier != MUX_SPDY)
        ws_close(&m->ws, WS_NORMAL, STR_NULL);
    flush(m);
    finish(m);
}

static void raw_data(void *arg, struct str bytes)
{
    struct http_mux *m = arg;
    if (m->over)
        return;
    int r = feed(m, bytes);
    flush(m);
    if (r != 0)
        finish(m);
    else
        close_if_sent(m);
}

static void raw_end(void *arg)
{
    finish(arg);
}

static void raw_drained(void *arg)
{
    struct http_mux *m = arg;
    m->queued = 0;
    if (m->over)
        return;
    if (m->flooded) {
        m->flooded = false;
        set_paused(m);
    }
    if (!m->closing && m->ops->drained)
        m->ops->drained(m->arg);
}

const struct http_raw_ops mux_raw_ops = {raw_data, raw_end, raw_drained};

void http_mux_pause(struct http_mux *m, bool paused)
{
    m->paused = paused;
    if (!m->over)
        set_paused(m);
}

/* ---- the end ---- */

static void end_every_channel(struct http_mux *m)
{
    /* Ids, since a stream may go while its neighbours are ended. */
    uint32_t it = 0;
    size_t n = 0;
    struct map_entry *e;
    CLEANUP(free_ptr) int *ids = xmalloc((m->channels.count + 1) * sizeof *ids);
    while ((e = map_next(&m->channels, &it)))
        ids[n++] = ((struct channel *)e->value)->id;
    for (size_t i = 0; i < n; i++) {
        struct channel *ch = find(m, ids[i]);
        if (ch && ch->stream)
            spdy_fin(&m->spdy, ch->stream);
    }
}

void http_mux_close(struct http_mux *m)
{
    if (m->over || m->closing)
        return;
    m->closing = true;
    end_every_channel(m);
    flush(m);
    timer_start(m->loop, &m->patience, CLOSE_MS_MAX, give_up);
    close_if_sent(m);
}

static void give_up(struct timer *t)
{
    finish(CONTAINER_OF(t, struct http_mux, patience));
}

void mux_free(struct http_mux *m)
{
    task_cancel(&m->task);
    timer_stop(&m->patience);
    m->over = true;
    if (m->format.carrier == MUX_SPDY || m->format.carrier == MUX_TUNNEL)
        spdy_fini(&m->spdy);
    if (m->format.carrier == MUX_WEBSOCKET || m->format.carrier == MUX_TUNNEL)
        ws_fini(&m->ws);
    uint32_t it = 0;
    struct map_entry *e;
    while ((e = map_next(&m->channels, &it)))
        free(e->value);
    map_fini(&m->channels);
    arena_fini(&m->scratch);
    free(m);
}

static void end_round(struct task *t)
{
    struct http_mux *m = CONTAINER_OF(t, struct http_mux, task);
    http_raw_close(m->raw);
    m->ops->closed(m->arg);
    mux_free(m);
}

/* ---- the beginning ---- */

struct mux_format mux_format(enum http_mux_kind kind, struct str protocol, bool client)
{
    if (kind == HTTP_MUX_SPDY)
        return (struct mux_format){.carrier = MUX_SPDY, .client = client};
    if (str_has_prefix(protocol, STR("SPDY/3.1+")))
        return (struct mux_format){.carrier = MUX_TUNNEL, .client = client};
    return (struct mux_format){
        .carrier = MUX_WEBSOCKET,
        .base64 = str_find(protocol, STR("base64.")) >= 0,
        .close_signal = str_has_prefix(protocol, STR("v5.")),
        .client = client,
    };
}

struct http_mux *mux_new(struct loop *l, const struct http_mux_ops *ops, void *arg)
{
    struct http_mux *m = xcalloc(1, sizeof *m);
    m->loop = l;
    m->ops = ops;
    m->arg = arg;
    m->channels = MAP_INIT_BORROWED;
    arena_init(&m->scratch, MIB(1));
    return m;
}

void mux_begin(struct http_mux *m, struct mux_format format, struct http_raw *raw)
{
    m->format = format;
    m->raw = raw;
    if (format.carrier != MUX_WEBSOCKET)
        spdy_init(&m->spdy, format.client ? SPDY_CLIENT : SPDY_SERVER, &spdy_ops, m);
    if (format.carrier != MUX_SPDY)
        ws_init(&m->ws, format.client ? WS_CLIENT : WS_SERVER, &ws_ops, m);
    begin(m);
}

void **mux_waiter(struct http_mux *m)
{
    return &m->waiter;
}
