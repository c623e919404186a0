/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "network/dns_wire.h"

/* ---- a small cluster ---- */

static struct network_state state;
static struct dns_zone zone;
static struct arena arena = ARENA_INIT;

static struct cidr prefix(const char *z)
{
    struct cidr c;
    assert_true(cidr_parse(str_z(z), &c));
    return c;
}

static void put_service(const char *name, const char *ip, const char *ip6,
                        const char *external_name, bool publish_not_ready)
{
    struct err e = ERR_INIT(&arena);
    struct network_service_port ports[] = {{STR("http"), NETWORK_TCP, 80, 0},
                                           {STR("dns"), NETWORK_UDP, 53, 0}};
    struct str ips[] = {str_z(ip ? ip : "None"), str_z(ip6)};
    struct network_service s = {
        .namespace_ = STR("default"),
        .name = str_z(name),
        .type = external_name ? NETWORK_EXTERNAL_NAME : NETWORK_CLUSTER_IP,
        .cluster_ips = ips,
        .cluster_ip_count = ip6 ? 2 : 1,
        .ports = ports,
        .port_count = 2,
        .external_name = str_z(external_name),
        .publish_not_ready = publish_not_ready,
    };
    assert_int_equal(state_service_set(&state, &s, &e), 0);
}

static void put_slice(const char *name, const char *service, const struct network_endpoint *eps,
                      size_t n)
{
    struct err e = ERR_INIT(&arena);
    struct network_slice_port ports[] = {{STR("http"), NETWORK_TCP, 8080}};
    struct network_slice s = {.namespace_ = STR("default"),
                              .name = str_z(name),
                              .service = str_z(service),
                              .ports = ports,
                              .port_count = 1,
                              .endpoints = eps,
                              .endpoint_count = n};
    assert_int_equal(state_slice_set(&state, &s, &e), 0);
}

static int make_cluster(void **unused)
{
    static const struct network_endpoint named[] = {
        {STR("10.244.0.7"), STR("db-0"), STR("n"), true, true, false},
        {STR("10.244.0.8"), STR("db-1"), STR("n"), false, false, false},
        {STR("10.244.0.9"), STR_NULL, STR("n"), true, true, false},
    };
    struct network_endpoint many[500] = {0};
    char texts[500][IP_TEXT_MAX];
    state_init(&state, STR("n"));
    state.synced = true;
    zone = (struct dns_zone){.state = &state, .domain = "cluster.local"};
    assert_true(ip_parse(STR("10.96.0.10"), &zone.address[0]));
    zone.local[0] = prefix("10.96.0.0/16");
    zone.local[1] = prefix("fd00:96::/112");
    put_service("web", "10.96.0.80", "fd00:96::80", NULL, false);
    put_service("db", NULL, NULL, NULL, false);
    put_service("early", NULL, NULL, NULL, true);
    put_service("many", NULL, NULL, NULL, false);
    put_service("out", NULL, NULL, "Example.COM.", false);
    put_service("alias", NULL, NULL, "web.default.svc.cluster.local", false);
    put_service("loop", NULL, NULL, "loop.default.svc.cluster.local", false);
    put_slice("db-x", "db", named, 3);
    put_slice("db-y", "db", named + 2, 1); /* the same again, as while slices are rearranged */
    put_slice("early-x", "early", named, 2);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        snprintf(texts[i], sizeof texts[i], "10.244.%zu.%zu", i / 250 + 1, i % 250 + 1);
        many[i] = (struct network_endpoint){.address = str_z(texts[i]), .ready = true};
    }
    put_slice("many-x", "many", many, ARRAY_LEN(many));
    return 0;
}

static int drop_cluster(void **unused)
{
    state_fini(&state);
    arena_fini(&arena);
    return 0;
}

/* ---- asking ---- */

static uint8_t out[DNS_MESSAGE_MAX];
static size_t out_n;
static struct dns_name chase;
static enum dns_verdict verdict;

static size_t make_query(uint8_t *q, const char *name, uint16_t type)
{
    struct dns_name n;
    assert_true(dns_name_parse(str_z(name), &n));
    size_t len = dns_ask(&n, type, 0x1234, q);
    return len;
}

static void ask_raw(const uint8_t *q, size_t n, bool tcp, struct str chased)
{
    verdict = dns_answer(&zone, str_n((const char *)q, n), tcp, 0, chased, out, &out_n, &chase);
    if (verdict == DNS_ANSWER && out_n)
        assert_true(dns_well_formed(str_n((const char *)out, out_n)));
}

static void append_name(struct buf *b, const struct dns_name *n)
{
    for (size_t at = 0; n->wire[at]; at += n->wire[at] + 1u)
        buf_fmt(b, "%.*s.", n->wire[at], (const char *)n->wire + at + 1);
}

static void append_data(struct buf *b, struct dns_in *in, const struct dns_rr *rr)
{
    struct dns_in data = {.p = in->p, .n = in->n, .at = rr->data};
    struct dns_name name;
    char text[IP_TEXT_MAX];
    struct ip ip = {.family = rr->type == DNS_A ? 4 : 6};
    switch (rr->type) {
    case DNS_A:
    case DNS_AAAA:
        memcpy(ip.bytes, in->p + rr->data, rr->data_len);
        buf_z(b, ip_text(ip, text));
        break;
    case DNS_SRV:
        buf_fmt(b, "%u ", dns_u16(&data));
        buf_fmt(b, "%u ", dns_u16(&data));
        buf_fmt(b, "%u ", dns_u16(&data));
        dns_read_name(&data, &name);
        append_name(b, &name);
        break;
    case DNS_TXT: buf_add(b, in->p + rr->data + 1, rr->data_len - 1); break;
    default:
        dns_read_name(&data, &name);
        append_name(b, &name);
        break;
    }
}

/* "rcode; owner type data; owner type data" of all sections but OPT */
static const char *shown(void)
{
    static char text[1 << 20];
    struct buf b = BUF_INIT(sizeof text - 1);
    struct dns_in in = {.p = out, .n = out_n, .at = 2};
    buf_fmt(&b, "%u", dns_u16(&in) & DNS_RCODE);
    dns_skip(&in, 2);
    size_t rrs = dns_u16(&in);
    rrs += dns_u16(&in);
    rrs += dns_u16(&in);
    struct dns_name q;
    dns_read_name(&in, &q);
    dns_skip(&in, 4);
    for (size_t i = 0; i < rrs; i++) {
        struct dns_rr rr;
        dns_read_rr(&in, &rr);
        assert_false(in.bad);
        if (rr.type == DNS_OPT)
            continue;
        buf_z(&b, "; ");
        append_name(&b, &rr.owner);
        buf_fmt(&b, " %u ", rr.type);
        append_data(&b, &in, &rr);
    }
    memcpy(text, b.p, b.n + 1);
    buf_fini(&b);
    return text;
}

static const char *ask(const char *name, uint16_t type)
{
    uint8_t q[DNS_UDP_MAX];
    ask_raw(q, make_query(q, name, type), false, STR_NULL);
    return verdict == DNS_FORWARD ? "forward" : verdict == DNS_CHASE ? "chase" : shown();
}

#define SOA_OF   "cluster.local. 6 ns.dns.cluster.local."
#define NODATA   "0; " SOA_OF
#define NXDOMAIN "3; " SOA_OF
#define NS       ".default.svc.cluster.local"

/* ---- tests ---- */

static void services_have_addresses(void **unused)
{
    assert_string_equal(ask("web" NS, DNS_A), "0; web" NS ". 1 10.96.0.80");
    assert_string_equal(ask("web" NS, DNS_AAAA), "0; web" NS ". 28 fd00:96::80");
    assert_string_equal(ask("web" NS, DNS_ANY),
                        "0; web" NS ". 1 10.96.0.80; web" NS ". 28 fd00:96::80");
    assert_string_equal(ask("web" NS, DNS_MX), NODATA);
    assert_string_equal(ask("nope" NS, DNS_A), NXDOMAIN);
    assert_string_equal(ask("web.other.svc.cluster.local", DNS_A), NXDOMAIN);
    assert_int_equal(out[2] & 0x84, 0x84); /* QR, AA */
    assert_int_equal(out[3] & 0x80, 0x80); /* RA */
}

static void headless_services_have_endpoints(void **unused)
{
    assert_string_equal(ask("db" NS, DNS_A), "0; db" NS ". 1 10.244.0.7; db" NS ". 1 10.244.0.9");
    assert_string_equal(ask("db-0.db" NS, DNS_A), "0; db-0.db" NS ". 1 10.244.0.7");
    assert_string_equal(ask("db-1.db" NS, DNS_A), NXDOMAIN); /* not ready */
    assert_string_equal(ask("10-244-0-9.db" NS, DNS_A), "0; 10-244-0-9.db" NS ". 1 10.244.0.9");
    assert_string_equal(ask("db-0.db" NS, DNS_AAAA), NODATA);
    assert_string_equal(ask("early" NS, DNS_A),
                        "0; early" NS ". 1 10.244.0.7; early" NS ". 1 10.244.0.8");
    assert_string_equal(ask("db-1.early" NS, DNS_A), "0; db-1.early" NS ". 1 10.244.0.8");
}

static void ports_have_srv_records(void **unused)
{
    assert_string_equal(ask("_http._tcp.web" NS, DNS_SRV),
                        "0; _http._tcp.web" NS ". 33 0 100 80 web" NS ".; web" NS
                        ". 1 10.96.0.80; web" NS ". 28 fd00:96::80");
    assert_string_equal(ask("_dns._udp.web" NS, DNS_A), NODATA);
    assert_string_equal(ask("_dns._tcp.web" NS, DNS_SRV), NXDOMAIN);
    assert_string_equal(ask("_http._xyz.web" NS, DNS_SRV), NXDOMAIN);
    assert_string_equal(ask("_tcp.web" NS, DNS_SRV), NODATA);
    assert_string_equal(ask("_http._tcp.db" NS, DNS_SRV),
                        "0; _http._tcp.db" NS ". 33 0 50 8080 db-0.db" NS ".; _http._tcp.db" NS
                        ". 33 0 50 8080 10-244-0-9.db" NS ".; db-0.db" NS
                        ". 1 10.244.0.7; 10-244-0-9.db" NS ". 1 10.244.0.9");
}

static void the_tree_has_its_nodes(void **unused)
{
    assert_string_equal(ask("cluster.local", DNS_SOA), NODATA);
    assert_int_equal(out[7], 1); /* as an answer */
    assert_string_equal(ask("cluster.local", DNS_NS),
                        "0; cluster.local. 2 ns.dns.cluster.local.; ns.dns.cluster.local. 1 "
                        "10.96.0.10");
    assert_string_equal(ask("ns.dns.cluster.local", DNS_A),
                        "0; ns.dns.cluster.local. 1 10.96.0.10");
    assert_string_equal(ask("dns-version.cluster.local", DNS_TXT),
                        "0; dns-version.cluster.local. 16 1.1.0");
    assert_string_equal(ask("svc.cluster.local", DNS_A), NODATA);
    assert_string_equal(ask("default.svc.cluster.local", DNS_A), NODATA);
    assert_string_equal(ask("other.svc.cluster.local", DNS_A), NXDOMAIN);
    assert_string_equal(ask("a.b.c.d.e.svc.cluster.local", DNS_A), NXDOMAIN);
    assert_string_equal(ask("x.cluster.local", DNS_A), NXDOMAIN);
    assert_string_equal(ask("10-1-2-3.default.pod.cluster.local", DNS_A),
                        "0; 10-1-2-3.default.pod.cluster.local. 1 10.1.2.3");
    assert_string_equal(ask("fd00--7.default.pod.cluster.local", DNS_AAAA),
                        "0; fd00--7.default.pod.cluster.local. 28 fd00::7");
    assert_string_equal(ask("10-1-2-3.default.pod.cluster.local", DNS_AAAA), NODATA);
    assert_string_equal(ask("nonsense.default.pod.cluster.local", DNS_A), NXDOMAIN);
}

static void reverse_names(void **unused)
{
    assert_string_equal(ask("80.0.96.10.in-addr.arpa", DNS_PTR),
                        "0; 80.0.96.10.in-addr.arpa. 12 web" NS ".");
    assert_string_equal(ask("7.0.244.10.in-addr.arpa", DNS_PTR),
                        "0; 7.0.244.10.in-addr.arpa. 12 db-0.early" NS
                        ".; 7.0.244.10.in-addr.arpa. 12 db-0.db" NS ".");
    assert_string_equal(ask("81.0.96.10.in-addr.arpa", DNS_PTR),
                        "3; in-addr.arpa. 6 ns.dns.cluster.local.");
    assert_string_equal(ask("80.0.96.10.in-addr.arpa", DNS_TXT),
                        "0; in-addr.arpa. 6 ns.dns.cluster.local.");
    assert_string_equal(ask("8.8.8.8.in-addr.arpa", DNS_PTR), "forward");
    assert_string_equal(ask("0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6."
                            "arpa",
                            DNS_PTR),
                        "0; 0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6."
                        "arpa. 12 web" NS ".");
    assert_string_equal(ask("in-addr.arpa", DNS_PTR), "forward");
}

static void external_names_are_followed(void **unused)
{
    assert_string_equal(ask("alias" NS, DNS_A),
                        "0; alias" NS ". 5 web" NS ".; web" NS ". 1 10.96.0.80");
    assert_string_equal(ask("alias" NS, DNS_CNAME), "0; alias" NS ". 5 web" NS ".");
    ask("loop" NS, DNS_A);
    assert_int_equal(out[3] & DNS_RCODE, DNS_SERVFAIL);
    assert_string_equal(ask("out" NS, DNS_A), "chase");
    struct dns_name want;
    assert_true(dns_name_parse(STR("example.com"), &want));
    assert_memory_equal(chase.wire, want.wire, want.n);

    /* what upstream says goes behind the CNAME */
    uint8_t reply[DNS_UDP_MAX], q[DNS_UDP_MAX];
    size_t n = make_query(reply, "example.com", DNS_A);
    static const uint8_t rr[] = {0xc0, 12, 0, DNS_A, 0, 1, 0, 0, 1, 0, 0, 4, 93, 184, 216, 34};
    memmove(reply + n - DNS_OPT_SIZE + sizeof rr, reply + n - DNS_OPT_SIZE, DNS_OPT_SIZE);
    memcpy(reply + n - DNS_OPT_SIZE, rr, sizeof rr);
    reply[2] |= 0x80;
    reply[7] = 1;
    size_t qn = make_query(q, "out" NS, DNS_A);
    ask_raw(q, qn, false, str_n((const char *)reply, n + sizeof rr));
    assert_string_equal(shown(), "0; out" NS ". 5 example.com.; example.com. 1 93.184.216.34");
    ask_raw(q, qn, false, STR(""));
    assert_int_equal(out[3] & DNS_RCODE, DNS_SERVFAIL);
}

static void long_answers_are_cut(void **unused)
{
    uint8_t q[DNS_UDP_MAX];
    size_t n = make_query(q, "many" NS, DNS_A);
    ask_raw(q, n, false, STR_NULL);
    assert_true(out_n <= DNS_UDP_MAX && out[2] & 0x02);
    q[11] = 0; /* without EDNS */
    ask_raw(q, n - DNS_OPT_SIZE, false, STR_NULL);
    assert_true(out_n <= 512 && out_n > 450 && out[2] & 0x02);
    ask_raw(q, n - DNS_OPT_SIZE, true, STR_NULL);
    assert_false(out[2] & 0x02);
    assert_int_equal(out[6] << 8 | out[7], 500);
}

static void answers_rotate(void **unused)
{
    uint8_t q[DNS_UDP_MAX];
    size_t n = make_query(q, "db" NS, DNS_A);
    verdict = dns_answer(&zone, str_n((const char *)q, n), false, 1, STR_NULL, out, &out_n, &chase);
    assert_string_equal(shown(), "0; db" NS ". 1 10.244.0.9; db" NS ". 1 10.244.0.7");
}

static void case_is_preserved(void **unused)
{
    uint8_t q[DNS_UDP_MAX];
    size_t n = make_query(q, "web" NS, DNS_A);
    q[13] = 'W';
    q[15] = 'B';
    ask_raw(q, n, false, STR_NULL);
    assert_memory_equal(out + 12, "\3WeB\7default", 12);
    assert_int_equal(out[7], 1);
}

static void strange_queries_get_errors(void **unused)
{
    uint8_t q[DNS_UDP_MAX];
    size_t n = make_query(q, "web" NS, DNS_A);
    ask_raw(q, 11, false, STR_NULL);
    assert_int_equal(verdict, DNS_IGNORE);
    ask_raw(q, 20, false, STR_NULL); /* torn */
    assert_int_equal(out[3] & DNS_RCODE, DNS_FORMERR);
    q[2] |= 0x80; /* a reply */
    ask_raw(q, n, false, STR_NULL);
    assert_int_equal(verdict, DNS_IGNORE);
    q[2] = 0x28; /* UPDATE */
    ask_raw(q, n, false, STR_NULL);
    assert_int_equal(out[3] & DNS_RCODE, DNS_NOTIMP);
    q[2] = 1;
    q[n - DNS_OPT_SIZE - 1] = 3; /* CHAOS */
    ask_raw(q, n, false, STR_NULL);
    assert_int_equal(out[3] & DNS_RCODE, DNS_REFUSED);
    q[n - DNS_OPT_SIZE - 1] = 1;
    q[n - 5] = 1; /* EDNS version 1 */
    ask_raw(q, n, false, STR_NULL);
    assert_int_equal(out[3] & DNS_RCODE, DNS_BADVERS & 15);
    assert_int_equal(out[out_n - 6], 1); /* and the upper half in OPT */
    q[n - 5] = 0;
    q[12] = 0xc0; /* a pointer in the question */
    ask_raw(q, n, false, STR_NULL);
    assert_int_equal(out[3] & DNS_RCODE, DNS_FORMERR);
}

static void nothing_is_denied_before_all_is_known(void **unused)
{
    state.synced = false;
    ask("nope" NS, DNS_A);
    assert_int_equal(out[3] & DNS_RCODE, DNS_SERVFAIL);
    assert_string_equal(ask("example.com", DNS_A), "forward");
    state.synced = true;
}

static void changes_are_seen(void **unused)
{
    static const struct network_endpoint one = {
        STR("10.244.0.70"), STR("db-7"), STR("n"), true, true, false};
    put_slice("db-x", "db", &one, 1);
    assert_string_equal(ask("db-7.db" NS, DNS_A), "0; db-7.db" NS ". 1 10.244.0.70");
    assert_string_equal(ask("db-0.db" NS, DNS_A), NXDOMAIN);
    assert_string_equal(ask("70.0.244.10.in-addr.arpa", DNS_PTR),
                        "0; 70.0.244.10.in-addr.arpa. 12 db-7.db" NS ".");
    state_slice_remove(&state, STR("default"), STR("db-x"));
    assert_string_equal(ask("db-7.db" NS, DNS_A), NXDOMAIN);
    assert_string_equal(ask("70.0.244.10.in-addr.arpa", DNS_PTR), "forward");
    state_service_remove(&state, STR("default"), STR("web"));
    assert_string_equal(ask("web" NS, DNS_A), NXDOMAIN);
    assert_string_equal(ask("80.0.96.10.in-addr.arpa", DNS_PTR),
                        "3; in-addr.arpa. 6 ns.dns.cluster.local.");
}

static void questions_are_told_apart(void **unused)
{
    CLEANUP(buf_fini) struct buf a = BUF_INIT(1000), b = BUF_INIT(1000);
    uint8_t q[DNS_UDP_MAX], r[DNS_UDP_MAX];
    size_t n = make_query(q, "example.com", DNS_A);
    memcpy(r, q, n);
    r[0]++;      /* another id */
    r[13] = 'E'; /* another case */
    struct str qs = str_n((const char *)q, n), rs = str_n((const char *)r, n);
    assert_true(dns_question_key(qs, &a) && dns_question_key(rs, &b));
    assert_true(str_eq(buf_view(&a), buf_view(&b)));
    r[2] |= 0x80;
    assert_false(dns_is_reply(qs, rs));
    r[0]--;
    assert_true(dns_is_reply(qs, rs));
    r[14] = 'y';
    assert_false(dns_is_reply(qs, rs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_have_addresses),
        cmocka_unit_test(headless_services_have_endpoints),
        cmocka_unit_test(ports_have_srv_records),
        cmocka_unit_test(the_tree_has_its_nodes),
        cmocka_unit_test(reverse_names),
        cmocka_unit_test(external_names_are_followed),
        cmocka_unit_test(long_answers_are_cut),
        cmocka_unit_test(answers_rotate),
        cmocka_unit_test(case_is_preserved),
        cmocka_unit_test(strange_queries_get_errors),
        cmocka_unit_test(nothing_is_denied_before_all_is_known),
        cmocka_unit_test(questions_are_told_apart),
        cmocka_unit_test(changes_are_seen),
    };
    return cmocka_run_group_tests(tests, make_cluster, drop_cluster);
}
