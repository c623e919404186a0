/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "engine/files.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

enum { PROC_BYTES_MAX = 1 << 20 };

enum kind { UTS, IPC, NET, KINDS };

static const struct {
    int flag;
    const char *file;
} kinds[KINDS] = {
    [UTS] = {CLONE_NEWUTS, "/proc/thread-self/ns/uts"},
    [IPC] = {CLONE_NEWIPC, "/proc/thread-self/ns/ipc"},
    [NET] = {CLONE_NEWNET, "/proc/thread-self/ns/net"},
};

/* Where the thread came from. */
struct home {
    int fds[KINDS];
};

static int leave_home(struct home *h, struct err *e)
{
    for (int k = 0; k < KINDS; k++)
        h->fds[k] = -1;
    for (int k = 0; k < KINDS; k++) {
        h->fds[k] = open(kinds[k].file, O_RDONLY | O_CLOEXEC);
        if (h->fds[k] < 0)
            return err_errno(e, errno, "open %s", kinds[k].file);
    }
    return 0;
}

static void go_home(struct home *h)
{
    for (int k = 0; k < KINDS; k++) {
        if (h->fds[k] < 0)
            continue;
        must(setns(h->fds[k], kinds[k].flag) == 0);
        close(h->fds[k]);
    }
}

/* ---- pins ---- */

bool namespace_pinned(const char *pin)
{
    struct statfs fs;
    return statfs(pin, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

int namespace_unpin(const char *pin, struct err *e)
{
    if (umount2(pin, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        return err_errno(e, errno, "unmount %s", pin);
    if (unlink(pin) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove %s", pin);
    return 0;
}

static int pin(enum kind k, const char *path, struct err *e)
{
    int r = namespace_unpin(path, e);
    if (r < 0)
        return r;
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return err_errno(e, errno, "create %s", path);
    if (mount(kinds[k].file, path, NULL, MS_BIND, NULL) < 0)
        return err_errno(e, errno, "pin namespace at %s", path);
    return 0;
}

/* ---- what is set inside ---- */

static int loopback_up(struct err *e)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    CLEANUP(close_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
        return err_errno(e, errno, "set loopback up");
    return 0;
}

static bool is_ipc_sysctl(struct str name)
{
    static const char *const exact[] = {"kernel/msgmax", "kernel/msgmnb",         "kernel/msgmni",
                                        "kernel/sem",    "kernel/shmall",         "kernel/shmmax",
                                        "kernel/shmmni", "kernel/shm_rmid_forced"};
    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        if (str_eqz(name, exact[i]))
            return true;
    return str_has_prefix(name, STR("fs/mqueue/"));
}

static bool is_uts_sysctl(struct str name)
{
    return str_eqz(name, "kernel/hostname") || str_eqz(name, "kernel/domainname");
}

static bool sysctl_allowed(const struct namespace_plan *plan, struct str name)
{
    if (str_find(name, STR("..")) >= 0)
        return false;
    return (plan->net_pin && str_has_prefix(name, STR("net/"))) ||
           (plan->ipc_pin && is_ipc_sysctl(name)) || (plan->uts_pin && is_uts_sysctl(name));
}

/* Names may be written with dots or with slashes; the first separator tells which, and the other
 * character then stands for itself ("net/ipv4/conf/eth0.1/forwarding"), as sysctl(8) has it. */
static struct str sysctl_path(struct arena *a, struct str name)
{
    ptrdiff_t dot = str_index(name, '.'), slash = str_index(name, '/');
    struct str path = arena_str(a, name);
    if (dot < 0 || (slash >= 0 && slash < dot))
        return path;
    char *p = arena_raw(a, name.n + 1);
    for (size_t i = 0; i < name.n; i++)
        p[i] = name.p[i] == '.' ? '/' : name.p[i] == '/' ? '.' : name.p[i];
    p[name.n] = 0;
    return str_n(p, name.n);
}

static int set_sysctls(const struct namespace_plan *plan, struct err *e)
{
    for (size_t i = 0; plan->sysctls && i < plan->sysctls->n; i++) {
        const struct str_pair *s = &plan->sysctls->v[i];
        struct str name = sysctl_path(e->arena, s->key);
        if (!sysctl_allowed(plan, name))
            return err_set(e, ERR_BAD_REQUEST, "sysctl \"%.*s\" is not of the pod's namespaces",
                           STR_ARG(s->key));
        int r =
            file_poke(AT_FDCWD, arena_fmt(e->arena, "/proc/sys/%.*s", STR_ARG(name)).p, s->value);
        if (r < 0)
            return err_errno(e, -r, "set sysctl %.*s to \"%.*s\"", STR_ARG(s->key),
                             STR_ARG(s->value));
    }
    return 0;
}

static int enter_net(const char *path, struct err *e)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return err_errno(e, errno, "enter network namespace %s", path);
    return 0;
}

static int make_inside(const struct namespace_plan *plan, struct err *e)
{
    int flags = (plan->uts_pin ? CLONE_NEWUTS : 0) | (plan->ipc_pin ? CLONE_NEWIPC : 0) |
                (plan->make_net ? CLONE_NEWNET : 0);
    int r = 0;
    if (flags && unshare(flags) < 0)
        return err_errno(e, errno, "make namespaces");
    if (plan->net_pin && !plan->make_net)
        r = enter_net(plan->net_pin, e);
    if (r == 0 && plan->make_net)
        r = loopback_up(e);
    if (r == 0 && plan->uts_pin && plan->hostname.n &&
        sethostname(plan->hostname.p, plan->hostname.n) < 0)
        r = err_errno(e, errno, "set host name \"%.*s\"", STR_ARG(plan->hostname));
    if (r == 0)
        r = set_sysctls(plan, e);
    if (r == 0 && plan->uts_pin)
        r = pin(UTS, plan->uts_pin, e);
    if (r == 0 && plan->ipc_pin)
        r = pin(IPC, plan->ipc_pin, e);
    if (r == 0 && plan->make_net)
        r = pin(NET, plan->net_pin, e);
    return r;
}

int namespaces_make(const struct namespace_plan *plan, struct err *e)
{
    struct home home;
    must(!plan->make_net || plan->net_pin);
    int r = leave_home(&home, e);
    if (r == 0)
        r = make_inside(plan, e);
    go_home(&home);
    return r;
}

int namespace_socket(const char *net_pin, int family, struct err *e)
{
    CLEANUP(close_fd) int home = -1;
    int r = 0;
    if (net_pin) {
        home = open(kinds[NET].file, O_RDONLY | O_CLOEXEC);
        if (home < 0)
            return err_errno(e, errno, "open %s", kinds[NET].file);
        if ((r = enter_net(net_pin, e)) < 0)
            return r;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        r = err_errno(e, errno, "make socket");
    if (net_pin)
        must(setns(home, CLONE_NEWNET) == 0);
    return r < 0 ? r : fd;
}

int namespace_read(const char *net_pin, const char *path, struct arena *a, struct str *ret,
                   struct err *e)
{
    CLEANUP(close_fd) int home = open(kinds[NET].file, O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return err_errno(e, errno, "open %s", kinds[NET].file);
    int r = enter_net(net_pin, e);
    if (r == 0)
        r = file_read(a, AT_FDCWD, path, PROC_BYTES_MAX, ret, e);
    must(setns(home, CLONE_NEWNET) == 0);
    return r;
}
