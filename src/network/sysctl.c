/* SPDX-License-Identifier: Apache-2.0 */
#include "network/sysctl.h"

#include <dirent.h>
#include <errno.h>

#define FORWARD4 "net/ipv4/ip_forward"
#define FORWARD6 "net/ipv6/conf/all/forwarding"
#define NOTE4    "; IPv4 forwarding was off"
#define NOTE6    "; IPv6 forwarding was off"

enum { SYSCTLS_MAX = 500 };

static ssize_t get(const char *path, char value[SYSCTL_VALUE_MAX])
{
    CLEANUP(free_ptr) char *full = xasprintf("/proc/sys/%s", path);
    ssize_t n = file_read(full, value, SYSCTL_VALUE_MAX);
    while (n > 0 && value[n - 1] == '\n')
        value[--n] = 0;
    return n;
}

static int set(const char *path, const char *value)
{
    CLEANUP(free_ptr) char *full = xasprintf("/proc/sys/%s", path);
    return file_write(full, str_z(value));
}

static bool is(const char *path, const char *value)
{
    char now[SYSCTL_VALUE_MAX];
    return get(path, now) >= 0 && strcmp(now, value) == 0;
}

/* ---- recording ---- */

static void add(struct record_host *h, const char *path, const char *value)
{
    struct record_sysctl s = {0};
    if (h->sysctls.n >= SYSCTLS_MAX || strlen(path) >= sizeof s.path)
        return;
    snprintf(s.path, sizeof s.path, "%s", path);
    snprintf(s.value, sizeof s.value, "%s", value);
    vec_push(&h->sysctls, s);
}

static void add_as_is(struct record_host *h, const char *path)
{
    char value[SYSCTL_VALUE_MAX];
    if (get(path, value) > 0)
        add(h, path, value);
}

/* Links that forward though the host does not: the switch would turn them off on its way back. */
static void add_forwarding_links(struct record_host *h, const char *conf)
{
    CLEANUP(free_ptr) char *folder = xasprintf("/proc/sys/%s", conf);
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        CLEANUP(free_ptr) char *path = xasprintf("%s/%s/forwarding", conf, entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0 && is(path, "1"))
            add(h, path, "1");
    }
    if (d)
        closedir(d);
}

void sysctl_record_forwarding(struct record_host *h, bool six, bool was_off)
{
    const char *path = six ? FORWARD6 : FORWARD4;
    bool off = is(path, "0");
    if (!off && !was_off)
        return;
    add(h, path, "0");
    if (!off) /* how the rest was is the other cluster's knowledge, and mostly the default */
        return;
    if (!six)
        add_as_is(h, "net/ipv4/conf/all/accept_redirects");
    add_forwarding_links(h, six ? "net/ipv6/conf" : "net/ipv4/conf");
}

static bool records(const struct record_host *h, const char *path)
{
    for (size_t i = 0; i < h->sysctls.n; i++)
        if (strcmp(h->sysctls.v[i].path, path) == 0)
            return true;
    return false;
}

const char *sysctl_note(const struct record_host *h)
{
    bool four = records(h, FORWARD4), six = records(h, FORWARD6);
    return four && six ? NOTE4 NOTE6 : four ? NOTE4 : six ? NOTE6 : "";
}

bool sysctl_note_says_off(const char *alias, bool six)
{
    return strstr(alias, six ? NOTE6 : NOTE4) != NULL;
}

/* ---- setting ---- */

static int turn_on(const char *path, struct err *e)
{
    if (is(path, "1"))
        return 0;
    int error = set(path, "1");
    return error ? err_errno(e, -error, "set %s", path) : 0;
}

static void set_of_link(const char *link, const char *family, const char *name, const char *value)
{
    CLEANUP(free_ptr) char *path = xasprintf("net/%s/conf/%s/%s", family, link, name);
    set(path, value);
}

int sysctl_apply(const struct plan *p, struct err *e)
{
    int error = 0;
    if (p->pods[0].ip.family) {
        error = turn_on(FORWARD4, e);
        /* For NodePorts on 127.0.0.1; nft_table.c keeps pods from using it. */
        set_of_link(p->bridge, "ipv4", "route_localnet", "1");
        set_of_link(p->bridge, "ipv4", "send_redirects", "0");
    }
    if (error || !p->pods[1].ip.family)
        return error;
    set_of_link(p->bridge, "ipv6", "accept_ra", "0");
    /* Nobody else can have its link-local address, without which it asks for no neighbour. */
    set_of_link(p->bridge, "ipv6", "accept_dad", "0");
    return turn_on(FORWARD6, e);
}

int sysctl_restore(const struct record_host *h, struct err *e)
{
    int failed = 0;
    for (size_t i = 0; i < h->sysctls.n; i++) {
        const struct record_sysctl *s = &h->sysctls.v[i];
        int error = is(s->path, s->value) ? 0 : set(s->path, s->value);
        if (error && error != -ENOENT && !failed) /* its link may be gone */
            failed = err_errno(e, -error, "set %s", s->path);
    }
    return failed;
}
