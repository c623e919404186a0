/* SPDX-License-Identifier: Apache-2.0 */
#include "network/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

enum {
    RECV_ROOM = 1 << 16,
    SNDBUF = 64 << 20, /* a full table must fit one send */
    RCVBUF = 8 << 20,  /* and the answers to it wait until the send returns */
    DUMP_TRIES_MAX = 5,
};

void nl_batch_init(struct nl_batch *b)
{
    *b = (struct nl_batch){.out = BUF_INIT(NL_BATCH_MAX), .seq = 1};
}

void nl_batch_fini(struct nl_batch *b)
{
    buf_fini(&b->out);
    vec_free(&b->notes);
}

void nl_batch_clear(struct nl_batch *b)
{
    b->seq += (uint32_t)b->notes.n;
    buf_clear(&b->out);
    b->notes.n = 0;
}

struct nlmsghdr *nl_begin(struct nl_batch *b, const char *what, int tolerate, uint16_t type,
                          uint16_t flags, const void *header, size_t header_len, size_t room)
{
    void *at = buf_reserve(&b->out, room);
    must(at != NULL);
    b->room = room;
    struct nlmsghdr *m = mnl_nlmsg_put_header(at);
    m->nlmsg_type = type;
    m->nlmsg_flags = NLM_F_REQUEST | flags;
    m->nlmsg_seq = b->seq + (uint32_t)b->notes.n;
    memcpy(mnl_nlmsg_put_extra_header(m, header_len), header, header_len);
    struct nl_note note = {.what = what, .tolerate = tolerate, .owner = b->owner};
    vec_push(&b->notes, note);
    return m;
}

void nl_end(struct nl_batch *b, struct nlmsghdr *m)
{
    must(m->nlmsg_len <= b->room);
    buf_advance(&b->out, NLMSG_ALIGN(m->nlmsg_len));
}

int nl_open(int protocol, struct err *e)
{
    CLEANUP(close_fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return err_errno(e, errno, "open a netlink socket");
    struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    if (bind(fd, (struct sockaddr *)&self, sizeof self) < 0)
        return err_errno(e, errno, "bind a netlink socket");
    static const int on = 1, sndbuf = SNDBUF, rcvbuf = RCVBUF;
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    /* Bounds, not memory: pages are taken only while a large transaction passes. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof sndbuf) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof rcvbuf) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    return TAKE_FD(fd);
}

static int send_all(int fd, const struct buf *out, struct err *e)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    for (;;) {
        ssize_t n = sendto(fd, out->p, out->n, 0, (struct sockaddr *)&kernel, sizeof kernel);
        if (n == (ssize_t)out->n)
            return 0;
        if (n >= 0 || errno != EINTR)
            return err_errno(e, n >= 0 ? EMSGSIZE : errno, "send %zu bytes over netlink", out->n);
    }
}

static ssize_t receive(int fd, char *to, int flags)
{
    for (;;) {
        ssize_t n = recv(fd, to, RECV_ROOM, flags);
        if (n >= 0 || errno != EINTR)
            return n;
    }
}

/* The kernel's own words about an error, or "". */
static const char *kernel_words(const struct nlmsghdr *m)
{
    const struct nlmsgerr *ne = mnl_nlmsg_get_payload(m);
    if (!(m->nlmsg_flags & NLM_F_ACK_TLVS))
        return "";
    size_t skip = sizeof *ne;
    if (!(m->nlmsg_flags & NLM_F_CAPPED))
        skip += ne->msg.nlmsg_len - sizeof ne->msg;
    struct str words = nl_text(nl_find(nl_attrs_of(m, skip), NLMSGERR_ATTR_MSG));
    return words.n && !words.p[words.n] ? words.p : "";
}

static int error_of(const struct nlmsghdr *m)
{
    const struct nlmsgerr *ne = mnl_nlmsg_get_payload(m);
    return m->nlmsg_len < NLMSG_HDRLEN + sizeof *ne ? EBADMSG : -ne->error;
}

static int fail(struct err *e, int error, const char *what, const char *words)
{
    return err_errno(e, error, "%s%s%s%s", what, *words ? " (" : "", words, *words ? ")" : "");
}

/* Notes one answer; the first failure goes to *e. */
static int take_answer(struct nl_batch *b, const struct nlmsghdr *m, int failed, struct err *e)
{
    if (m->nlmsg_type != NLMSG_ERROR || m->nlmsg_seq - b->seq >= b->notes.n)
        return failed;
    struct nl_note *note = &b->notes.v[m->nlmsg_seq - b->seq];
    int error = error_of(m);
    if (error == 0 || error == note->tolerate)
        return failed;
    note->error = error;
    return failed ? failed : fail(e, error, note->what, kernel_words(m));
}

int nl_run(int fd, struct nl_batch *b, struct err *e)
{
    if (b->notes.n == 0)
        return 0;
    int failed = send_all(fd, &b->out, e);
    if (failed)
        return failed;
    CLEANUP(free_ptr) char *in = xmalloc(RECV_ROOM);
    for (;;) {
        ssize_t n = receive(fd, in, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return failed;
        if (n < 0)
            return err_errno(e, errno, "netlink answer");
        int left = (int)n;
        for (struct nlmsghdr *m = (void *)in; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
            failed = take_answer(b, m, failed, e);
    }
}

/* 0: more to come, 1: the end; *torn when the kernel saw a change meanwhile. */
static int dump_part(const struct nl_batch *b, char *in, ssize_t n, bool *torn,
                     int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e)
{
    int left = (int)n;
    for (struct nlmsghdr *m = (void *)in; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
        if (m->nlmsg_seq != b->seq)
            continue;
        *torn |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (m->nlmsg_type == NLMSG_DONE)
            return 1;
        if (m->nlmsg_type == NLMSG_ERROR) {
            *torn |= error_of(m) == EINTR;
            return *torn ? 1 : fail(e, error_of(m), b->notes.v[0].what, kernel_words(m));
        }
        int error = each(m, arg);
        if (error)
            return error;
    }
    return 0;
}

static int dump_once(int fd, struct nl_batch *b, bool *torn,
                     int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e)
{
    int outcome = send_all(fd, &b->out, e);
    CLEANUP(free_ptr) char *in = xmalloc(RECV_ROOM);
    while (outcome == 0) {
        ssize_t n = receive(fd, in, 0);
        if (n < 0)
            return err_errno(e, errno, "netlink dump");
        outcome = dump_part(b, in, n, torn, each, arg, e);
    }
    return MIN(outcome, 0);
}

int nl_dump(int fd, struct nl_batch *b, int (*each)(const struct nlmsghdr *m, void *arg),
            void (*begin)(void *arg), void *arg, struct err *e)
{
    struct nlmsghdr *m = (void *)b->out.p;
    m->nlmsg_flags |= NLM_F_DUMP;
    for (int tries = 0; tries < DUMP_TRIES_MAX; tries++) {
        bool torn = false;
        if (begin)
            begin(arg);
        int error = dump_once(fd, b, &torn, each, arg, e);
        if (error || !torn)
            return error;
        m->nlmsg_seq = ++b->seq;
    }
    return err_set(e, ERR_UNAVAILABLE, "%s: changes faster than it can be read",
                   b->notes.v[0].what);
}

int nl_get(int fd, struct nl_batch *b, int (*each)(const struct nlmsghdr *m, void *arg), void *arg,
           struct err *e)
{
    int error = send_all(fd, &b->out, e);
    if (error)
        return error;
    CLEANUP(free_ptr) char *in = xmalloc(RECV_ROOM);
    ssize_t n = receive(fd, in, 0);
    if (n < 0)
        return err_errno(e, errno, "netlink answer");
    const struct nlmsghdr *m = (void *)in;
    if (!mnl_nlmsg_ok(m, (int)n) || m->nlmsg_seq != b->seq)
        return err_set(e, ERR_IO, "%s: malformed answer", b->notes.v[0].what);
    if (m->nlmsg_type != NLMSG_ERROR)
        return each(m, arg);
    int answer = error_of(m);
    if (answer == ENODEV || answer == ENOENT)
        return 1;
    return fail(e, answer, b->notes.v[0].what, kernel_words(m));
}

/* ---- reading ---- */

struct nl_attrs nl_attrs_of(const struct nlmsghdr *m, size_t header_len)
{
    size_t n = mnl_nlmsg_get_payload_len(m), head = MNL_ALIGN(header_len);
    if (n < head)
        return (struct nl_attrs){0};
    return (struct nl_attrs){(const char *)mnl_nlmsg_get_payload(m) + head, n - head};
}

struct nl_attrs nl_attrs_in(const struct nlattr *nest)
{
    if (!nest)
        return (struct nl_attrs){0};
    return (struct nl_attrs){mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest)};
}

bool nl_next(struct nl_attrs *at, const struct nlattr **ret)
{
    const struct nlattr *a = (const void *)at->p;
    if (!a || !mnl_attr_ok(a, (int)at->n))
        return false;
    size_t step = MIN((size_t)MNL_ALIGN(a->nla_len), at->n);
    at->p += step;
    at->n -= step;
    *ret = a;
    return true;
}

const struct nlattr *nl_find(struct nl_attrs in, uint16_t type)
{
    for (const struct nlattr *a; nl_next(&in, &a);)
        if (mnl_attr_get_type(a) == type)
            return a;
    return NULL;
}

struct str nl_text(const struct nlattr *a)
{
    if (!a)
        return STR_NULL;
    const char *p = mnl_attr_get_payload(a);
    return str_n(p, strnlen(p, mnl_attr_get_payload_len(a)));
}
