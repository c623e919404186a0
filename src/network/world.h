/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h: for tests of the whole network: a host in a namespace of its own, a neighbour beyond
 * its uplink, pods with programs that serve and ask.
 */
#ifndef BARQUE_NETWORK_WORLD_H
#define BARQUE_NETWORK_WORLD_H

#include "network/testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "network/network.h"

/* ---- the world ---- */

enum { PODS_MAX = 200, OUTSIDE_MTU = 1400 };

static struct loop *loop;
static char data_dir[] = "/tmp/barque-network-XXXXXX";
static struct arena arena = ARENA_INIT;
static int outside_pid; /* holds a namespace beyond the uplink */
static char outside[64];

UNUSED static void print_trouble(void *arg, const struct err *e)
{
    print_message("trouble: %.*s\n", STR_ARG(e->message));
}

UNUSED static struct network_config config(void)
{
    return (struct network_config){
        .name = STR("bqt"),
        .data_dir = str_z(data_dir),
        .node_name = STR("node-1"),
        .pod_cidr = {STR("10.244.0.0/24")},
        .cluster_cidr = {STR("10.244.0.0/16")},
        .service_cidr = {STR("10.96.0.0/16")},
        .dns_address = {STR("10.96.0.10")},
        .resolv_conf = STR("/dev/null"),
        .trouble = print_trouble,
    };
}

UNUSED static void set_true(void *flag)
{
    *(bool *)flag = true;
    loop_stop(loop);
}

struct start_result {
    bool done;
    int code;
    char message[300];
};

UNUSED static void on_started(void *arg, const struct err *e)
{
    struct start_result *r = arg;
    r->done = true;
    r->code = e ? -(int)e->code : 0;
    if (e)
        snprintf(r->message, sizeof r->message, "%.*s", STR_ARG(e->message));
    loop_stop(loop);
}

UNUSED static struct network *start_network(const struct network_config *c)
{
    struct err e = ERR_INIT(&arena);
    struct network *n = network_new(loop, c, &e);
    if (!n)
        fail_msg("%.*s", STR_ARG(e.message));
    struct start_result r = {0};
    network_start(n, on_started, &r);
    run_until(loop, &r.done);
    if (r.code)
        fail_msg("%s", r.message);
    return n;
}

UNUSED static struct network *network_up(void)
{
    struct network_config c = config();
    return start_network(&c);
}

UNUSED static void network_down(struct network *n)
{
    bool closed = false;
    network_close(n, set_true, &closed);
    run_until(loop, &closed);
}

UNUSED static void purge(void)
{
    struct err e = ERR_INIT(&arena);
    if (network_purge(str_z(data_dir), &e))
        fail_msg("%.*s", STR_ARG(e.message));
}

UNUSED static void settle(struct network *n)
{
    bool done = false;
    network_settle(n, set_true, &done);
    run_until(loop, &done);
}

/* ---- pods ---- */

struct pod {
    struct network_pod_add add;
    struct network_pod_remove remove;
    char id[32];
    bool done;
    int error;
    char ip[IP_TEXT_MAX];
};

UNUSED static void on_added(struct network_pod_add *op, int error, const struct err *e)
{
    struct pod *p = CONTAINER_OF(op, struct pod, add);
    p->done = true;
    p->error = error;
    if (error)
        print_message("pod %s: %.*s\n", p->id, STR_ARG(e->message));
    else
        ip_text(op->pod.ips[0], p->ip);
    loop_stop(loop);
}

UNUSED static void on_removed(struct network_pod_remove *op, int error, const struct err *e)
{
    struct pod *p = CONTAINER_OF(op, struct pod, remove);
    p->done = true;
    p->error = error;
    loop_stop(loop);
}

UNUSED static void begin_pod(struct network *n, struct pod *p, const char *id)
{
    snprintf(p->id, sizeof p->id, "%s", id);
    p->done = false;
    p->add.id = str_z(p->id);
    p->add.done = on_added;
    network_pod_add(n, &p->add);
}

UNUSED static void add_pod(struct network *n, struct pod *p, const char *id)
{
    begin_pod(n, p, id);
    run_until(loop, &p->done);
    assert_int_equal(p->error, 0);
}

UNUSED static void remove_pod(struct network *n, struct pod *p)
{
    p->done = false;
    p->remove = (struct network_pod_remove){.id = str_z(p->id), .done = on_removed};
    network_pod_remove(n, &p->remove);
    run_until(loop, &p->done);
    assert_int_equal(p->error, 0);
}

/* ---- programs in pods ---- */

/* A child that does not outlive the test, nor holds the network's sockets. */
UNUSED static int fork_child(void)
{
    int pid = fork();
    must(pid >= 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_storage a = {0};
        socklen_t n = sizeof a;
        if (getsockname(fd, (struct sockaddr *)&a, &n) == 0 &&
            (a.ss_family == AF_INET || a.ss_family == AF_INET6))
            close(fd);
    }
    return 0;
}

UNUSED static void enter(const char *netns)
{
    if (!netns)
        return;
    CLEANUP(close_fd) int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        _exit(250);
}

UNUSED static int bound_socket(int type, uint16_t port)
{
    int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || (type == SOCK_STREAM && listen(fd, 64)))
        _exit(251);
    return fd;
}

UNUSED static void answer_text(char *out, size_t room, const char *name,
                               const struct sockaddr_in6 *peer)
{
    char text[INET6_ADDRSTRLEN];
    struct str ip = str_z(inet_ntop(AF_INET6, &peer->sin6_addr, text, sizeof text));
    str_skip(&ip, STR("::ffff:"));
    snprintf(out, room, "%s %.*s", name, STR_ARG(ip));
}

/* Answers every connection and datagram with its name and the client's address. */
UNUSED static int serve(const char *netns, uint16_t port, const char *name)
{
    int ready[2];
    must(pipe(ready) == 0);
    int pid = fork_child();
    if (pid == 0) {
        enter(netns);
        struct pollfd fds[] = {{.fd = bound_socket(SOCK_STREAM, port), .events = POLLIN},
                               {.fd = bound_socket(SOCK_DGRAM, port), .events = POLLIN}};
        must(write(ready[1], "", 1) == 1);
        close(ready[1]);
        for (;;) {
            char text[128];
            struct sockaddr_in6 peer;
            socklen_t n = sizeof peer;
            poll(fds, 2, -1);
            if (fds[0].revents) {
                int fd = accept(fds[0].fd, (struct sockaddr *)&peer, &n);
                answer_text(text, sizeof text, name, &peer);
                if (write(fd, text, strlen(text)) < 0)
                    _exit(97);
                close(fd);
            }
            if (fds[1].revents) {
                recvfrom(fds[1].fd, text, sizeof text, 0, (struct sockaddr *)&peer, &n);
                answer_text(text, sizeof text, name, &peer);
                sendto(fds[1].fd, text, strlen(text), 0, (struct sockaddr *)&peer, n);
            }
        }
    }
    char c;
    close(ready[1]);
    must(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    return pid;
}

UNUSED static void stop(int pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A UDP client that keeps its socket, and so its flow, over several questions. */
UNUSED static int ask_on(int fd, const struct sockaddr_in6 *to, int type, char *text, size_t room)
{
    struct timeval limit = {.tv_usec = 300000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (type == SOCK_STREAM && connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        return errno == EINPROGRESS ? ETIMEDOUT : errno;
    if (type == SOCK_DGRAM &&
        (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 || send(fd, "?", 1, 0) < 0))
        return errno;
    ssize_t n = recv(fd, text, room - 1, 0);
    if (n < 0)
        return errno == EAGAIN ? ETIMEDOUT : errno;
    text[n] = 0;
    return 0;
}

/* A socket of that type, and the address. */
UNUSED static int socket_to(const char *ip, uint16_t port, int type, struct sockaddr_in6 *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool six = strchr(ip, ':');
    *ret = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    must(inet_pton(six ? AF_INET6 : AF_INET, ip,
                   six ? (void *)&ret->sin6_addr : (void *)&v4.sin_addr) == 1);
    if (!six)
        memcpy(ret, &v4, sizeof v4);
    return socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
}

static char answer[128];

/* 0 and the answer, or an errno. netns NULL: from the host. */
UNUSED static int ask_from(const char *netns, int type, const char *ip, uint16_t port)
{
    int back[2], status = 0;
    must(pipe(back) == 0);
    int pid = fork_child();
    if (pid == 0) {
        char text[128] = "";
        enter(netns);
        struct sockaddr_in6 to;
        int fd = socket_to(ip, port, type, &to);
        int error = ask_on(fd, &to, type, text, sizeof text);
        must(write(back[1], text, strlen(text) + 1) > 0);
        _exit(error);
    }
    close(back[1]);
    ssize_t n = read(back[0], answer, sizeof answer - 1);
    answer[MAX(n, 0)] = 0;
    close(back[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define assert_answer(netns, type, ip, port, want)                                                 \
    do {                                                                                           \
        int error_ = ask_from(netns, type, ip, port);                                              \
        if (error_)                                                                                \
            fail_msg("%s:%d: %s", ip, (int)(port), strerror(error_));                              \
        const char *want_ = (want);                                                                \
        if (want_)                                                                                 \
            assert_string_equal(answer, want_);                                                    \
    } while (0)

/* ---- services ---- */

struct svc {
    const char *name, *cluster_ip;
    uint16_t port, node_port, target_port;
    enum network_protocol protocol;
    const char *const *pods; /* addresses, NULL at the end */
    const char *external_ip, *ingress_ip, *source_range;
    uint32_t affinity_s;
    bool external_local, internal_local, elsewhere, terminating;
};

UNUSED static void set_endpoints(struct network *n, const struct svc *s)
{
    struct err e = ERR_INIT(&arena);
    struct network_endpoint eps[PODS_MAX] = {0};
    struct network_slice_port port = {STR("p"), s->protocol ? s->protocol : NETWORK_TCP,
                                      s->target_port};
    char name[80];
    snprintf(name, sizeof name, "%s-x", s->name);
    struct network_slice sl = {.namespace_ = STR("default"),
                               .name = str_z(name),
                               .service = str_z(s->name),
                               .ports = &port,
                               .port_count = 1,
                               .endpoints = eps};
    for (; s->pods && s->pods[sl.endpoint_count]; sl.endpoint_count++)
        eps[sl.endpoint_count] =
            (struct network_endpoint){.address = str_z(s->pods[sl.endpoint_count]),
                                      .node_name = s->elsewhere ? STR("node-2") : STR("node-1"),
                                      .ready = !s->terminating,
                                      .serving = true,
                                      .terminating = s->terminating};
    assert_int_equal(network_slice_set(n, &sl, &e), 0);
}

UNUSED static void set_service(struct network *n, const struct svc *s)
{
    struct err e = ERR_INIT(&arena);
    struct network_service_port port = {STR("p"), s->protocol ? s->protocol : NETWORK_TCP, s->port,
                                        s->node_port};
    struct str cluster_ip = str_z(s->cluster_ip), external = str_z(s->external_ip);
    struct str ingress = str_z(s->ingress_ip), range = str_z(s->source_range);
    struct network_service v = {
        .namespace_ = STR("default"),
        .name = str_z(s->name),
        .type = s->ingress_ip  ? NETWORK_LOAD_BALANCER
                : s->node_port ? NETWORK_NODE_PORT
                               : NETWORK_CLUSTER_IP,
        .cluster_ips = &cluster_ip,
        .cluster_ip_count = 1,
        .external_ips = &external,
        .external_ip_count = s->external_ip != NULL,
        .ingress_ips = &ingress,
        .ingress_ip_count = s->ingress_ip != NULL,
        .source_ranges = &range,
        .source_range_count = s->source_range != NULL,
        .ports = &port,
        .port_count = 1,
        .affinity_timeout_s = s->affinity_s,
        .external_local = s->external_local,
        .internal_local = s->internal_local,
    };
    assert_int_equal(network_service_set(n, &v, &e), 0);
    set_endpoints(n, s);
}

UNUSED static void drop_service(struct network *n, const char *name)
{
    char slice[80];
    snprintf(slice, sizeof slice, "%s-x", name);
    network_service_remove(n, STR("default"), str_z(name));
    network_slice_remove(n, STR("default"), str_z(slice));
}

/* ---- fixtures ---- */

UNUSED static void in_outside(const char *netns)
{
    enter(netns);
    must(system("ip link set lo up; ip link set out0 up; ip addr add 192.0.2.2/24 dev out0;"
                "ip route add 10.96.0.0/16 via 192.0.2.1; ip route add 203.0.113.0/24 via "
                "192.0.2.1") == 0);
    _exit(0);
}

/* A neighbour of the host: 192.0.2.2, on the link whose host end is up0. */
UNUSED static int make_world(void **state)
{
    isolate(state);
    if (!isolated)
        return 0;
    struct err e = ERR_INIT(&arena);
    must(mkdtemp(data_dir) != NULL);
    loop = loop_new(&e);
    must(loop != NULL);
    int ready[2];
    char c;
    must(pipe(ready) == 0);
    outside_pid = fork_child();
    if (outside_pid == 0) {
        must(unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1);
        for (;;)
            pause();
    }
    must(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    snprintf(outside, sizeof outside, "/proc/%d/ns/net", outside_pid);
    run_command("ip link add up0 mtu %d type veth peer name out0 netns %d && "
                "ip link set up0 addrgenmode none && ip addr add 192.0.2.1/24 dev up0 && "
                "ip link set up0 up && "
                "ip route add default via 192.0.2.2",
                OUTSIDE_MTU, outside_pid);
    int pid = fork(), status;
    if (pid == 0)
        in_outside(outside);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

UNUSED static int end_world(void **state)
{
    if (!isolated)
        return 0;
    stop(outside_pid);
    loop_free(loop);
    run_command("rm -f %s.*; rmdir %s", data_dir, data_dir);
    arena_fini(&arena);
    return 0;
}

UNUSED static void stop_loop(struct timer *t)
{
    loop_stop(loop);
}

/* Which of the backends answer: a bit per letter. */
UNUSED static unsigned who_answers(const char *netns, const char *ip, uint16_t port, int tries)
{
    unsigned seen = 0;
    for (int i = 0; i < tries; i++) {
        assert_answer(netns, SOCK_STREAM, ip, port, NULL);
        seen |= 1u << (answer[0] - 'a');
    }
    return seen;
}

#define WORLD_TESTS(...)                                                                           \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests_[] = {__VA_ARGS__};                                          \
        return cmocka_run_group_tests(tests_, make_world, end_world);                              \
    }

#endif
