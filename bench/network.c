/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.c: how long pods, services and names take. Needs root; moves into namespaces of its own.
 * Run: build/bench/bench-network [services]
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "network/dns.h"
#include "network/network.h"

enum { PODS = 50, ENDPOINTS = 3, ROUNDS = 200 };

static struct loop *loop;
static struct network *net;
static struct arena arena = ARENA_INIT;
static char data_dir[] = "/tmp/barque-bench-XXXXXX";

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* What this process itself used: on a busy machine the better figure. */
static double cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static void set_true(void *flag)
{
    *(bool *)flag = true;
    loop_stop(loop);
}

static void run_until(const bool *flag)
{
    while (!*flag)
        loop_run(loop);
}

static void settle(void)
{
    bool done = false;
    network_settle(net, set_true, &done);
    run_until(&done);
}

static void on_started(void *arg, const struct err *e)
{
    if (e) {
        fprintf(stderr, "%.*s\n", STR_ARG(e->message));
        exit(1);
    }
    set_true(arg);
}

static void on_trouble(void *arg, const struct err *e)
{
    fprintf(stderr, "trouble: %.*s\n", STR_ARG(e->message));
}

static void start(void)
{
    struct err e = ERR_INIT(&arena);
    struct network_config c = {
        .name = STR("bench"),
        .data_dir = str_z(data_dir),
        .node_name = STR("n"),
        .pod_cidr = {STR("10.244.0.0/24")},
        .cluster_cidr = {STR("10.244.0.0/16")},
        .service_cidr = {STR("10.96.0.0/16")},
        .dns_address = {STR("10.96.0.10")},
        .trouble = on_trouble,
    };
    bool done = false;
    double t = now_ms();
    net = network_new(loop, &c, &e);
    must(net != NULL);
    network_start(net, on_started, &done);
    run_until(&done);
    printf("start                          %8.2f ms\n", now_ms() - t);
}

static void stop(void)
{
    bool done = false;
    network_close(net, set_true, &done);
    run_until(&done);
}

/* ---- pods ---- */

struct pod {
    struct network_pod_add add;
    struct network_pod_remove remove;
    char id[16];
};

static size_t under_way;

static void on_added(struct network_pod_add *op, int error, const struct err *e)
{
    must(error == 0);
    if (--under_way == 0)
        loop_stop(loop);
}

static void on_removed(struct network_pod_remove *op, int error, const struct err *e)
{
    must(error == 0);
    if (--under_way == 0)
        loop_stop(loop);
}

static void add(struct pod *v, size_t n)
{
    under_way = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(v[i].id, sizeof v[i].id, "pod-%zu", (size_t)(&v[i] - v) + n * 1000);
        v[i].add = (struct network_pod_add){.id = str_z(v[i].id), .done = on_added};
        network_pod_add(net, &v[i].add);
    }
    while (under_way)
        loop_run(loop);
}

static void drop(struct pod *v, size_t n)
{
    under_way = n;
    for (size_t i = 0; i < n; i++) {
        v[i].remove = (struct network_pod_remove){.id = str_z(v[i].id), .done = on_removed};
        network_pod_remove(net, &v[i].remove);
    }
    while (under_way)
        loop_run(loop);
}

static void pods(void)
{
    static struct pod v[PODS];
    double up = 0, down = 0, c0 = cpu_ms();
    for (int i = 0; i < 20; i++) {
        double t = now_ms();
        add(v, 1);
        up += now_ms() - t;
        t = now_ms();
        drop(v, 1);
        down += now_ms() - t;
        usleep(100000); /* the kernel takes its time with the namespace; that is not ours */
    }
    printf("one pod, set up                %8.2f ms (CPU of both %.2f)\n", up / 20,
           (cpu_ms() - c0) / 20);
    printf("one pod, taken away            %8.2f ms\n", down / 20);
    double t = now_ms(), c = cpu_ms();
    add(v, PODS);
    printf("%d pods at once, set up        %8.2f ms (%.2f each; CPU %.2f)\n", PODS, now_ms() - t,
           (now_ms() - t) / PODS, (cpu_ms() - c) / PODS);
    t = now_ms();
    c = cpu_ms();
    drop(v, PODS);
    printf("%d pods at once, taken away    %8.2f ms (CPU %.2f each)\n", PODS, now_ms() - t,
           (cpu_ms() - c) / PODS);
}

/* ---- services ---- */

static void put_slice(size_t i, size_t endpoints, size_t shift)
{
    char name[32], slice[32], texts[16][IP_TEXT_MAX];
    struct err e = ERR_INIT(&arena);
    struct network_endpoint eps[16] = {0};
    struct network_slice_port port = {STR("p"), NETWORK_TCP, 8080};
    snprintf(name, sizeof name, "service-%zu", i);
    snprintf(slice, sizeof slice, "service-%zu-x", i);
    for (size_t j = 0; j < endpoints; j++) {
        size_t at = i * ENDPOINTS + j + shift;
        snprintf(texts[j], sizeof texts[j], "10.244.%zu.%zu", at / 250 % 250, at % 250 + 1);
        eps[j] = (struct network_endpoint){.address = str_z(texts[j]), .ready = true};
    }
    struct network_slice s = {.namespace_ = STR("default"),
                              .name = str_z(slice),
                              .service = str_z(name),
                              .ports = &port,
                              .port_count = 1,
                              .endpoints = eps,
                              .endpoint_count = endpoints};
    must(network_slice_set(net, &s, &e) == 0);
}

static void put_service(size_t i)
{
    char name[32], ip[IP_TEXT_MAX];
    struct err e = ERR_INIT(&arena);
    struct network_service_port port = {STR("p"), NETWORK_TCP, 80, 0};
    snprintf(name, sizeof name, "service-%zu", i);
    snprintf(ip, sizeof ip, "10.96.%zu.%zu", i / 250 + 1, i % 250 + 1);
    struct str ips = str_z(ip);
    struct network_service s = {.namespace_ = STR("default"),
                                .name = str_z(name),
                                .cluster_ips = &ips,
                                .cluster_ip_count = 1,
                                .ports = &port,
                                .port_count = 1};
    must(network_service_set(net, &s, &e) == 0);
    put_slice(i, ENDPOINTS, 0);
}

static void put_all(size_t services, const char *what)
{
    double t = now_ms();
    for (size_t i = 0; i < services; i++)
        put_service(i);
    double told = now_ms() - t;
    network_synced(net);
    settle();
    struct network_stats st;
    network_stats(net, &st);
    printf("%-30s %8.2f ms (%u frontends, %u backends; %.2f ms in our tables)\n", what,
           now_ms() - t, st.frontends, st.backends, told);
}

static void changes(size_t services)
{
    double t = now_ms();
    for (size_t i = 0; i < ROUNDS; i++) {
        put_slice(i * 7 % services, ENDPOINTS - i % 2, i);
        settle();
    }
    printf("one change of endpoints        %8.3f ms, in force\n", (now_ms() - t) / ROUNDS);
    t = now_ms();
    for (size_t i = 0; i < ROUNDS; i++)
        put_slice(i * 7 % services, ENDPOINTS, i + 1);
    settle();
    printf("%d changes at once            %8.3f ms\n", ROUNDS, now_ms() - t);
}

static void memory(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("peak memory                    %8.2f MB\n", (double)u.ru_maxrss / 1024);
}

/* ---- names ---- */

static void names(size_t services)
{
    /* A state of its own: the server's is not to be reached from here. */
    static struct network_state state;
    struct dns_zone zone = {.state = &state, .domain = "cluster.local"};
    static uint8_t query[DNS_UDP_MAX], out[DNS_MESSAGE_MAX];
    struct err e = ERR_INIT(&arena);
    state_init(&state, STR("n"));
    state.synced = true;
    for (size_t i = 0; i < services; i++) {
        char name[32];
        struct str ip = STR("10.96.1.1");
        snprintf(name, sizeof name, "service-%zu", i);
        struct network_service s = {.namespace_ = STR("default"),
                                    .name = str_z(name),
                                    .cluster_ips = &ip,
                                    .cluster_ip_count = 1};
        must(state_service_set(&state, &s, &e) == 0);
    }
    struct dns_name name, chase;
    must(dns_name_parse(STR("service-7.default.svc.cluster.local"), &name));
    size_t n = dns_ask(&name, DNS_A, 1, query), out_n, count = 300000;
    double t = now_ms();
    for (size_t i = 0; i < count; i++)
        must(dns_answer(&zone, str_n((const char *)query, n), false, (uint32_t)i, STR_NULL, out,
                        &out_n, &chase) == DNS_ANSWER);
    printf("one DNS answer                 %8.3f us\n", (now_ms() - t) * 1e3 / (double)count);
    state_fini(&state);
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT(&arena);
    uint64_t services = 5000;
    if (argc > 1 && (!str_to_u64(str_z(argv[1]), &services) || services < 1 || services > 50000))
        return 2;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        perror("namespaces");
        return 1;
    }
    must(mkdtemp(data_dir) != NULL);
    loop = loop_new(&e);
    start();
    pods();
    put_all(services, "services, first load");
    changes(services);
    memory();
    stop();
    start();
    put_all(services, "services, next agent");
    stop();
    double t = now_ms();
    must(network_purge(str_z(data_dir), &e) == 0);
    printf("purge                          %8.2f ms\n", now_ms() - t);
    rmdir(data_dir);
    names(services);
    return 0;
}
