/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that come, go, die and are followed by others; what they leave, and what purge leaves. */
#include "network/world.h"

/* What purge must leave as it found it. */
static void keep_host_state(const char *name)
{
    run_command("(ip -o link | sed 's/ state .*//'; ip -o addr | sed s/tentative//; ip "
                "route show table all;"
                "ip -6 route show table all; nft list ruleset;"
                "grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf "
                "/proc/sys/net/ipv6/conf 2>/dev/null | sort; grep %s /proc/mounts;"
                "find %s) > %s.%s",
                data_dir, data_dir, data_dir, name);
}

static void assert_same_state(const char *a, const char *b)
{
    CLEANUP(free_ptr)
    char *diff = output_of("diff %s.%s %s.%s; true", data_dir, a, data_dir, b);
    assert_string_equal(diff, "");
}

static void purge_leaves_the_host_as_it_was(void **state)
{
    NEEDS_ROOT();
    keep_host_state("before");
    struct network *n = network_up();
    struct pod p[3] = {0};
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "p%d", i);
        add_pod(n, &p[i], id);
    }
    network_synced(n);
    settle(n);
    network_down(n);
    assert_prints("inet bqt", "nft list tables");
    purge();
    keep_host_state("after");
    assert_same_state("before", "after");
    purge(); /* nothing to do */
}

static void host_ports_lead_to_pods(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    const struct network_host_port ports[] = {{STR_NULL, 8088, 80, NETWORK_TCP},
                                              {STR("127.0.0.1"), 8089, 80, NETWORK_TCP}};
    struct pod a = {.add = {.host_ports = ports, .host_port_count = 2}};
    struct pod b = {.add = {.host_ports = ports, .host_port_count = 1}};
    add_pod(n, &a, "a");
    int sa = serve(a.add.pod.netns, 80, "a");
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 8088, "a 192.0.2.2");
    assert_answer(NULL, SOCK_STREAM, "127.0.0.1", 8088, NULL);
    assert_answer(NULL, SOCK_STREAM, "127.0.0.1", 8089, NULL);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "192.0.2.1", 8089), ECONNREFUSED);
    begin_pod(n, &b, "b");
    run_until(loop, &b.done);
    assert_int_equal(b.error, -ERR_CONFLICT);
    remove_pod(n, &a);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "192.0.2.1", 8088), ECONNREFUSED);
    add_pod(n, &b, "b");
    int sb = serve(b.add.pod.netns, 80, "b");
    network_down(n); /* the next agent knows the port from the records */
    n = network_up();
    assert_answer(outside, SOCK_STREAM, "192.0.2.1", 8088, "b 192.0.2.2");
    stop(sa);
    stop(sb);
    network_down(n);
    purge();
}

static void a_new_agent_adopts(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0}, b = {0}, again = {0};
    add_pod(n, &a, "a");
    add_pod(n, &b, "b");
    int sa = serve(a.add.pod.netns, 8080, "a"), sb = serve(b.add.pod.netns, 8080, "b");
    const char *const both[] = {a.ip, b.ip, NULL};
    struct svc web = {.name = "web",
                      .cluster_ip = "10.96.0.80",
                      .port = 80,
                      .target_port = 8080,
                      .pods = both,
                      .affinity_s = 100};
    struct svc old = {
        .name = "old", .cluster_ip = "10.96.0.81", .port = 80, .target_port = 8080, .pods = both};
    set_service(n, &web);
    set_service(n, &old);
    network_synced(n);
    settle(n);
    unsigned first = who_answers(outside, "10.96.0.80", 80, 1);
    char ip_of_a[IP_TEXT_MAX];
    memcpy(ip_of_a, a.ip, sizeof ip_of_a);
    network_down(n);

    n = network_up(); /* knows nothing of services yet: they work as before */
    assert_int_equal(who_answers(outside, "10.96.0.80", 80, 5), first);
    assert_answer(outside, SOCK_STREAM, "10.96.0.81", 80, NULL);
    set_service(n, &web);
    network_synced(n);
    settle(n);
    assert_int_equal(who_answers(outside, "10.96.0.80", 80, 5), first);
    assert_int_equal(ask_from(outside, SOCK_STREAM, "10.96.0.81", 80), ECONNREFUSED);
    struct network_pod found;
    assert_true(network_pod_find(n, STR("a"), &found));
    add_pod(n, &again, "a");
    assert_string_equal(again.ip, ip_of_a);
    const struct str keep = STR("a");
    network_pod_keep_only(n, &keep, 1);
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.pods, 1);
    assert_int_equal(st.commit_failures, 0);
    assert_int_equal(st.rebuilds, 0);
    stop(sa);
    stop(sb);
    network_down(n);
    purge();
}

static void a_lost_table_is_made_again(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod a = {0};
    add_pod(n, &a, "a");
    int sa = serve(a.add.pod.netns, 8080, "a");
    const char *const pods[] = {a.ip, NULL};
    struct svc web = {.name = "web",
                      .cluster_ip = "10.96.0.80",
                      .port = 80,
                      .target_port = 8080,
                      .pods = pods,
                      .affinity_s = 60};
    set_service(n, &web);
    network_synced(n);
    settle(n);
    assert_prints("", "nft flush ruleset");
    struct timer t = {0};
    timer_start(loop, &t, 100, stop_loop);
    loop_run(loop); /* notices without being asked */
    assert_answer(outside, SOCK_STREAM, "10.96.0.80", 80, "a 192.0.2.2");
    assert_answer(a.add.pod.netns, SOCK_STREAM, "10.96.0.80", 80, "a 10.244.0.1"); /* hairpin */
    /* an element taken away by hand: found out at the next change */
    assert_prints("", "nft delete element inet bqt backends4 '{ 10.96.0.80 . tcp . 80 . 0 }'");
    web.pods = NULL;
    set_endpoints(n, &web);
    settle(n);
    web.pods = pods;
    set_endpoints(n, &web);
    settle(n);
    assert_answer(outside, SOCK_STREAM, "10.96.0.80", 80, "a 192.0.2.2");
    struct network_stats st;
    network_stats(n, &st);
    assert_int_equal(st.rebuilds, 3); /* the first start included */
    assert_int_equal(st.commit_failures, 1);
    stop(sa);
    network_down(n);
    purge();
}

/* Another process has the network and dies in the middle of things, at many different moments. */
static void dies_at_any_moment(int delay_us)
{
    int pid = fork_child();
    if (pid == 0) {
        struct err e = ERR_INIT(&arena);
        loop = loop_new(&e);
        struct network *n = network_up();
        struct pod p[20] = {0};
        for (int i = 0; i < 20; i++) {
            char id[16];
            snprintf(id, sizeof id, "k%d", i);
            begin_pod(n, &p[i], id);
        }
        for (;;)
            loop_run(loop);
    }
    usleep((useconds_t)delay_us);
    stop(pid);
}

static void killed_agents_leave_nothing_that_purge_forgets(void **state)
{
    NEEDS_ROOT();
    keep_host_state("before");
    for (int i = 0; i < 10; i++) {
        dies_at_any_moment(1000 + i * 2500);
        if (i % 3 == 1) { /* and one that comes after adopts whatever there is */
            struct network *n = network_up();
            struct network_stats st;
            network_stats(n, &st);
            struct pod late = {0};
            add_pod(n, &late, "late");
            network_down(n);
        }
        if (i % 3 == 2) {
            purge();
            keep_host_state("after");
            assert_same_state("before", "after");
        }
    }
    purge();
    keep_host_state("after");
    assert_same_state("before", "after");
}

static void foreign_things_are_respected(void **state)
{
    NEEDS_ROOT();
    struct err e = ERR_INIT(&arena);
    struct network_config c = config();
    run_command("ip link add bqt0 type bridge");
    struct network *n = network_new(loop, &c, &e);
    struct start_result r = {0};
    network_start(n, on_started, &r);
    run_until(loop, &r.done);
    assert_int_equal(r.code, -ERR_CONFLICT);
    run_command("ip link del bqt0; ip route add 10.244.0.0/25 dev up0");
    r = (struct start_result){0};
    network_start(n, on_started, &r);
    run_until(loop, &r.done);
    assert_int_equal(r.code, -ERR_CONFLICT);
    assert_non_null(strstr(r.message, "up0"));
    run_command("ip route del 10.244.0.0/25; nft add table inet bqt");
    r = (struct start_result){0};
    network_start(n, on_started, &r);
    run_until(loop, &r.done);
    assert_int_equal(r.code, -ERR_CONFLICT);
    run_command("nft delete table inet bqt");
    r = (struct start_result){0};
    network_start(n, on_started, &r);
    run_until(loop, &r.done);
    assert_int_equal(r.code, 0);
    network_down(n);
    c.pod_cidr[0] = STR("10.245.0.0/24");
    assert_null(network_new(loop, &c, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    purge();
}

static void closing_cancels(void **state)
{
    NEEDS_ROOT();
    struct network *n = network_up();
    struct pod p[100] = {0};
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "p%d", i);
        begin_pod(n, &p[i], id);
    }
    network_down(n);
    for (int i = 0; i < 100; i++)
        assert_true(p[i].done && (p[i].error == 0 || p[i].error == -ERR_CANCELED));
    purge();
}

static void clusters_live_side_by_side(void **state)
{
    NEEDS_ROOT();
    keep_host_state("before");
    char other_dir[] = "/tmp/barque-network-XXXXXX";
    must(mkdtemp(other_dir) != NULL);
    struct network_config c = config();
    c.name = STR("bqt-2");
    c.data_dir = str_z(other_dir);
    c.pod_cidr[0] = c.cluster_cidr[0] = STR("10.245.0.0/24");
    c.service_cidr[0] = STR("10.97.0.0/16");
    c.dns_address[0] = STR("10.97.0.10");
    struct network *one = network_up(), *two = start_network(&c);
    struct pod a = {0}, b = {0};
    add_pod(one, &a, "a");
    add_pod(two, &b, "b");
    int sa = serve(a.add.pod.netns, 8080, "a");
    assert_answer(b.add.pod.netns, SOCK_STREAM, a.ip, 8080, NULL);
    network_down(one);
    purge();
    assert_prints("1", "cat /proc/sys/net/ipv4/ip_forward"); /* the other needs it */
    int sb = serve(b.add.pod.netns, 8080, "b");
    assert_answer(NULL, SOCK_STREAM, b.ip, 8080, "b 10.245.0.1");
    stop(sa);
    stop(sb);
    network_down(two);
    struct err e = ERR_INIT(&arena);
    assert_int_equal(network_purge(str_z(other_dir), &e), 0);
    rmdir(other_dir);
    keep_host_state("after");
    assert_same_state("before", "after");
}

WORLD_TESTS(cmocka_unit_test(purge_leaves_the_host_as_it_was),
            cmocka_unit_test(host_ports_lead_to_pods), cmocka_unit_test(a_new_agent_adopts),
            cmocka_unit_test(a_lost_table_is_made_again),
            cmocka_unit_test(killed_agents_leave_nothing_that_purge_forgets),
            cmocka_unit_test(foreign_things_are_respected), cmocka_unit_test(closing_cancels),
            cmocka_unit_test(clusters_live_side_by_side))
