/* SPDX-License-Identifier: Apache-2.0 */
#include "network/dns_wire.h"

#include <ctype.h>

/* ---- an answer under construction ---- */

struct answer {
    const struct dns_zone *z;
    struct dns_query q;
    struct dns_out out;
    struct dns_name name;              /* asked for now: after a CNAME, its target */
    dns_ref ref;                       /* where that stands */
    struct str labels[DNS_LABELS_MAX]; /* of name, without the domain; leftmost first */
    size_t n;
    size_t domain_labels;
    uint32_t random;
    int chases;
    enum dns_rcode rcode;
    bool authoritative;
    struct str chased;
    struct dns_name *chase;
};

/* What a look-up of a name came to. */
enum found { FOUND, NO_SUCH_NAME, NOT_OURS, GO_ON /* name has changed */, ASK_UPSTREAM };

static bool asks(const struct answer *a, enum dns_type type)
{
    return a->q.type == type || a->q.type == DNS_ANY;
}

static size_t split(const struct dns_name *name, struct str labels[DNS_LABELS_MAX])
{
    size_t n = 0;
    for (size_t at = 0; name->wire[at] && n < DNS_LABELS_MAX; at += name->wire[at] + 1u)
        labels[n++] = str_n((const char *)name->wire + at + 1, name->wire[at]);
    return n;
}

static bool chop_domain(struct answer *a, const char *domain)
{
    struct dns_name d;
    struct str tail[DNS_LABELS_MAX];
    a->n = split(&a->name, a->labels);
    must(dns_name_parse(str_z(domain), &d));
    size_t n = split(&d, tail);
    if (a->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(a->labels[a->n - n + i], tail[i]))
            return false;
    a->n -= n;
    a->domain_labels = n;
    return true;
}

/* ---- records ---- */

static bool put_address(struct answer *a, const struct dns_name *owner, dns_ref ref, struct ip ip,
                        enum dns_section section)
{
    struct dns_mark m =
        dns_rr_begin(&a->out, owner, ref, ip.family == 6 ? DNS_AAAA : DNS_A, DNS_TTL_S);
    dns_put_bytes(&a->out, ip.bytes, ip_len(ip));
    return dns_rr_end(&a->out, m, section);
}

static void answer_address(struct answer *a, struct ip ip)
{
    if (ip.family && asks(a, ip.family == 6 ? DNS_AAAA : DNS_A))
        put_address(a, &a->name, a->ref, ip, DNS_ANSWERS);
}

/* A name below the domain from printf'd text; false: too long. */
static bool PRINTF(3, 4)
    make_name(const struct answer *a, struct dns_name *ret, const char *fmt, ...)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(4 * DNS_NAME_MAX);
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    buf_fmt(&b, ".%s", a->z->domain);
    return !b.failed && dns_name_parse(buf_view(&b), ret);
}

static bool put_name_rr(struct answer *a, enum dns_type type, const struct dns_name *to,
                        dns_ref *ret_ref)
{
    struct dns_mark m = dns_rr_begin(&a->out, &a->name, a->ref, type, DNS_TTL_S);
    *ret_ref = a->out.n;
    dns_put_name(&a->out, to, 0);
    return dns_rr_end(&a->out, m, DNS_ANSWERS);
}

/* Of the domain, or of the reverse tree the question was in: the last `labels` of the question. */
static void put_soa(struct answer *a, size_t labels)
{
    struct dns_name mname, rname;
    struct str all[DNS_LABELS_MAX];
    size_t n = split(&a->q.name, all);
    if (!make_name(a, &mname, "ns.dns") || !make_name(a, &rname, "hostmaster") || n < labels)
        return;
    dns_ref zone = DNS_HEADER;
    for (size_t i = 0; i < n - labels; i++)
        zone += all[i].n + 1;
    struct dns_mark m = dns_rr_begin(&a->out, &a->q.name, zone, DNS_SOA, DNS_TTL_S);
    static const uint32_t serial_to_expire[] = {1, 7200, 1800, 86400};
    dns_put_name(&a->out, &mname, 0);
    dns_put_name(&a->out, &rname, 0);
    for (size_t i = 0; i < ARRAY_LEN(serial_to_expire); i++)
        dns_put_u32(&a->out, serial_to_expire[i]);
    dns_put_u32(&a->out, DNS_TTL_S);
    dns_rr_end(&a->out, m, a->q.type == DNS_SOA && labels == n ? DNS_ANSWERS : DNS_AUTHORITY);
}

/* ---- services ---- */

/* A published endpoint with a port. */
struct target {
    const struct state_endpoint *ep;
    uint16_t port;
};
struct targets {
    VEC(struct target) v;
};

static bool published(const struct state_service *s, const struct state_endpoint *ep)
{
    return ep->ready || s->spec->publish_not_ready;
}

static void add_slice_targets(struct targets *t, const struct state_service *s,
                              const struct state_slice *sl, uint16_t port)
{
    for (size_t i = 0; i < sl->endpoint_count; i++) {
        struct target target = {&sl->endpoints[i], port};
        if (published(s, target.ep))
            vec_push(&t->v, target);
    }
}

static bool port_matches(const struct state_port *p, struct str name,
                         enum network_protocol protocol)
{
    return p->protocol == protocol && str_case_eq(p->name, name);
}

static int target_cmp(const void *x, const void *y)
{
    const struct target *a = x, *b = y;
    int c = memcmp(&a->ep->ip, &b->ep->ip, sizeof a->ep->ip);
    return c ? c : (a->port > b->port) - (a->port < b->port);
}

/* Endpoints of several slices, each once. */
static void tidy(struct targets *t)
{
    size_t kept = 0;
    if (t->v.n)
        qsort(t->v.v, t->v.n, sizeof *t->v.v, target_cmp);
    for (size_t i = 0; i < t->v.n; i++)
        if (kept == 0 || target_cmp(&t->v.v[kept - 1], &t->v.v[i]) != 0)
            t->v.v[kept++] = t->v.v[i];
    t->v.n = kept;
}

static void answer_targets(struct answer *a, struct targets *t)
{
    tidy(t);
    for (size_t i = 0; i < t->v.n; i++)
        answer_address(a, t->v.v[(i + a->random) % t->v.n].ep->ip);
    vec_free(&t->v);
}

static void answer_headless(struct answer *a, const struct state_service *s)
{
    struct targets t = {0};
    const struct state_slice *sl;
    list_each (sl, &s->slices, link)
        add_slice_targets(&t, s, sl, 0);
    answer_targets(a, &t);
}

/* The name becomes the target; upstream is asked when it is not ours. */
static enum found answer_external(struct answer *a, const struct state_service *s)
{
    struct dns_name target;
    dns_ref ref;
    if (!dns_name_parse(s->spec->external_name, &target) || target.labels == 0)
        return FOUND;
    if (!put_name_rr(a, DNS_CNAME, &target, &ref) || a->q.type == DNS_CNAME || a->q.type == DNS_ANY)
        return FOUND;
    a->name = target;
    a->ref = ref;
    return GO_ON;
}

static enum found answer_service(struct answer *a, struct str ns, struct str name)
{
    struct state_service *s = state_find(a->z->state, ns, name);
    if (!s)
        return NO_SUCH_NAME;
    if (s->spec->type == NETWORK_EXTERNAL_NAME)
        return answer_external(a, s);
    if (!s->spec->cluster_ips.n)
        answer_headless(a, s);
    LIST_EACH (ip, &s->spec->cluster_ips)
        answer_address(a, *ip);
    return FOUND;
}

static enum found answer_endpoint(struct answer *a, struct str ns, struct str name,
                                  struct str label)
{
    struct state_service *s = state_find(a->z->state, ns, name);
    const struct state_host *h = s ? state_find_host(s, label) : NULL;
    struct targets t = {0};
    for (; h; h = h->next) {
        struct target target = {h->endpoint, 0};
        if (published(s, h->endpoint))
            vec_push(&t.v, target);
    }
    enum found found = t.v.n ? FOUND : NO_SUCH_NAME;
    answer_targets(a, &t);
    return found;
}

/* ---- SRV ---- */

static bool put_srv(struct answer *a, const struct dns_name *target, uint16_t port, size_t of,
                    dns_ref *ret_ref)
{
    enum { WEIGHT_TOTAL = 100 };
    struct dns_mark m = dns_rr_begin(&a->out, &a->name, a->ref, DNS_SRV, DNS_TTL_S);
    dns_put_u16(&a->out, 0);
    dns_put_u16(&a->out, (uint16_t)MAX(WEIGHT_TOTAL / of, 1u));
    dns_put_u16(&a->out, port);
    *ret_ref = a->out.n;
    dns_put_name(&a->out, target, 0);
    return dns_rr_end(&a->out, m, DNS_ANSWERS);
}

static void srv_of_cluster_ip(struct answer *a, const struct state_service *s, uint16_t port)
{
    struct dns_name target;
    dns_ref ref;
    if (!make_name(a, &target, "%.*s.%.*s.svc", STR_ARG(s->name), STR_ARG(s->namespace_)) ||
        !put_srv(a, &target, port, 1, &ref))
        return;
    LIST_EACH (ip, &s->spec->cluster_ips)
        put_address(a, &target, ref, *ip, DNS_ADDITIONAL);
}

/* The addresses come after all answers, so their names are remembered. */
struct placed {
    dns_ref ref;
    struct ip ip;
};

static void srv_of_endpoints(struct answer *a, const struct state_service *s,
                             const struct targets *t)
{
    struct dns_name target;
    VEC(struct placed) placed = {0};
    for (size_t i = 0; i < t->v.n; i++) {
        const struct target *to = &t->v.v[(i + a->random) % t->v.n];
        char room[STATE_LABEL_MAX];
        struct placed at = {.ip = to->ep->ip};
        if (!make_name(a, &target, "%.*s.%.*s.%.*s.svc",
                       STR_ARG(state_endpoint_label(to->ep, room)), STR_ARG(s->name),
                       STR_ARG(s->namespace_)))
            continue;
        if (!put_srv(a, &target, to->port, t->v.n, &at.ref))
            break;
        vec_push(&placed, at);
    }
    for (size_t i = 0; i < placed.n && !a->out.truncated; i++)
        if (placed.v[i].ref <= DNS_POINTER_MAX)
            put_address(a, &target, placed.v[i].ref, placed.v[i].ip, DNS_ADDITIONAL);
    vec_free(&placed);
}

static bool parse_underscored(struct str label, struct str *ret)
{
    *ret = str_sub(label, 1, label.n);
    return label.n > 1 && label.p[0] == '_';
}

static bool parse_protocol(struct str label, enum network_protocol *ret)
{
    struct str name;
    if (!parse_underscored(label, &name))
        return false;
    *ret = str_eqz(name, "tcp") ? NETWORK_TCP : str_eqz(name, "udp") ? NETWORK_UDP : NETWORK_SCTP;
    return *ret != NETWORK_SCTP || str_eqz(name, "sctp");
}

/* _port._protocol of a headless service: the ports are those of its slices. */
static enum found srv_of_headless(struct answer *a, const struct state_service *s, struct str port,
                                  enum network_protocol protocol)
{
    struct targets t = {0};
    bool known = false;
    const struct state_slice *sl;
    list_each (sl, &s->slices, link) {
        for (size_t i = 0; i < sl->port_count; i++) {
            if (!port_matches(&sl->ports[i], port, protocol))
                continue;
            known = true;
            add_slice_targets(&t, s, sl, sl->ports[i].port);
        }
    }
    LIST_EACH (p, &s->spec->ports)
        known |= port_matches(p, port, protocol);
    tidy(&t);
    if (asks(a, DNS_SRV))
        srv_of_endpoints(a, s, &t);
    vec_free(&t.v);
    return known ? FOUND : NO_SUCH_NAME;
}

static enum found answer_srv(struct answer *a, struct str ns, struct str name,
                             struct str protocol_label, struct str port_label)
{
    struct str port;
    enum network_protocol protocol;
    const struct state_service *s = state_find(a->z->state, ns, name);
    if (!s || s->spec->type == NETWORK_EXTERNAL_NAME ||
        !parse_protocol(protocol_label, &protocol) || !parse_underscored(port_label, &port))
        return NO_SUCH_NAME;
    if (!s->spec->cluster_ips.n)
        return srv_of_headless(a, s, port, protocol);
    LIST_EACH (p, &s->spec->ports) {
        if (!port_matches(p, port, protocol) || str_empty(p->name))
            continue;
        if (asks(a, DNS_SRV))
            srv_of_cluster_ip(a, s, p->port);
        return FOUND;
    }
    return NO_SUCH_NAME;
}

/* "_tcp.web.default.svc": a name on the way to others. */
static enum found answer_protocol(struct answer *a, struct str ns, struct str name,
                                  struct str label)
{
    enum network_protocol protocol;
    const struct state_service *s = state_find(a->z->state, ns, name);
    if (!s || !parse_protocol(label, &protocol))
        return NO_SUCH_NAME;
    LIST_EACH (p, &s->spec->ports)
        if (p->protocol == protocol)
            return FOUND;
    return NO_SUCH_NAME;
}

/* ---- the domain ---- */

static enum found find_svc(struct answer *a)
{
    const struct str *l = a->labels;
    switch (a->n) {
    case 1: return FOUND;
    case 2: return state_namespace_known(a->z->state, l[0]) ? FOUND : NO_SUCH_NAME;
    case 3: return answer_service(a, l[1], l[0]);
    case 4:
        if (l[0].p[0] == '_')
            return answer_protocol(a, l[2], l[1], l[0]);
        return answer_endpoint(a, l[2], l[1], l[0]);
    case 5: return answer_srv(a, l[3], l[2], l[1], l[0]);
    default: return NO_SUCH_NAME;
    }
}

/* "10-244-0-7" or "fd00--7" */
static bool undash(struct str label, struct ip *ret)
{
    char text[IP_TEXT_MAX];
    if (label.n >= sizeof text)
        return false;
    for (int sep = 0; sep < 2; sep++) {
        for (size_t i = 0; i < label.n; i++)
            text[i] = label.p[i] == '-' ? (sep ? ':' : '.') : label.p[i];
        if (ip_parse(str_n(text, label.n), ret))
            return true;
    }
    return false;
}

static enum found find_pod(struct answer *a)
{
    struct ip ip;
    if (a->n == 1)
        return FOUND;
    if (a->n == 2)
        return state_namespace_known(a->z->state, a->labels[0]) ? FOUND : NO_SUCH_NAME;
    if (a->n != 3 || !undash(a->labels[0], &ip))
        return NO_SUCH_NAME;
    answer_address(a, ip);
    return FOUND;
}

static void answer_apex(struct answer *a)
{
    struct dns_name ns;
    dns_ref ref;
    if (a->q.type == DNS_SOA)
        put_soa(a, a->domain_labels);
    if (!asks(a, DNS_NS) || !make_name(a, &ns, "ns.dns") || !put_name_rr(a, DNS_NS, &ns, &ref))
        return;
    for (size_t i = 0; i < 2; i++)
        if (a->z->address[i].family)
            put_address(a, &ns, ref, a->z->address[i], DNS_ADDITIONAL);
}

static void answer_version(struct answer *a)
{
    static const char text[] = "\0051.1.0";
    if (!asks(a, DNS_TXT))
        return;
    struct dns_mark m = dns_rr_begin(&a->out, &a->name, a->ref, DNS_TXT, DNS_TTL_S);
    dns_put_bytes(&a->out, text, sizeof text - 1);
    dns_rr_end(&a->out, m, DNS_ANSWERS);
}

static enum found find_in_domain(struct answer *a)
{
    struct str last = a->n ? a->labels[a->n - 1] : STR_NULL;
    if (a->n == 0)
        answer_apex(a);
    else if (str_eqz(last, "svc"))
        return find_svc(a);
    else if (str_eqz(last, "pod"))
        return find_pod(a);
    else if (a->n == 1 && str_eqz(last, "dns-version"))
        answer_version(a);
    else if (a->n == 2 && str_eqz(last, "dns") && str_eqz(a->labels[0], "ns"))
        for (size_t i = 0; i < 2; i++)
            answer_address(a, a->z->address[i]);
    else if (a->n != 1 || !str_eqz(last, "dns"))
        return NO_SUCH_NAME;
    return FOUND;
}

/* ---- reverse names ---- */

static bool parse_reverse4(const struct answer *a, struct ip *ret)
{
    uint64_t v;
    *ret = (struct ip){.family = 4};
    for (size_t i = 0; i < 4; i++) {
        if (a->labels[i].n > 3 || !str_to_u64(a->labels[i], &v) || v > 255)
            return false;
        ret->bytes[3 - i] = (uint8_t)v;
    }
    return true;
}

static bool parse_reverse6(const struct answer *a, struct ip *ret)
{
    static const char digits[] = "0123456789abcdef";
    *ret = (struct ip){.family = 6};
    for (size_t i = 0; i < 32; i++) {
        const char *d = a->labels[i].n == 1 ? strchr(digits, a->labels[i].p[0]) : NULL;
        if (!d || !*d)
            return false;
        ret->bytes[15 - i / 2] |= (uint8_t)((d - digits) << (i % 2 * 4));
    }
    return true;
}

static bool put_ptr(struct answer *a, const struct state_service *s, struct str host)
{
    struct dns_name to;
    dns_ref ref;
    bool made = make_name(a, &to, "%.*s%s%.*s.%.*s.svc", STR_ARG(host), host.n ? "." : "",
                          STR_ARG(s->name), STR_ARG(s->namespace_));
    return made && put_name_rr(a, DNS_PTR, &to, &ref);
}

static enum found find_reverse(struct answer *a, struct ip ip)
{
    const struct state_service *s = state_find_ip(a->z->state, ip);
    const struct state_reverse *r = state_find_reverse(a->z->state, ip);
    bool ours = false;
    for (size_t i = 0; i < ARRAY_LEN(a->z->local); i++)
        ours |= cidr_has(a->z->local[i], ip);
    if (!s && !r)
        return ours ? NO_SUCH_NAME : NOT_OURS;
    if (!asks(a, DNS_PTR))
        return FOUND;
    if (s)
        put_ptr(a, s, STR_NULL);
    for (; r && !s; r = r->next)
        if (r->service->spec && published(r->service, r->endpoint))
            put_ptr(a, r->service, r->endpoint->hostname);
    return FOUND;
}

static enum found find_in_arpa(struct answer *a)
{
    struct ip ip;
    if (chop_domain(a, "in-addr.arpa") && a->n == 4 && parse_reverse4(a, &ip))
        return find_reverse(a, ip);
    if (chop_domain(a, "ip6.arpa") && a->n == 32 && parse_reverse6(a, &ip))
        return find_reverse(a, ip);
    return NOT_OURS;
}

/* ---- what upstream said about an ExternalName ---- */

static void copy_name_data(struct answer *a, struct dns_in *in, size_t prefix)
{
    struct dns_name name;
    dns_put_bytes(&a->out, in->p + in->at, MIN(prefix, in->n - in->at));
    dns_skip(in, prefix);
    dns_read_name(in, &name);
    dns_put_name(&a->out, &name, 0);
}

/* Names in data may be compressed in these types only (RFC 3597). */
static bool copy_data(struct answer *a, struct str message, const struct dns_rr *rr)
{
    struct dns_in in = {.p = (const uint8_t *)message.p, .n = message.n, .at = rr->data};
    switch (rr->type) {
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR: copy_name_data(a, &in, 0); break;
    case DNS_MX: copy_name_data(a, &in, 2); break;
    case DNS_SRV: copy_name_data(a, &in, 6); break;
    case DNS_SOA: return false;
    default: dns_put_bytes(&a->out, in.p + in.at, rr->data_len); return true;
    }
    return !in.bad && in.at == rr->data + rr->data_len;
}

static void copy_answers(struct answer *a, struct dns_in *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dns_rr rr;
        dns_read_rr(in, &rr);
        if (in->bad)
            return;
        if (rr.class_ != DNS_IN || rr.type == DNS_OPT)
            continue;
        struct str message = str_n((const char *)in->p, in->n);
        struct dns_out before = a->out;
        struct dns_mark m = dns_rr_begin(&a->out, &rr.owner, 0, rr.type, MIN(rr.ttl, DNS_TTL_S));
        if (copy_data(a, message, &rr))
            dns_rr_end(&a->out, m, DNS_ANSWERS);
        else
            a->out = before;
    }
}

static void append_chased(struct answer *a)
{
    struct dns_in in = {.p = (const uint8_t *)a->chased.p, .n = a->chased.n};
    dns_skip(&in, 2);
    uint16_t flags = dns_u16(&in), questions = dns_u16(&in), answers = dns_u16(&in);
    dns_skip(&in, 4);
    for (size_t i = 0; i < questions && !in.bad; i++) {
        struct dns_name name;
        dns_read_name(&in, &name);
        dns_skip(&in, 4);
    }
    a->rcode = in.bad ? DNS_SERVFAIL : (enum dns_rcode)(flags & DNS_RCODE);
    a->out.truncated |= (flags & DNS_TC) != 0;
    if (!in.bad)
        copy_answers(a, &in, answers);
}

/* ---- all together ---- */

static enum found chase(struct answer *a)
{
    *a->chase = a->name;
    if (!a->chased.p)
        return ASK_UPSTREAM;
    append_chased(a);
    return FOUND;
}

/* A reverse name, or one of the domain; and where a CNAME leads. */
static enum found find(struct answer *a)
{
    for (;;) {
        bool in_domain = chop_domain(a, a->z->domain);
        if (!in_domain && a->chases)
            return chase(a);
        if (!in_domain)
            return find_in_arpa(a);
        if (!a->z->state->synced) {
            a->rcode = DNS_SERVFAIL;
            return FOUND;
        }
        enum found found = find_in_domain(a);
        if (found != GO_ON)
            return found;
        if (++a->chases > DNS_CHASE_MAX) {
            a->rcode = DNS_SERVFAIL;
            return FOUND;
        }
    }
}

static void put_opt(struct answer *a)
{
    static const uint8_t root[1];
    if (!a->q.edns)
        return;
    a->out.limit += DNS_OPT_SIZE;
    dns_put_bytes(&a->out, root, sizeof root);
    dns_put_u16(&a->out, DNS_OPT);
    dns_put_u16(&a->out, DNS_UDP_MAX);
    dns_put_u32(&a->out, (uint32_t)a->rcode >> 4 << 24 | (a->q.dnssec_ok ? 1u << 15 : 0));
    dns_put_u16(&a->out, 0);
    a->out.counts[DNS_ADDITIONAL]++;
}

static void put_header(struct answer *a)
{
    struct dns_out head = {.p = a->out.p, .limit = DNS_HEADER};
    uint16_t flags = DNS_QR | DNS_RA | (a->q.flags & (DNS_RD | DNS_CD | DNS_OPCODE));
    flags |= a->authoritative ? DNS_AA : 0;
    flags |= a->out.truncated ? DNS_TC : 0;
    dns_put_u16(&head, a->q.id);
    dns_put_u16(&head, flags | (a->rcode & DNS_RCODE));
    for (size_t i = 0; i < ARRAY_LEN(a->out.counts); i++)
        dns_put_u16(&head, a->out.counts[i]);
}

static size_t size_limit(const struct dns_query *q, bool tcp)
{
    size_t limit = tcp ? DNS_MESSAGE_MAX : MIN(q->udp_size, DNS_UDP_MAX);
    return limit - (q->edns ? DNS_OPT_SIZE : 0);
}

static void begin(struct answer *a, struct str message, bool tcp, uint8_t *out)
{
    a->out = (struct dns_out){.p = out, .n = DNS_HEADER, .limit = size_limit(&a->q, tcp)};
    a->name = a->q.name;
    a->ref = DNS_HEADER;
    if (!a->q.question_end)
        return;
    dns_put_bytes(&a->out, message.p + DNS_HEADER, a->q.question_end - DNS_HEADER);
    a->out.counts[DNS_QUESTIONS] = 1;
}

static size_t end(struct answer *a)
{
    put_opt(a);
    put_header(a);
    return a->out.n;
}

/* An empty answer says until when that is so. */
static void end_negative(struct answer *a)
{
    struct str labels[DNS_LABELS_MAX];
    size_t n = split(&a->q.name, labels);
    bool reverse = n >= 2 && str_eqz(labels[n - 1], "arpa");
    bool empty = a->out.counts[DNS_ANSWERS] == 0 && !a->out.truncated;
    if (empty && (a->rcode == DNS_NOERROR || a->rcode == DNS_NXDOMAIN) && !a->chases)
        put_soa(a, reverse ? 2 : a->domain_labels);
}

size_t dns_error(struct str message, enum dns_rcode rcode, uint8_t out[DNS_UDP_MAX])
{
    struct answer a = {.rcode = rcode};
    enum dns_rcode fault;
    if (!dns_read_query(message, &a.q, &fault))
        return 0;
    if (fault == DNS_FORMERR || fault == DNS_NOTIMP)
        a.q.question_end = 0;
    begin(&a, message, false, out);
    return end(&a);
}

enum dns_verdict dns_answer(const struct dns_zone *z, struct str message, bool tcp, uint32_t random,
                            struct str chased, uint8_t *out, size_t *ret_n,
                            struct dns_name *ret_chase)
{
    struct answer a = {.z = z, .random = random, .chased = chased, .chase = ret_chase};
    enum dns_rcode fault;
    *ret_n = 0;
    if (!dns_read_query(message, &a.q, &fault))
        return DNS_IGNORE;
    if (fault == DNS_NOERROR && a.q.class_ != DNS_IN)
        fault = DNS_REFUSED;
    if (fault != DNS_NOERROR) {
        *ret_n = dns_error(message, fault, out);
        return DNS_ANSWER;
    }
    begin(&a, message, tcp, out);
    enum found found = find(&a);
    if (found == NOT_OURS)
        return DNS_FORWARD;
    if (found == ASK_UPSTREAM)
        return DNS_CHASE;
    if (found == NO_SUCH_NAME)
        a.rcode = DNS_NXDOMAIN;
    a.authoritative = a.rcode != DNS_SERVFAIL;
    end_negative(&a);
    *ret_n = end(&a);
    return DNS_ANSWER;
}

/* ---- talking to upstream ---- */

size_t dns_ask(const struct dns_name *name, uint16_t type, uint16_t id, uint8_t out[DNS_UDP_MAX])
{
    struct answer a = {.q = {.edns = true}};
    a.out = (struct dns_out){.p = out, .limit = DNS_UDP_MAX - DNS_OPT_SIZE};
    dns_put_u16(&a.out, id);
    dns_put_u16(&a.out, DNS_RD);
    dns_put_u16(&a.out, 1);
    dns_put_u32(&a.out, 0);
    dns_put_u16(&a.out, 1);
    dns_put_name(&a.out, name, 0);
    dns_put_u16(&a.out, type);
    dns_put_u16(&a.out, DNS_IN);
    put_opt(&a);
    return a.out.n;
}

bool dns_question_key(struct str message, struct buf *key)
{
    struct dns_query q;
    enum dns_rcode fault;
    if (!dns_read_query(message, &q, &fault) || fault != DNS_NOERROR)
        return false;
    buf_add(key, message.p + 2, DNS_HEADER - 2);
    buf_add(key, q.name.wire, q.name.n);
    buf_add(key, message.p + DNS_HEADER + q.name.n, message.n - DNS_HEADER - q.name.n);
    return !key->failed;
}

static bool read_question(struct str message, uint16_t *ret_flags, struct dns_name *ret_name,
                          uint32_t *ret_type_class)
{
    struct dns_in in = {.p = (const uint8_t *)message.p, .n = message.n, .at = 0};
    dns_skip(&in, 2);
    *ret_flags = dns_u16(&in);
    uint16_t questions = dns_u16(&in);
    dns_skip(&in, 6);
    dns_read_name(&in, ret_name);
    *ret_type_class = dns_u32(&in);
    /* Without pointers, so that equal questions are equally long. */
    return !in.bad && questions == 1 && in.at == DNS_HEADER + ret_name->n + 4;
}

bool dns_is_reply(struct str query, struct str reply)
{
    struct dns_name asked, answered;
    uint16_t flags, reply_flags;
    uint32_t tc, reply_tc;
    return read_question(query, &flags, &asked, &tc) &&
           read_question(reply, &reply_flags, &answered, &reply_tc) &&
           memcmp(query.p, reply.p, 2) == 0 && reply_flags & DNS_QR && tc == reply_tc &&
           asked.n == answered.n && memcmp(asked.wire, answered.wire, asked.n) == 0;
}

bool dns_well_formed(struct str message)
{
    struct dns_in in = {.p = (const uint8_t *)message.p, .n = message.n};
    dns_skip(&in, 4);
    uint16_t counts[4];
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        counts[i] = dns_u16(&in);
    for (size_t i = 0; i < counts[0] && !in.bad; i++) {
        struct dns_name name;
        dns_read_name(&in, &name);
        dns_skip(&in, 4);
    }
    for (size_t i = 0; i < (size_t)counts[1] + counts[2] + counts[3] && !in.bad; i++) {
        struct dns_rr rr;
        dns_read_rr(&in, &rr);
    }
    return !in.bad && in.at == in.n;
}
