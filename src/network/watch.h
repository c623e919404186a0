/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h: hears when somebody else takes the nftables table away ("nft flush ruleset", a firewall
 * that restarts), so that it can be made again at once.
 */
#ifndef BARQUE_NETWORK_WATCH_H
#define BARQUE_NETWORK_WATCH_H

#include "base/err.h"
#include "loop/loop.h"

struct table_watch {
    struct loop *loop;
    struct fd_watch watch;
    int fd;            /* -1: not watching */
    uint32_t own_port; /* netlink port whose changes are ours */
    const char *table;
    void (*lost)(void *arg);
    void *arg;
};

/* Changes made through own_fd are ours. table must outlive the watch. */
int table_watch_start(struct table_watch *w, struct loop *l, int own_fd, const char *table,
                      void (*lost)(void *arg), void *arg, struct err *e) MUST_USE;
/* No effect on a zeroed watch. */
void table_watch_stop(struct table_watch *w);

#endif
