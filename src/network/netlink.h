/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink.h: requests to the kernel over netlink, many per system call (RFC 3549; the kernel's
 * Documentation/userspace-api/netlink).
 *
 * A batch is a buffer of messages, each with a note of what it is for. The kernel works through
 * all of them inside the send; a failed message does not stop the next (rtnetlink), or undoes all
 * (a transaction of nf_tables). Everything blocks as long as the kernel takes: call it on a worker
 * or where nothing waits. Attributes are written with libmnl.
 */
#ifndef BARQUE_NETWORK_NETLINK_H
#define BARQUE_NETWORK_NETLINK_H

#include <libmnl/libmnl.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

enum {
    NL_ROOM = 4096,           /* of an ordinary message */
    NL_ROOM_MAX = 65000,      /* of one with a list of elements */
    NL_BATCH_MAX = 256 << 20, /* bytes */
};

struct nl_note {
    const char *what; /* static text: "create veth" */
    uint32_t owner;   /* of the caller's choice */
    int tolerate;     /* this errno is success; 0: none */
    int error;        /* errno the kernel answered; 0: done, or tolerated */
};

struct nl_batch {
    struct buf out;
    VEC(struct nl_note) notes; /* notes.v[i] belongs to the i-th message */
    uint32_t seq;              /* of the first message */
    uint32_t owner;            /* for the notes to come */
    size_t room;               /* of the message under construction */
};

void nl_batch_init(struct nl_batch *b);
void nl_batch_fini(struct nl_batch *b); /* also as CLEANUP */
void nl_batch_clear(struct nl_batch *b);

/* Begins a message with a protocol header of header_len bytes (copied); flags are added to
 * NLM_F_REQUEST. At most room bytes may be put before nl_end. */
struct nlmsghdr *nl_begin(struct nl_batch *b, const char *what, int tolerate, uint16_t type,
                          uint16_t flags, const void *header, size_t header_len, size_t room);
void nl_end(struct nl_batch *b, struct nlmsghdr *m);

/* A socket of the protocol in the caller's network namespace; -code on failure. */
int nl_open(int protocol, struct err *e) MUST_USE;

/* Sends the batch and fills in the notes' errors. Fails with the first one that is not
 * tolerated: the message names what, strerror and the kernel's own words. An empty batch is 0. */
int nl_run(int fd, struct nl_batch *b, struct err *e) MUST_USE;

/* Sends the one message of the batch with NLM_F_DUMP and calls each for every answer; a negative
 * return of each ends the dump with that code, and only closing is left for the socket. A dump that
 * the kernel reports as torn by a change is done again from the start, after begin(arg) (may be
 * NULL) forgot what it had. */
int nl_dump(int fd, struct nl_batch *b, int (*each)(const struct nlmsghdr *m, void *arg),
            void (*begin)(void *arg), void *arg, struct err *e) MUST_USE;

/* Sends the one message and calls each with the single answer (a get by name or key). Returns 1,
 * with each not called, when the kernel says there is no such thing (ENODEV, ENOENT). */
int nl_get(int fd, struct nl_batch *b, int (*each)(const struct nlmsghdr *m, void *arg), void *arg,
           struct err *e) MUST_USE;

/* ---- reading ---- */

/* The attributes of a message behind its protocol header, or inside another attribute. */
struct nl_attrs {
    const char *p;
    size_t n;
};
struct nl_attrs nl_attrs_of(const struct nlmsghdr *m, size_t header_len);
struct nl_attrs nl_attrs_in(const struct nlattr *nest); /* NULL: none */
/* Iterates; stops at what does not fit. */
bool nl_next(struct nl_attrs *at, const struct nlattr **ret);
/* The first of that type, or NULL. */
const struct nlattr *nl_find(struct nl_attrs in, uint16_t type);
/* Its text up to the NUL; NULL: STR_NULL. */
struct str nl_text(const struct nlattr *a);

#endif
