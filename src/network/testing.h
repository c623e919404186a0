/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing.h: for tests that need root: the test program moves into a network and a mount namespace
 * of its own before the first test, so that the machine's network is never touched and everything
 * is gone when it ends. Without the privilege every test is skipped.
 */
#ifndef BARQUE_NETWORK_TESTING_H
#define BARQUE_NETWORK_TESTING_H

#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "loop/loop.h"

static bool isolated;

UNUSED static void link_up(const char *name)
{
    CLEANUP(close_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_flags = IFF_UP};
    memcpy(r.ifr_name, name, strlen(name));
    must(ioctl(fd, SIOCSIFFLAGS, &r) == 0);
}

UNUSED static int isolate(void **state)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        return 0;
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    link_up("lo");
    isolated = true;
    return 0;
}

#define NEEDS_ROOT()                                                                               \
    do {                                                                                           \
        if (!isolated)                                                                             \
            skip();                                                                                \
    } while (0)

#define ISOLATED_TESTS(...)                                                                        \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests_[] = {__VA_ARGS__};                                          \
        return cmocka_run_group_tests(tests_, isolate, NULL);                                      \
    }

/* What a shell command prints; NULL when it fails. Freed by the caller. */
UNUSED PRINTF(1, 2) static char *output_of(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP(buf_fini) struct buf command = BUF_INIT(KIB(64)), out = BUF_INIT(MIB(64));
    buf_vfmt(&command, fmt, ap);
    va_end(ap);
    FILE *f = popen(command.p, "re");
    must(f != NULL);
    for (size_t n = 1; n;) {
        n = fread(buf_reserve(&out, 65536), 1, 65536, f);
        buf_advance(&out, n);
    }
    return pclose(f) == 0 ? buf_take(&out, NULL) : NULL;
}

/* The command must succeed. */
#define run_command(...)                                                                           \
    do {                                                                                           \
        CLEANUP(free_ptr) char *out_ = output_of(__VA_ARGS__);                                     \
        must(out_ != NULL);                                                                        \
    } while (0)

/* Fails unless the command's output has the text. */
#define assert_prints(text, ...)                                                                   \
    do {                                                                                           \
        CLEANUP(free_ptr) char *out_ = output_of(__VA_ARGS__);                                     \
        if (!out_ || !strstr(out_, (text)))                                                        \
            fail_msg("no \"%s\" in:\n%s", (text), out_ ? out_ : "(failed)");                       \
    } while (0)

UNUSED static bool have_program(const char *name)
{
    CLEANUP(free_ptr) char *out = output_of("command -v %s", name);
    return out != NULL;
}

/* Runs the loop until the flag is set; fails after 20 s. */
struct run_limit {
    struct timer timer;
    struct loop *loop;
    bool expired;
};

UNUSED static void run_expired(struct timer *t)
{
    struct run_limit *r = CONTAINER_OF(t, struct run_limit, timer);
    r->expired = true;
    loop_stop(r->loop);
}

UNUSED static void run_until(struct loop *l, const bool *flag)
{
    struct run_limit r = {.loop = l};
    timer_start(l, &r.timer, 20000, run_expired);
    while (!*flag && !r.expired)
        loop_run(l);
    timer_stop(&r.timer);
    assert_true(*flag);
}

#endif
