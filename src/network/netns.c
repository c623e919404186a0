/* SPDX-License-Identifier: Apache-2.0 */
#include "network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#define OWN_NETNS "/proc/thread-self/ns/net"

static int pin(const char *path, struct err *e)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return err_errno(e, errno, "create %s", path);
    if (mount(OWN_NETNS, path, NULL, MS_BIND, NULL) < 0) {
        int error = err_errno(e, errno, "mount %s", path);
        unlink(path);
        return error;
    }
    return 0;
}

int netns_create(const char *path, struct err *e)
{
    CLEANUP(close_fd) int home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return err_errno(e, errno, "open %s", OWN_NETNS);
    if (unshare(CLONE_NEWNET) < 0)
        return err_errno(e, errno, "create network namespace");
    int error = pin(path, e);
    if (error) {
        netns_leave(TAKE_FD(home));
        return error;
    }
    return TAKE_FD(home);
}

void netns_leave(int home_fd)
{
    must(setns(home_fd, CLONE_NEWNET) == 0);
    close(home_fd);
}

bool netns_pinned(const char *path)
{
    struct statfs s;
    return statfs(path, &s) == 0 && s.f_type == NSFS_MAGIC;
}

void netns_unpin(const char *path)
{
    while (netns_pinned(path) && umount2(path, MNT_DETACH) == 0)
        ;
    unlink(path);
}
