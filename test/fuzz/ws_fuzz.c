/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile bytes for either role. Whatever comes back must itself be a valid stream for the other
 * role, and pieces must form messages. */
#include "fuzz.h"
#include "http/ws.h"

enum { MESSAGE_MAX = 1 << 16 };

struct end {
    struct ws w;
    bool in_message;
    size_t message_n;
    struct buf echo;
};

static void on_piece(void *arg, enum ws_type type, struct str bytes, bool first, bool last)
{
    struct end *e = arg;
    must(first == !e->in_message);
    must(!e->w.close_sent);
    e->message_n = (first ? 0 : e->message_n) + bytes.n;
    must(e->message_n <= MESSAGE_MAX);
    e->in_message = !last;
    buf_str(&e->echo, bytes);
    if (!last)
        return;
    must(type == WS_BINARY || str_is_utf8(buf_view(&e->echo)));
    struct str whole = buf_view(&e->echo);
    ws_send(&e->w, type, &whole, 1);
    buf_clear(&e->echo);
}

static void on_closed(void *arg, uint16_t code, struct str reason)
{
    must(str_is_utf8(reason) && code >= 1000 && code < 5000);
}

static void counting_random(void *arg, void *p, size_t n)
{
    memset(p, 0x5a, n);
}

static void ignore_piece(void *arg, enum ws_type type, struct str bytes, bool first, bool last)
{
}

static const struct ws_ops end_ops = {on_piece, NULL, on_closed, counting_random};
static const struct ws_ops mirror_ops = {ignore_piece, NULL, on_closed, counting_random};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    uint8_t how = fuzz_byte(&in);
    enum ws_role role = how & 1 ? WS_CLIENT : WS_SERVER;
    size_t step = (size_t)(how >> 1) + 1;
    struct end e = {.echo = BUF_INIT(MESSAGE_MAX)};
    struct ws mirror;
    ws_init(&e.w, role, &end_ops, &e);
    ws_init(&mirror, role == WS_SERVER ? WS_CLIENT : WS_SERVER, &mirror_ops, NULL);
    e.w.message_max = MESSAGE_MAX;
    int r = 0;
    for (size_t at = 0; at < in.n && r == 0; at += step)
        r = ws_feed(&e.w, str_sub(fuzz_rest(&in), at, at + step));
    must(r == 0 || e.w.close_sent);
    must(!e.w.out.failed);
    int seen = ws_feed(&mirror, buf_view(&e.w.out));
    must(seen == (e.w.close_sent ? WS_CLOSED : 0));
    ws_fini(&e.w);
    ws_fini(&mirror);
    buf_fini(&e.echo);
    return 0;
}
