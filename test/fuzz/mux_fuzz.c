/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile client behind a correct handshake, against a server whose user does something in every
 * callback. The first byte chooses the protocol and how the bytes are cut. In the simulated world,
 * so that an input is one run. */
#include "fuzz.h"
#include "http/http.h"
#include "loop/sim.h"

enum { CHANNELS = 5, IDS = 64 };

struct user {
    struct http_mux *mux;
    bool spdy;
    bool open[IDS], ended[IDS];
    int next, upgraded, closed, more;
};

static int on_open(void *arg, const struct http_headers *h, int channel)
{
    struct user *u = arg;
    must(!u->closed);
    if (u->spdy ? u->next == IDS || channel % 13 == 5 : channel == CHANNELS)
        return -1;
    u->open[u->next] = true;
    return u->next++;
}

static void on_data(void *arg, int channel, struct str bytes)
{
    struct user *u = arg;
    must(bytes.n > 0 && u->open[channel] && !u->ended[channel] && !u->closed);
    switch (bytes.p[0]) {
    case 'Q': http_mux_close(u->mux); return;
    case 'R': http_mux_reset(u->mux, channel); return;
    case 'H': http_mux_half_close(u->mux, channel); return;
    case 'O':
        if (u->spdy && u->next < IDS &&
            http_mux_open(u->mux, &(struct http_headers){0}, u->next) == 0)
            u->open[u->next++] = true;
        return;
    default: http_mux_write(u->mux, (channel + 1) % CHANNELS, bytes);
    }
}

static void on_half_closed(void *arg, int channel)
{
    struct user *u = arg;
    must(u->open[channel] && !u->ended[channel] && !u->closed);
    u->ended[channel] = true;
    http_mux_half_close(u->mux, channel);
}

static void on_gone(void *arg, int channel)
{
    struct user *u = arg;
    must(u->spdy && u->open[channel] && !u->closed);
    u->open[channel] = false;
}

static void on_drained(void *arg)
{
    struct user *u = arg;
    if (u->more++ < 5)
        http_mux_write(u->mux, 0, STR("+"));
}

static void on_closed(void *arg)
{
    struct user *u = arg;
    u->closed++;
}

static const struct http_mux_ops mux_ops = {.open = on_open,
                                            .data = on_data,
                                            .half_closed = on_half_closed,
                                            .gone = on_gone,
                                            .drained = on_drained,
                                            .closed = on_closed};

static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                        "v4.base64.channel.k8s.io", "SPDY/3.1+portforward.k8s.io",
                                        NULL};

static void handle(void *arg, struct http_exchange *x)
{
    struct user *u = arg;
    struct str agreed;
    u->mux = http_upgrade(x, protocols, false, &mux_ops, u, &agreed);
    u->upgraded += u->mux != NULL;
}

static const struct http_handler handler = {handle};

/* ---- the hostile client ---- */

struct peer {
    struct connect c;
    struct stream *s;
    struct timer next;
    struct loop *l;
    struct str head, body;
    size_t step;
};

static void peer_read(struct stream *s, void *arg, struct str bytes)
{
}

static void peer_end(struct stream *s, void *arg, int error)
{
    struct peer *p = arg;
    timer_stop(&p->next);
    p->s = NULL;
    stream_close(s);
}

static const struct stream_ops peer_ops = {peer_read, peer_end, NULL};

static void peer_send(struct timer *t)
{
    struct peer *p = CONTAINER_OF(t, struct peer, next);
    struct str part = str_sub(p->body, 0, p->step);
    p->body = str_sub(p->body, part.n, p->body.n);
    (void)!stream_write(p->s, &part, 1);
    if (p->body.n)
        timer_start(p->l, t, 1, peer_send);
    else
        stream_shutdown(p->s);
}

static void peer_connected(struct connect *c, struct stream *s, int error)
{
    struct peer *p = CONTAINER_OF(c, struct peer, c);
    must(s != NULL);
    p->s = s;
    stream_start(s, &peer_ops, p);
    (void)!stream_write(s, &p->head, 1);
    timer_start(p->l, &p->next, 1, peer_send);
}

#define WS_HEAD(protocol)                                                                          \
    STR("GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"              \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"             \
        "Sec-WebSocket-Protocol: " protocol "\r\n\r\n")

static struct str head_of(unsigned form)
{
    switch (form) {
    case 0: return WS_HEAD("v5.channel.k8s.io");
    case 1: return WS_HEAD("v4.channel.k8s.io");
    case 2: return WS_HEAD("v4.base64.channel.k8s.io");
    case 3: return WS_HEAD("SPDY/3.1+portforward.k8s.io");
    default:
        return STR("POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                   "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    uint8_t how = fuzz_byte(&in);
    unsigned form = (how & 7) % 5;
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct sim *w = sim_new(how);
    struct loop *sl = sim_loop(w, "server"), *pl = sim_loop(w, "peer");
    struct user u = {.spdy = form >= 3};
    struct http_server *server =
        http_server_new(sl, STR("tcp:0.0.0.0:80"), NULL, NULL, &handler, &u, &e);
    must(server != NULL);
    struct peer p = {.l = pl,
                     .head = head_of(form),
                     .body = fuzz_rest(&in),
                     .step = how & 8 ? SIZE_MAX : 1 + (size_t)(how >> 4)};
    if (how & 16)
        sim_set_faults(w, &sim_faults_rough);
    loop_connect(pl, &p.c, STR("tcp:10.0.0.1:80"), 1000000, peer_connected);
    sim_run(w, 3600000);
    must(p.s == NULL && u.upgraded <= 1 && u.closed == u.upgraded);
    http_server_close(server, 0, NULL, NULL);
    sim_run(w, 60000);
    loop_free(sl);
    loop_free(pl);
    sim_free(w);
    arena_fini(&a);
    return 0;
}
