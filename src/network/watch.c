/* SPDX-License-Identifier: Apache-2.0 */
#include "network/watch.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include "network/netlink.h"

enum { ROOM = 1 << 16, READS_MAX = 64 /* per wake-up: others have their turn */ };

static bool is_loss(const struct table_watch *w, const struct nlmsghdr *m)
{
    if (m->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) ||
        m->nlmsg_pid == w->own_port || mnl_nlmsg_get_payload_len(m) < sizeof(struct nfgenmsg))
        return false;
    const struct nfgenmsg *g = mnl_nlmsg_get_payload(m);
    if (g->nfgen_family != NFPROTO_INET)
        return false;
    return str_eqz(nl_text(nl_find(nl_attrs_of(m, sizeof *g), NFTA_TABLE_NAME)), w->table);
}

static void readable(struct fd_watch *fw, bool can_read, bool can_write)
{
    struct table_watch *w = CONTAINER_OF(fw, struct table_watch, watch);
    CLEANUP(free_ptr) char *in = xmalloc(ROOM);
    bool lost = false;
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(w->fd, in, ROOM, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) /* more happened than the buffer holds: most often our own first load */
            continue;
        int left = (int)n;
        for (struct nlmsghdr *m = (void *)in; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
            lost |= is_loss(w, m);
    }
    if (lost)
        w->lost(w->arg);
}

static uint32_t port_of(int fd)
{
    struct sockaddr_nl a = {0};
    socklen_t n = sizeof a;
    return getsockname(fd, (struct sockaddr *)&a, &n) == 0 ? a.nl_pid : 0;
}

int table_watch_start(struct table_watch *w, struct loop *l, int own_fd, const char *table,
                      void (*lost)(void *arg), void *arg, struct err *e)
{
    static const int group = NFNLGRP_NFTABLES;
    CLEANUP(close_fd) int fd = nl_open(NETLINK_NETFILTER, e);
    if (fd < 0)
        return fd;
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return err_errno(e, errno, "listen for nftables changes");
    *w = (struct table_watch){
        .loop = l, .own_port = port_of(own_fd), .table = table, .lost = lost, .arg = arg};
    w->fd = TAKE_FD(fd);
    fd_watch_start(l, &w->watch, w->fd, true, false, readable);
    return 0;
}

void table_watch_stop(struct table_watch *w)
{
    if (!w->loop)
        return;
    fd_watch_stop(&w->watch);
    close_fd(&w->fd);
    w->loop = NULL;
}
