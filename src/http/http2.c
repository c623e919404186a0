/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http2.h"

#include <nghttp2/nghttp2.h>
#include <sys/mman.h>

enum {
    STREAM_OUT_MAX = INT32_MAX, /* of one stream; handlers stop far earlier */
    REFUSE_HEADERS_FACTOR = 4,  /* beyond so many times the limit, reset instead of 431 */
    WRITE_PARTS_MAX = 16,
};

struct http2 {
    nghttp2_session *session;
    const struct http_limits *limits;
    const struct http2_ops *ops;
    void *arg;
    bool dead;      /* abandoned */
    bool receiving; /* inside nghttp2: http2_pump has to wait */
    bool sending;
    bool dispatching;   /* events are being looked after */
    size_t streams;     /* open ones */
    size_t bodies;      /* bytes of request bodies held by open streams */
    size_t *all_bodies; /* the same of the whole server */
    size_t bodies_max;
    size_t pending; /* bytes queued on all streams */
    int64_t now_ms;
    int64_t frames_left; /* see HTTP2_IDLE_FRAMES_BURST */
    int64_t frames_at_ms;
    struct list ready;  /* http2_stream.ready */
    struct list events; /* http2_stream.event */
    void *frame;        /* nghttp2's frame buffer: see take_memory */
};

static struct http2_stream *stream_of(struct http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

size_t http2_open_streams(const struct http2 *h)
{
    return h->streams;
}

static void event_due(struct http2_stream *s)
{
    struct http2 *h = s->session;
    if (list_linked(&s->event))
        return;
    bool first = list_empty(&h->events);
    list_push_back(&h->events, &s->event);
    if (first && !h->dispatching)
        h->ops->wake(h->arg);
}

/* ---- requests ---- */

static int begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2 *h = arg;
    if (h->dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct http2_stream *s = h->ops->open(h->arg);
    if (!s) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    s->id = frame->hd.stream_id;
    s->session = h;
    s->bodies = h->all_bodies;
    buf_init(&s->body, h->limits->body_bytes_max);
    buf_init(&s->out, STREAM_OUT_MAX);
    h->streams++;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static void note_pseudo(struct http2_stream *s, struct str name, struct str value)
{
    struct http_request *r = s->request;
    if (str_eqz(name, ":method"))
        r->method = value;
    else if (str_eqz(name, ":path"))
        r->target = value;
    else if (str_eqz(name, ":authority"))
        r->host = value;
}

/* nghttp2 has checked the characters of names and values. */
static int header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                  size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct http2 *h = arg;
    struct http2_stream *s = stream_of(h, frame->hd.stream_id);
    if (h->dead || !s || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return h->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    s->header_bytes += name_n + value_n + 4;
    if (s->header_bytes > h->limits->header_bytes_max ||
        s->request->headers.n >= h->limits->header_count_max)
        s->refused = 431;
    if (s->header_bytes > h->limits->header_bytes_max * REFUSE_HEADERS_FACTOR)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (s->refused)
        return 0;
    struct str n = arena_str(s->arena, str_n((const char *)name, name_n));
    struct str v = arena_str(s->arena, str_n((const char *)value, value_n));
    if (n.p[0] == ':')
        note_pseudo(s, n, v);
    else
        http_header_add(s->arena, &s->request->headers, n, v);
    return 0;
}

/* The head has come. */
static void check_request(struct http2_stream *s)
{
    struct http_request *r = s->request;
    if (!r->host.n)
        r->host = http_header_get(&r->headers, "host");
    if (s->refused)
        return;
    if (str_eqz(r->method, "CONNECT"))
        s->refused = 501;
    else if (!http_split_target(r) || !http_all(r->host, CHAR_HOST))
        s->refused = 400;
}

static void request_due(struct http2_stream *s)
{
    if (s->delivered || list_linked(&s->ready))
        return;
    list_push_back(&s->session->ready, &s->ready);
}

static void body_complete(struct http2_stream *s)
{
    s->complete = true;
    s->request->body = buf_view(&s->body);
    request_due(s);
}

static void invite_body(struct http2 *h, struct http2_stream *s)
{
    static const char status[] = ":status", code[] = "100";
    if (!http_header_has_token(&s->request->headers, "expect", "100-continue"))
        return;
    nghttp2_nv nv = {(uint8_t *)(uintptr_t)status, (uint8_t *)(uintptr_t)code, sizeof status - 1,
                     sizeof code - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    (void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL);
}

/* False: the peer has sent more frames that carry nothing than anybody needs. */
static bool idle_frame_allowed(struct http2 *h)
{
    int64_t gained = (h->now_ms - h->frames_at_ms) * HTTP2_IDLE_FRAMES_PER_S / 1000;
    if (gained > 0) {
        h->frames_left = MIN(h->frames_left + gained, (int64_t)HTTP2_IDLE_FRAMES_BURST);
        h->frames_at_ms = h->now_ms;
    }
    return h->frames_left-- > 0;
}

static bool carries_nothing(const nghttp2_frame *frame)
{
    switch (frame->hd.type) {
    case NGHTTP2_DATA: return frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_HEADERS:
    case NGHTTP2_WINDOW_UPDATE: return false;
    default: return true;
    }
}

static int frame_received(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2 *h = arg;
    if (h->dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (carries_nothing(frame) && !idle_frame_allowed(h)) {
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    struct http2_stream *s = stream_of(h, frame->hd.stream_id);
    if (!s)
        return 0;
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        check_request(s);
        if (s->refused)
            request_due(s);
        else if (!last)
            invite_body(h, s);
    }
    if (last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        body_complete(s);
    return 0;
}

static void drop_body(struct http2_stream *s)
{
    if (s->bodies)
        *s->bodies -= s->body.n;
    buf_fini(&s->body);
}

static void refuse_body(struct http2_stream *s, int status)
{
    s->session->bodies -= s->body.n;
    drop_body(s);
    s->refused = status;
    request_due(s);
}

/* Status with which a body that grows by n is refused, or 0. */
static int body_over_limit(const struct http2_stream *s, size_t n)
{
    const struct http2 *h = s->session;
    if (n > h->limits->body_bytes_max - s->body.n)
        return 413;
    bool room = n <= h->bodies_max - h->bodies && *h->all_bodies + n <= h->limits->bodies_bytes_max;
    return room ? 0 : 503;
}

static int data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                      size_t n, void *arg)
{
    struct http2 *h = arg;
    if (h->dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    struct http2_stream *s = stream_of(h, id);
    (void)nghttp2_session_consume_connection(session, n);
    if (!s || s->refused || s->delivered)
        return 0; /* the stream's window shuts: no more of this body is wanted */
    int refused = body_over_limit(s, n);
    if (refused) {
        refuse_body(s, refused);
        return 0;
    }
    buf_add(&s->body, data, n);
    h->bodies += n;
    *h->all_bodies += n;
    (void)nghttp2_session_consume_stream(session, id, n);
    return 0;
}

static int stream_closed(nghttp2_session *session, int32_t id, uint32_t error_code, void *arg)
{
    struct http2 *h = arg;
    struct http2_stream *s = stream_of(h, id);
    if (h->dead || !s)
        return 0;
    s->closed = true;
    s->in_order = error_code == NGHTTP2_NO_ERROR && s->fin && http2_queued(s) == 0;
    list_remove(&s->ready);
    event_due(s);
    return 0;
}

/* A response to a request that was still coming: the rest of it is not wanted (RFC 9113 section
 * 8.1). */
static int frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2 *h = arg;
    bool body = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (h->dead || !body || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct http2_stream *s = stream_of(h, frame->hd.stream_id);
    if (s && !s->complete)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- response bodies ---- */

/* Bytes that can be written: queued ones, or the caller's parts. */
static size_t available(const struct http2_stream *s)
{
    size_t n = http2_queued(s);
    for (size_t i = 0; i < s->n_parts; i++)
        n += s->parts[i].n;
    return n - s->part_at;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct http2 *h = arg;
    struct http2_stream *s = source->ptr;
    if (h->dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    size_t left = available(s), n = MIN(left, room);
    if (n == 0 && !s->fin)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->fin && n == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static size_t take_queued(struct http2_stream *s, struct str *ret, size_t n)
{
    *ret = str_sub(buf_view(&s->out), s->out_at, s->out_at + n);
    s->out_at += ret->n;
    s->session->pending -= ret->n;
    return ret->n;
}

/* The next piece of the caller's parts, at most n bytes. */
static size_t take_part(struct http2_stream *s, struct str *ret, size_t n)
{
    while (s->part_at == s->parts->n) {
        s->parts++;
        s->n_parts--;
        s->part_at = 0;
    }
    *ret = str_sub(*s->parts, s->part_at, s->part_at + n);
    s->part_at += ret->n;
    return ret->n;
}

static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *arg)
{
    struct http2 *h = arg;
    struct http2_stream *s = source->ptr;
    if (h->dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (h->ops->blocked(h->arg))
        return NGHTTP2_ERR_WOULDBLOCK; /* called again for the same frame by a later pump */
    struct str parts[WRITE_PARTS_MAX] = {{(const char *)head, 9}};
    size_t n_parts = 1;
    bool queued = http2_queued(s) > 0;
    while (n) {
        n -= queued && http2_queued(s) ? take_queued(s, &parts[n_parts], n)
                                       : take_part(s, &parts[n_parts], n);
        if (++n_parts == WRITE_PARTS_MAX) {
            h->ops->write(h->arg, parts, n_parts);
            n_parts = 0;
        }
    }
    if (n_parts)
        h->ops->write(h->arg, parts, n_parts);
    if (queued && http2_queued(s) == 0) {
        buf_fini(&s->out);
        s->out_at = 0;
        s->notify = true;
        event_due(s);
    }
    return 0;
}

static void keep(struct http2_stream *s, struct str bytes)
{
    if (s->out_at > s->out.n / 2) {
        buf_consume(&s->out, s->out_at);
        s->out_at = 0;
    }
    buf_str(&s->out, bytes);
    if (s->out.failed)
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
    else
        s->session->pending += bytes.n;
}

/* What the peer did not take of the caller's parts. */
static void keep_rest(struct http2_stream *s)
{
    for (size_t i = 0; i < s->n_parts && !s->closed; i++)
        keep(s, str_sub(s->parts[i], i ? 0 : s->part_at, s->parts[i].n));
    s->parts = NULL;
    s->n_parts = s->part_at = 0;
}

size_t http2_write(struct http2_stream *s, const struct str *parts, size_t n_parts, bool fin)
{
    struct http2 *h = s->session;
    if (h->dead || s->closed || s->fin)
        return 0;
    s->parts = parts;
    s->n_parts = n_parts;
    s->fin = fin;
    if (http2_queued(s))
        keep_rest(s); /* behind what waits already */
    (void)nghttp2_session_resume_data(h->session, s->id);
    http2_pump(h);
    keep_rest(s);
    return http2_queued(s);
}

static nghttp2_nv nv(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

void http2_respond(struct http2_stream *s, int status, const struct http_header *fields, size_t n,
                   bool bodiless)
{
    struct http2 *h = s->session;
    if (h->dead || s->closed || s->responded)
        return;
    char code[12];
    snprintf(code, sizeof code, "%03d", status);
    nghttp2_nv *v = arena_raw(s->arena, (n + 1) * sizeof *v);
    v[0] = nv(STR(":status"), str_z(code));
    for (size_t i = 0; i < n; i++)
        v[i + 1] = nv(fields[i].name, http_safe_value(s->arena, fields[i].value));
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_body};
    s->responded = true;
    s->fin = bodiless;
    if (nghttp2_submit_response(h->session, s->id, v, n + 1, bodiless ? NULL : &body))
        http2_reset(s, NGHTTP2_INTERNAL_ERROR);
    if (bodiless)
        http2_pump(h);
}

void http2_reset(struct http2_stream *s, uint32_t code)
{
    struct http2 *h = s->session;
    if (h->dead || s->closed)
        return;
    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code);
    http2_pump(h);
}

void http2_goaway(struct http2 *h)
{
    if (h->dead)
        return;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    http2_pump(h);
}

void http2_stream_fini(struct http2_stream *s)
{
    drop_body(s);
    buf_fini(&s->out);
}

/* ---- driving ---- */

void http2_pump(struct http2 *h)
{
    if (h->receiving || h->sending)
        return;
    h->sending = true;
    while (!h->dead && !h->ops->blocked(h->arg)) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        if (n <= 0 || h->dead)
            break;
        h->ops->write(h->arg, &(struct str){(const char *)p, (size_t)n}, 1);
    }
    h->sending = false;
}

static void call_back(struct http2_stream *s)
{
    struct http2 *h = s->session;
    if (s->closed) {
        h->streams--;
        h->bodies -= s->body.n;
        h->pending -= http2_queued(s);
        must(h->streams || (h->bodies == 0 && h->pending == 0));
        h->ops->closed(h->arg, s, s->in_order);
    } else if (s->notify && http2_queued(s) == 0) {
        s->notify = false;
        h->ops->drained(h->arg, s);
    }
}

static bool deliver_one(struct http2 *h)
{
    /* A peer that reads no answers gets no more of them until it does. */
    struct list *first = h->pending < HTTP2_PENDING_MAX ? list_pop_front(&h->ready) : NULL;
    if (!first)
        return false;
    struct http2_stream *s = list_entry(first, struct http2_stream, ready);
    s->delivered = true;
    h->ops->request(h->arg, s);
    return true;
}

void http2_dispatch(struct http2 *h)
{
    h->dispatching = true;
    do {
        struct list *event;
        while (!h->dead && (event = list_pop_front(&h->events)))
            call_back(list_entry(event, struct http2_stream, event));
    } while (!h->dead && deliver_one(h));
    h->dispatching = false;
}

int http2_feed(struct http2 *h, struct str bytes, int64_t now_ms)
{
    if (h->dead)
        return 0;
    h->now_ms = now_ms;
    h->dispatching = true;
    h->receiving = true;
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    h->receiving = false;
    do {
        http2_dispatch(h);
        h->dispatching = true;
        http2_pump(h);
    } while (!h->dead && !list_empty(&h->events));
    h->dispatching = false;
    if (h->dead)
        return 0;
    bool over = !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
    return n < 0 || over ? -ERR_BAD_REQUEST : 0;
}

/* ---- setting up ---- */

/*
 * nghttp2 keeps a buffer of FRAME_BYTES for each connection and uses a few hundred bytes of it,
 * unless a response has a very long head. From the heap it would soon lie on pages that something
 * else had touched; on pages of its own most of it costs nothing. It is the one allocation of this
 * size made while the session is set up.
 */
enum { FRAME_BYTES_MIN = 16384, FRAME_BYTES_MAX = 32768 };

static void *take_memory(size_t n, void *arg)
{
    struct http2 *h = arg;
    if (h->frame || n < FRAME_BYTES_MIN || n > FRAME_BYTES_MAX)
        return malloc(n);
    void *p =
        mmap(NULL, FRAME_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    return h->frame = p;
}

static void give_memory(void *p, void *arg)
{
    struct http2 *h = arg;
    if (!p || p != h->frame) {
        free(p);
        return;
    }
    munmap(p, FRAME_BYTES_MAX);
    h->frame = NULL;
}

static void *take_zeroed(size_t count, size_t size, void *arg)
{
    return calloc(count, size);
}

static void *resize_memory(void *p, size_t n, void *arg)
{
    struct http2 *h = arg;
    if (!p)
        return take_memory(n, arg);
    if (p != h->frame)
        return realloc(p, n);
    if (n <= FRAME_BYTES_MAX)
        return p;
    void *larger = malloc(n);
    if (larger) {
        memcpy(larger, p, FRAME_BYTES_MAX);
        give_memory(p, arg);
    }
    return larger;
}

static nghttp2_session_callbacks *callbacks(void)
{
    nghttp2_session_callbacks *c;
    must(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(c, send_body);
    return c;
}

static nghttp2_option *options(void)
{
    nghttp2_option *o;
    must(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    /* Cancelling watches is ordinary; opening and cancelling as fast as the wire allows is not. */
    nghttp2_option_set_stream_reset_rate_limit(o, 1000, 100);
    nghttp2_option_set_max_continuations(o, 8);
    return o;
}

static void submit_settings(struct http2 *h)
{
    nghttp2_settings_entry s[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->limits->header_bytes_max},
    };
    must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, s, ARRAY_LEN(s)) == 0);
    must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                               HTTP2_CONNECTION_WINDOW) == 0);
}

struct http2 *http2_new(const struct http_limits *limits, size_t *bodies,
                        const struct http2_ops *ops, void *arg)
{
    struct http2 *h = xcalloc(1, sizeof *h);
    h->limits = limits;
    h->ops = ops;
    h->arg = arg;
    h->all_bodies = bodies;
    h->bodies_max = MAX(limits->body_bytes_max * 4, (size_t)HTTP2_BODIES_MIN);
    h->frames_left = HTTP2_IDLE_FRAMES_BURST;
    list_init(&h->ready);
    list_init(&h->events);
    nghttp2_session_callbacks *c = callbacks();
    nghttp2_option *o = options();
    nghttp2_mem memory = {h, take_memory, give_memory, take_zeroed, resize_memory};
    must(nghttp2_session_server_new3(&h->session, c, h, o, &memory) == 0);
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(o);
    submit_settings(h);
    return h;
}

void http2_abandon(struct http2 *h)
{
    h->dead = true;
    while (list_pop_front(&h->ready)) {
        /* their owner frees them */
    }
    while (list_pop_front(&h->events)) {
    }
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    http2_abandon(h);
    nghttp2_session_del(h->session);
    free(h);
}
