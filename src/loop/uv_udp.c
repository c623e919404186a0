/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/uv.h"

struct uv_datagrams {
    struct udp base;
    uv_udp_t h;
};

static void datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *b, const struct sockaddr *peer,
                     unsigned flags)
{
    struct uv_datagrams *u = h->data;
    if (n < 0 || !peer || (flags & UV_UDP_PARTIAL))
        return; /* nothing there, or an ICMP error about an earlier send */
    size_t len =
        peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    u->base.received(&u->base, u->base.arg, str_n(b->base, (size_t)n), peer, len);
}

static int udp_open(struct uv_datagrams *u, const struct address *a)
{
    int failed = uv_udp_bind(&u->h, &a->in.any, 0);
    return failed ? failed : uv_udp_recv_start(&u->h, uv_give_read_buffer, datagram);
}

struct udp *uv_backend_udp(struct loop *l, const struct address *a, struct err *e)
{
    struct uv_datagrams *u = xcalloc(1, sizeof *u);
    must(uv_udp_init(uv_of(l), &u->h) == 0);
    u->h.data = u;
    u->base.loop = l;
    struct address real = *a;
    int len = sizeof real.in, failed = udp_open(u, a);
    if (!failed)
        failed = uv_udp_getsockname(&u->h, &real.in.any, &len);
    address_format(u->base.address, sizeof u->base.address, &real);
    if (failed) {
        uv_err(e, failed, "listening on", u->base.address);
        uv_close_and_free((uv_handle_t *)&u->h);
        return NULL;
    }
    uv_real(l)->registered++;
    return &u->base;
}

void uv_backend_udp_send(struct udp *base, struct str bytes, const void *peer, size_t peer_len)
{
    struct uv_datagrams *u = CONTAINER_OF(base, struct uv_datagrams, base);
    uv_buf_t b = {(char *)(uintptr_t)bytes.p, bytes.n};
    /* What the kernel does not take now is lost, as UDP may. */
    (void)uv_udp_try_send(&u->h, &b, 1, peer);
}

void uv_backend_udp_close(struct udp *base)
{
    struct uv_datagrams *u = CONTAINER_OF(base, struct uv_datagrams, base);
    uv_real(base->loop)->registered--;
    uv_close_and_free((uv_handle_t *)&u->h);
}
