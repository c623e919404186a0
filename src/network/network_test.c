/* SPDX-License-Identifier: Apache-2.0 */
/* What packets meet: pods, services, policies, DNS. */
#include "network/world.h"

static void pods_reach_each_other_and_the_world(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, b = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    int sa = serve(a.add.pod.netns, 8080, "a"), so = serve(outside, 9090, "outside");
    char want[64];
    snprintf(want, sizeof want, "a %s", b.ip);
    assert_answer(b.add.pod.netns, SOCK_STREAM, a.ip, 8080, want);
    assert_answer(b.add.pod.netns, SOCK_DGRAM, a.ip, 8080, want);
    assert_answer(NULL, SOCK_STREAM, a.ip, 8080, "a 10.244.0.1");
    assert_answer(b.add.pod.netns, SOCK_STREAM, "192.0.2.2", 9090, "outside 192.0.2.1");
    /* A pod must not use the route to loopback that NodePorts need. */
    int sh = serve(NULL, 7070, "host");
    snprintf(want, sizeof want, "host %s", b.ip);
    assert_answer(b.add.pod.netns, SOCK_STREAM, "10.244.0.1", 7070, want);
    assert_prints("mtu 1400", "ip link show dev %s", a.add.pod.link);
    stop(sh);
    stop(sa);
    stop(so);
    network_down(n);
    purge();
}

static void services_are_reached_from_everywhere(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, b = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    int sa = serve(a.add.pod.netns, 8080, "a");
    const char *const pods[] = {a.ip, NULL};
    struct svc web = {.name = "web",
                      .cluster_ip = "10.96.0.80",
                      .port = 80,
                      .node_port = 30080,
                      .target_port = 8080,
                      .pods = pods,
                      .external_ip = "203.0.113.5"};
    set_service(n, &web);
    network_synced(n);
    settle(n);
    char from_b[64];
    snprintf(from_b, sizeof from_b, "a %s", b.ip);
    assert_answer(b.add.pod.netns, SOCK_STREAM, "10.96.0.80", 80, from_b);
    assert_answer(NULL, SOCK_STREAM, "10.96.0.80", 80, "a 10.244.0.1");
    assert_answer(outside, SOCK_STREAM, "10.96.0.80", 80, "a 192.0.2.2");
    /* NodePort: by every address of the host, loopback included */
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 30080, "a 192.0.2.2");
    assert_answer(NULL, SOCK_STREAM, "192.0.2.1", 30080, NULL);
    assert_answer(NULL, SOCK_STREAM, "127.0.0.1", 30080, "a 10.244.0.1");
    assert_answer(b.add.pod.netns, SOCK_STREAM, "192.0.2.1", 30080, from_b);
    /* external IP */
    assert_answer(outside, SOCK_STREAM, "203.0.113.5", 80, "a 192.0.2.2");
    assert_answer(b.add.pod.netns, SOCK_STREAM, "203.0.113.5", 80, from_b);
    /* hairpin: a pod that is its own backend */
    assert_answer(a.add.pod.netns, SOCK_STREAM, "10.96.0.80", 80, "a 10.244.0.1");
    assert_answer(a.add.pod.netns, SOCK_STREAM, "192.0.2.1", 30080, "a 10.244.0.1");
    /* a backend that is the host itself, as the API server's is */
    const char *const host[] = {"192.0.2.1", NULL};
    struct svc api = {.name = "api",
                      .cluster_ip = "10.96.0.1",
                      .port = 443,
                      .node_port = 30443,
                      .target_port = 7070,
                      .pods = host};
    int sh = serve(NULL, 7070, "host");
    set_service(n, &api);
    settle(n);
    snprintf(from_b, sizeof from_b, "host %s", b.ip);
    assert_answer(b.add.pod.netns, SOCK_STREAM, "10.96.0.1", 443, from_b);
    assert_answer(NULL, SOCK_STREAM, "10.96.0.1", 443, "host 10.244.0.1");
    assert_answer(NULL, SOCK_STREAM, "127.0.0.1", 30443, NULL);
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 30443, "host 192.0.2.2");
    stop(sh);
    drop_service(n, "api");
    /* what is no service, or has no backend, refuses at once */
    assert_int_equal(ask_from(b.add.pod.netns, SOCK_STREAM, "10.96.0.80", 81), ECONNREFUSED);
    assert_int_equal(ask_from(b.add.pod.netns, SOCK_STREAM, "10.96.9.9", 80), ECONNREFUSED);
    assert_int_equal(ask_from(NULL, SOCK_STREAM, "10.96.9.9", 80), ECONNREFUSED);
    web.pods = NULL;
    set_endpoints(n, &web);
    settle(n);
    assert_int_equal(ask_from(b.add.pod.netns, SOCK_STREAM, "10.96.0.80", 80), ECONNREFUSED);
    assert_int_equal(ask_from(NULL, SOCK_STREAM, "10.96.0.80", 80), ECONNREFUSED);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "192.0.2.1", 30080), ECONNREFUSED);
    drop_service(n, "web");
    settle(n);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "192.0.2.1", 30080), ECONNREFUSED);
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.frontends, 0);
    assert_int_equal(st.commit_failures, 0);
    stop(sa);
    network_down(n);
    purge();
}

static void backends_are_balanced_and_sticky_on_demand(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, b = {0}, c = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    add_pod(n, &c, "c");
    int sa = serve(a.add.pod.netns, 8080, "a"), sb = serve(b.add.pod.netns, 8080, "b");
    const char *const both[] = {a.ip, b.ip, NULL}, *const only_a[] = {a.ip, NULL};
    const char *const only_b[] = {b.ip, NULL};
    struct svc web = {.name = "web",
                      .cluster_ip = "10.96.0.80",
                      .port = 80,
                      .node_port = 30080,
                      .target_port = 8080,
                      .pods = both};
    set_service(n, &web);
    network_synced(n);
    settle(n);
    assert_int_equal(who_answers(c.add.pod.netns, "10.96.0.80", 80, 40), 3);
    web.affinity_s = 600;
    set_service(n, &web);
    settle(n);
    for (int i = 0; i < 3; i++) {
        const char *from = i == 0 ? c.add.pod.netns : i == 1 ? outside : NULL;
        const char *to = i == 1 ? "192.0.2.1" : "10.96.0.80";
        uint16_t port = i == 1 ? 30080 : 80;
        unsigned first = who_answers(from, to, port, 1);
        assert_int_equal(who_answers(from, to, port, 20), first);
    }
    /* A client whose backend goes is sent elsewhere at once, and stays there. */
    web.pods = who_answers(c.add.pod.netns, "10.96.0.80", 80, 1) == 1 ? only_b : only_a;
    unsigned rest = web.pods == only_b ? 2 : 1;
    set_endpoints(n, &web);
    settle(n);
    assert_int_equal(who_answers(c.add.pod.netns, "10.96.0.80", 80, 5), rest);
    web.pods = both;
    set_endpoints(n, &web);
    settle(n);
    assert_int_equal(who_answers(c.add.pod.netns, "10.96.0.80", 80, 20), rest);
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.commit_failures, 0);
    stop(sa);
    stop(sb);
    network_down(n);
    purge();
}

/* A client that keeps its socket: asks, waits for a word on the pipe, asks again. */
static int hold_flow(const char *netns, const char *ip, uint16_t port, int go, int back)
{
    int pid = fork_child();
    if (pid)
        return pid;
    enter(netns);
    struct sockaddr_in6 to;
    int fd = socket_to(ip, port, SOCK_DGRAM, &to);
    for (;;) {
        char c, text[128] = "-";
        if (read(go, &c, 1) != 1)
            _exit(0);
        ask_on(fd, &to, SOCK_DGRAM, text, sizeof text);
        must(write(back, text, 1) == 1);
    }
}

static char ask_again(int go, int back)
{
    char c = 0;
    must(write(go, "", 1) == 1 && read(back, &c, 1) == 1);
    return c;
}

static void udp_flows_follow_the_backends(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, b = {0}, c = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    add_pod(n, &c, "c");
    int sa = serve(a.add.pod.netns, 5353, "a"), sb = serve(b.add.pod.netns, 5353, "b");
    const char *const only_a[] = {a.ip, NULL}, *const only_b[] = {b.ip, NULL};
    struct svc dns = {.name = "dns",
                      .cluster_ip = "10.96.0.53",
                      .port = 53,
                      .node_port = 30053,
                      .target_port = 5353,
                      .protocol = NETWORK_UDP,
                      .pods = only_a};
    set_service(n, &dns);
    network_synced(n);
    settle(n);
    int go[2], back[2], go2[2], back2[2];
    must(pipe(go) == 0 && pipe(back) == 0 && pipe(go2) == 0 && pipe(back2) == 0);
    int inner = hold_flow(c.add.pod.netns, "10.96.0.53", 53, go[0], back[1]);
    int outer = hold_flow(outside, "192.0.2.1", 30053, go2[0], back2[1]);
    assert_int_equal(ask_again(go[1], back[0]), 'a');
    assert_int_equal(ask_again(go2[1], back2[0]), 'a');
    dns.pods = only_b;
    set_endpoints(n, &dns);
    settle(n);
    assert_int_equal(ask_again(go[1], back[0]), 'b');
    assert_int_equal(ask_again(go2[1], back2[0]), 'b');
    stop(inner);
    stop(outer);
    stop(sa);
    stop(sb);
    network_down(n);
    purge();
}

static void policies_are_kept(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, c = {0};
    add_pod(n, &a, "a");
    add_pod(n, &c, "c");
    int sa = serve(a.add.pod.netns, 8080, "a");
    const char *const pods[] = {a.ip, NULL};
    struct svc web = {.name = "web",
                      .cluster_ip = "10.96.0.80",
                      .port = 80,
                      .node_port = 30080,
                      .target_port = 8080,
                      .pods = pods,
                      .ingress_ip = "203.0.113.9",
                      .external_local = true};
    set_service(n, &web);
    network_synced(n);
    settle(n);
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 30080, "a 192.0.2.2");
    /* the only endpoint is elsewhere: nothing for outside, everything for inside */
    web.elsewhere = true;
    set_endpoints(n, &web);
    settle(n);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "192.0.2.1", 30080), ETIMEDOUT);
    assert_answer(c.add.pod.netns, SOCK_STREAM, "192.0.2.1", 30080, NULL);
    assert_answer(NULL, SOCK_STREAM, "203.0.113.9", 80, NULL);
    /* endpoints that end still serve, when there is no other */
    web.elsewhere = false;
    web.terminating = true;
    set_endpoints(n, &web);
    settle(n);
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 30080, "a 192.0.2.2");
    /* sources */
    web.terminating = false;
    web.source_range = "198.51.100.0/24";
    set_service(n, &web);
    settle(n);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "203.0.113.9", 80), ETIMEDOUT);
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 30080, NULL);
    web.source_range = "192.0.2.0/24";
    set_service(n, &web);
    settle(n);
    assert_answer(outside, SOCK_STREAM, "203.0.113.9", 80, "a 192.0.2.2");
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.commit_failures, 0);
    stop(sa);
    network_down(n);
    purge();
}

/* Connects again and again; tells how many attempts failed when asked to stop. */
static int load(const char *ip, uint16_t port, int back, int *ret_pid)
{
    *ret_pid = fork_child();
    if (*ret_pid)
        return 0;
    static volatile sig_atomic_t stopped;
    unsigned failed = 0, done = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    while (!stopped) {
        char text[128];
        struct sockaddr_in6 to;
        int fd = socket_to(ip, port, SOCK_STREAM, &to);
        failed += ask_on(fd, &to, SOCK_STREAM, text, sizeof text) != 0;
        done++;
        close(fd);
        const struct timespec none = {0};
        stopped = sigtimedwait(&term, NULL, &none) == SIGTERM;
    }
    const unsigned result[2] = {failed, done};
    must(write(back, result, sizeof result) == sizeof result);
    _exit(0);
}

static void rolling_updates_lose_nothing(void **state)
{
    NEEDS_ROOT();
    enum { ROUNDS = 15 };
    struct network *n = network_up();
    struct pod pods[ROUNDS + 1] = {0};
    const char *list[3] = {0};
    struct svc web = {
        .name = "web", .cluster_ip = "10.96.0.80", .port = 80, .target_port = 8080, .pods = list};
    add_pod(n, &pods[0], "r0");
    int server = serve(pods[0].add.pod.netns, 8080, "a"), client, back[2];
    list[0] = pods[0].ip;
    set_service(n, &web);
    network_synced(n);
    settle(n);
    must(pipe(back) == 0);
    load("10.96.0.80", 80, back[1], &client);
    for (int i = 1; i <= ROUNDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        add_pod(n, &pods[i], id);
        int next = serve(pods[i].add.pod.netns, 8080, "b");
        list[1] = pods[i].ip;
        set_endpoints(n, &web);
        settle(n);
        list[0] = pods[i].ip;
        list[1] = NULL;
        set_endpoints(n, &web);
        settle(n);
        /* no new connection comes after this; a request under way needs a moment */
        struct timer t = {0};
        timer_start(loop, &t, 20, stop_loop);
        loop_run(loop);
        stop(server);
        remove_pod(n, &pods[i - 1]);
        server = next;
    }
    unsigned result[2];
    kill(client, SIGTERM);
    must(read(back[0], result, sizeof result) == sizeof result);
    waitpid(client, NULL, 0);
    assert_int_equal(result[0], 0);
    assert_true(result[1] > 100);
    stop(server);
    network_down(n);
    purge();
}

/* ---- DNS ---- */

struct dig {
    struct fd_watch watch;
    char *out;
    bool *done;
};

static void dig_output(struct fd_watch *w, bool readable, bool writable)
{
    struct dig *d = CONTAINER_OF(w, struct dig, watch);
    size_t have = strlen(d->out);
    ssize_t n = read(w->fd, d->out + have, 299 - have);
    if (n > 0) {
        d->out[have + (size_t)n] = 0;
        return;
    }
    *d->done = true;
    loop_stop(loop);
}

static void dns_answers_pods(void **state)
{
    NEEDS_ROOT();
    if (!have_program("dig"))
        skip();
    struct network *n = network_up();
    struct pod a = {0};
    add_pod(n, &a, "a");
    const char *const pods[] = {a.ip, NULL};
    struct svc web = {
        .name = "web", .cluster_ip = "10.96.0.80", .port = 80, .target_port = 8080, .pods = pods};
    set_service(n, &web);
    network_synced(n);
    settle(n);
    const char *const tcp[] = {"+notcp", "+tcp"};
    for (int i = 0; i < 2; i++) {
        bool done = false;
        char out[300] = "";
        int back[2];
        must(pipe(back) == 0);
        int pid = fork_child();
        if (pid == 0) {
            enter(a.add.pod.netns);
            dup2(back[1], STDOUT_FILENO);
            execlp("dig", "dig", "+short", "+tries=1", "+time=2", tcp[i], "@10.96.0.10",
                   "web.default.svc.cluster.local", "A", "_p._tcp.web.default.svc.cluster.local",
                   "SRV", NULL);
            _exit(1);
        }
        close(back[1]);
        struct dig d = {.out = out, .done = &done};
        fd_watch_start(loop, &d.watch, back[0], true, false, dig_output);
        run_until(loop, &done);
        fd_watch_stop(&d.watch);
        close(back[0]);
        waitpid(pid, NULL, 0);
        assert_string_equal(out, "10.96.0.80\n0 100 80 web.default.svc.cluster.local.\n");
    }
    network_down(n);
    purge();
}

/* ---- both families ---- */

static void both_families_work(void **state)
{
    NEEDS_ROOT();
    struct err e = ERR_INIT(&arena);
    struct network_config c = config();
    c.pod_cidr[1] = STR("fd00:244::/64");
    c.cluster_cidr[1] = STR("fd00:244::/48");
    c.service_cidr[1] = STR("fd00:96::/112");
    c.dns_address[1] = STR("fd00:96::a");
    struct network *n = start_network(&c);
    struct pod a = {0}, b = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    char ip6[IP_TEXT_MAX], want[64];
    ip_text(a.add.pod.ips[1], ip6);
    int sa = serve(a.add.pod.netns, 8080, "a");
    snprintf(want, sizeof want, "a %s", ip_text(b.add.pod.ips[1], (char[IP_TEXT_MAX]){0}));
    assert_answer(b.add.pod.netns, SOCK_STREAM, ip6, 8080, want);
    struct network_service_port port = {STR("p"), NETWORK_TCP, 80, 30080};
    const struct str ips[] = {STR("10.96.0.80"), STR("fd00:96::80")};
    struct network_service s = {.namespace_ = STR("default"),
                                .name = STR("web"),
                                .type = NETWORK_NODE_PORT,
                                .cluster_ips = ips,
                                .cluster_ip_count = 2,
                                .ports = &port,
                                .port_count = 1,
                                .affinity_timeout_s = 100};
    struct network_slice_port target = {STR("p"), NETWORK_TCP, 8080};
    struct network_endpoint ep = {.address = str_z(ip6), .ready = true, .serving = true};
    struct network_slice sl = {.namespace_ = STR("default"),
                               .name = STR("web-6"),
                               .service = STR("web"),
                               .ports = &target,
                               .port_count = 1,
                               .endpoints = &ep,
                               .endpoint_count = 1};
    assert_int_equal(network_service_set(n, &s, &e), 0);
    assert_int_equal(network_slice_set(n, &sl, &e), 0);
    network_synced(n);
    settle(n);
    assert_answer(b.add.pod.netns, SOCK_STREAM, "fd00:96::80", 80, want);
    assert_answer(NULL, SOCK_STREAM, "fd00:96::80", 80, "a fd00:244::1");
    assert_answer(a.add.pod.netns, SOCK_STREAM, "fd00:96::80", 80, "a fd00:244::1");
    assert_answer(b.add.pod.netns, SOCK_STREAM, "fd00:244::1", 30080, want);
    assert_int_equal(ask_from(b.add.pod.netns, SOCK_STREAM, "fd00:96::81", 80), ECONNREFUSED);
    assert_int_equal(ask_from(b.add.pod.netns, SOCK_STREAM, "10.96.0.80", 80), ECONNREFUSED);
    network_down(n);
    n = start_network(&c);
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.pods, 2);
    assert_int_equal(st.frontends, 4);
    struct network_pod again;
    assert_true(network_pod_find(n, STR("b"), &again));
    assert_answer(again.netns, SOCK_STREAM, "fd00:96::80", 80, want);
    stop(sa);
    network_down(n);
    purge();
}

WORLD_TESTS(cmocka_unit_test(pods_reach_each_other_and_the_world),
            cmocka_unit_test(services_are_reached_from_everywhere),
            cmocka_unit_test(backends_are_balanced_and_sticky_on_demand),
            cmocka_unit_test(udp_flows_follow_the_backends), cmocka_unit_test(policies_are_kept),
            cmocka_unit_test(rolling_updates_lose_nothing), cmocka_unit_test(dns_answers_pods),
            cmocka_unit_test(both_families_work))
