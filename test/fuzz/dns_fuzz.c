/* SPDX-License-Identifier: Apache-2.0 */
/* dns_fuzz.c: whatever is asked, and whatever upstream replies, the answer is whole, within its
 * bounds, and about the question. Input: flags, length of the query, the query, the reply. */
#include "network/dns.h"

#include "fuzz.h"

static struct network_state state;
static struct dns_zone zone = {.state = &state, .domain = "cluster.local"};

static void put_service(const char *name, const char *ip, const char *external_name)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct network_service_port port = {STR("http"), NETWORK_TCP, 80, 0};
    struct str ips[] = {str_z(ip), STR("fd00:96::50")};
    struct network_service s = {
        .namespace_ = STR("ns"),
        .name = str_z(name),
        .type = external_name ? NETWORK_EXTERNAL_NAME : NETWORK_CLUSTER_IP,
        .cluster_ips = ips,
        .cluster_ip_count = ip ? 2 : 0,
        .ports = &port,
        .port_count = 1,
        .external_name = str_z(external_name),
    };
    must(state_service_set(&state, &s, &e) == 0);
    arena_fini(&a);
}

static void put_slice(const char *service)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct network_slice_port port = {STR("http"), NETWORK_TCP, 8080};
    struct network_endpoint eps[100] = {{STR("10.244.0.2"), STR("host-0"), STR(""), true}};
    char texts[100][IP_TEXT_MAX];
    for (size_t i = 1; i < ARRAY_LEN(eps); i++) {
        snprintf(texts[i], sizeof texts[i], "10.244.1.%zu", i);
        eps[i] = (struct network_endpoint){.address = str_z(texts[i]), .ready = i % 7};
    }
    struct network_slice s = {.namespace_ = STR("ns"),
                              .name = STR("s"),
                              .service = str_z(service),
                              .ports = &port,
                              .port_count = 1,
                              .endpoints = eps,
                              .endpoint_count = ARRAY_LEN(eps)};
    must(state_slice_set(&state, &s, &e) == 0);
    arena_fini(&a);
}

static void make_state(void)
{
    state_init(&state, STR("n"));
    state.synced = true;
    put_service("web", "10.96.0.80", NULL);
    put_service("db", NULL, NULL);
    put_service("out", NULL, "example.com");
    put_service("in", NULL, "web.ns.svc.cluster.local");
    put_slice("db");
    must(ip_parse(STR("10.96.0.10"), &zone.address[0]));
    must(cidr_parse(STR("10.96.0.0/16"), &zone.local[0]));
}

static void check_answer(struct str query, bool tcp, const uint8_t *out, size_t n)
{
    must(n >= DNS_HEADER && n <= (tcp ? DNS_MESSAGE_MAX : DNS_UDP_MAX));
    must(dns_well_formed(str_n((const char *)out, n)));
    must(memcmp(out, query.p, 2) == 0 && out[2] & 0x80);
}

static void check_error(struct str query)
{
    uint8_t out[DNS_UDP_MAX];
    size_t n = dns_error(query, DNS_SERVFAIL, out);
    if (n)
        check_answer(query, false, out, n);
}

static void check_key(struct str query, struct str reply)
{
    CLEANUP(buf_fini) struct buf a = BUF_INIT(MIB(1)), b = BUF_INIT(MIB(1));
    if (dns_question_key(query, &a))
        must(dns_question_key(query, &b) && str_eq(buf_view(&a), buf_view(&b)));
    if (dns_is_reply(query, reply))
        must(reply.n >= DNS_HEADER && reply.p[2] & 0x80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[DNS_MESSAGE_MAX];
    struct fuzz_input in = {data, size};
    struct dns_name chase;
    size_t n;
    if (!state.node_name)
        make_state();
    uint8_t flags = fuzz_byte(&in);
    size_t length = fuzz_byte(&in);
    length = length << 8 | fuzz_byte(&in);
    struct str all = fuzz_rest(&in), query = str_sub(all, 0, length);
    struct str reply = str_sub(all, length, all.n);
    bool tcp = flags & 1;
    if (!reply.p)
        reply = STR("");
    enum dns_verdict v = dns_answer(&zone, query, tcp, flags, STR_NULL, out, &n, &chase);
    if (v == DNS_ANSWER)
        check_answer(query, tcp, out, n);
    if (v == DNS_CHASE) {
        v = dns_answer(&zone, query, tcp, flags, reply, out, &n, &chase);
        must(v == DNS_ANSWER);
        check_answer(query, tcp, out, n);
    }
    check_error(query);
    check_key(query, reply);
    return 0;
}
