/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and prefixes in API fields. */
#include <arpa/inet.h>

#include "api/validate.h"

/* Dotted decimal; leading zeros do not make a number octal. */
static bool parse_v4(struct str s, uint8_t ret[4], bool *ret_zeros)
{
    struct str part;
    size_t n = 0;
    while (str_next(&s, '.', &part)) {
        uint64_t octet;
        if (n == 4 || part.n == 0 || !str_to_u64(part, &octet) || octet > 255)
            return false;
        *ret_zeros |= part.n > 1 && part.p[0] == '0';
        ret[n++] = (uint8_t)octet;
    }
    return n == 4;
}

static bool is_mapped_v4(const uint8_t b[16])
{
    static const uint8_t head[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(b, head, sizeof head) == 0;
}

/* What was odd about an address that was accepted. */
struct oddity {
    bool zeros, mapped;
};

static bool parse_ip(struct str s, struct ip_addr *ret, struct oddity *odd)
{
    char text[INET6_ADDRSTRLEN];
    *ret = (struct ip_addr){0};
    if (str_index(s, ':') < 0)
        return parse_v4(s, ret->bytes, &odd->zeros);
    if (s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    uint8_t bytes[16];
    if (strlen(text) != s.n || inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    odd->mapped = is_mapped_v4(bytes);
    ret->is_v6 = !odd->mapped;
    memcpy(ret->bytes, odd->mapped ? bytes + 12 : bytes, odd->mapped ? 4 : 16);
    return true;
}

bool ip_parse(struct str s, struct ip_addr *ret)
{
    struct oddity odd = {0};
    return parse_ip(s, ret, &odd);
}

static bool parse_prefix(struct str s, struct ip_prefix *ret, struct oddity *odd)
{
    struct str addr, bits_text;
    uint64_t bits;
    if (!str_cut(s, '/', &addr, &bits_text) || !parse_ip(addr, &ret->addr, odd) ||
        !str_to_u64(bits_text, &bits) || bits_text.n > 4)
        return false;
    odd->zeros |= bits_text.n > 1 && bits_text.p[0] == '0';
    if (odd->mapped) { /* counted in the 128 bits it was written in */
        if (bits < 96 || bits > 128)
            return false;
        bits -= 96;
    }
    ret->bits = (uint8_t)bits;
    return bits <= (ret->addr.is_v6 ? 128 : 32);
}

bool ip_prefix_parse(struct str s, struct ip_prefix *ret)
{
    struct oddity odd = {0};
    return parse_prefix(s, ret, &odd);
}

static void mask(struct ip_addr *ip, uint8_t bits)
{
    for (size_t i = 0; i < 16; i++) {
        int keep = (int)bits - (int)i * 8;
        ip->bytes[i] &= (uint8_t)(keep >= 8 ? 0xff : keep <= 0 ? 0 : 0xff << (8 - keep));
    }
}

bool ip_in_prefix(const struct ip_addr *ip, const struct ip_prefix *prefix)
{
    struct ip_addr a = *ip, b = prefix->addr;
    mask(&a, prefix->bits);
    mask(&b, prefix->bits);
    return a.is_v6 == b.is_v6 && memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

struct str ip_text(struct arena *a, const struct ip_addr *ip)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(ip->is_v6 ? AF_INET6 : AF_INET, ip->bytes, text, sizeof text);
    return arena_cstr(a, text);
}

bool ip_is_unspecified(const struct ip_addr *ip)
{
    static const uint8_t zero[16];
    return memcmp(ip->bytes, zero, sizeof zero) == 0;
}

bool ip_is_loopback(const struct ip_addr *ip)
{
    static const uint8_t one[16] = {[15] = 1};
    return ip->is_v6 ? memcmp(ip->bytes, one, sizeof one) == 0 : ip->bytes[0] == 127;
}

bool ip_is_link_local_unicast(const struct ip_addr *ip)
{
    if (ip->is_v6)
        return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
    return ip->bytes[0] == 169 && ip->bytes[1] == 254;
}

bool ip_is_link_local_multicast(const struct ip_addr *ip)
{
    if (ip->is_v6)
        return ip->bytes[0] == 0xff && (ip->bytes[1] & 0x0f) == 0x02;
    return ip->bytes[0] == 224 && ip->bytes[1] == 0 && ip->bytes[2] == 0;
}

/* ---- checks ---- */

bool check_ip(struct validation *v, const struct field_path *p, struct str s)
{
    struct ip_addr ip;
    if (ip_parse(s, &ip))
        return true;
    fault_invalid(v, p, bad_str(s),
                  "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    return false;
}

bool check_ip_strict(struct validation *v, const struct field_path *p, struct str s)
{
    struct ip_addr ip;
    struct oddity odd = {0};
    if (!parse_ip(s, &ip, &odd))
        return check_ip(v, p, s);
    if (odd.zeros)
        fault_invalid(v, p, bad_str(s), "must not have leading 0s");
    if (odd.mapped)
        fault_invalid(v, p, bad_str(s), "must not be an IPv4-mapped IPv6 address");
    if (odd.zeros || odd.mapped)
        return false;
    struct str canonical = ip_text(v->arena, &ip);
    if (str_eq(canonical, s))
        return true;
    fault_invalid(v, p, bad_str(s), "must be in canonical form (\"%.*s\")", STR_ARG(canonical));
    return false;
}

bool check_cidr(struct validation *v, const struct field_path *p, struct str s)
{
    struct ip_prefix prefix;
    if (ip_prefix_parse(s, &prefix))
        return true;
    fault_invalid(v, p, bad_str(s),
                  "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    return false;
}

bool check_cidr_strict(struct validation *v, const struct field_path *p, struct str s)
{
    struct ip_prefix prefix;
    struct oddity odd = {0};
    if (!parse_prefix(s, &prefix, &odd))
        return check_cidr(v, p, s);
    struct ip_addr masked = prefix.addr;
    mask(&masked, prefix.bits);
    const char *fault = odd.zeros    ? "must not have leading 0s in IP or prefix length"
                        : odd.mapped ? "must not have an IPv4-mapped IPv6 address"
                        : memcmp(masked.bytes, prefix.addr.bytes, sizeof masked.bytes)
                            ? "must not have bits set beyond the prefix length"
                            : NULL;
    if (fault) {
        fault_invalid(v, p, bad_str(s), "%s", fault);
        return false;
    }
    struct str canonical =
        arena_fmt(v->arena, "%.*s/%u", STR_ARG(ip_text(v->arena, &masked)), prefix.bits);
    if (str_eq(canonical, s))
        return true;
    fault_invalid(v, p, bad_str(s), "must be in canonical form (\"%.*s\")", STR_ARG(canonical));
    return false;
}

void check_ordinary_ip(struct validation *v, const struct field_path *p, struct str s)
{
    struct ip_addr ip;
    if (!check_ip(v, p, s) || !ip_parse(s, &ip))
        return;
    if (ip_is_unspecified(&ip))
        fault_invalid(v, p, bad_str(s), "may not be unspecified (0.0.0.0 or ::)");
    if (ip_is_loopback(&ip))
        fault_invalid(v, p, bad_str(s), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (ip_is_link_local_unicast(&ip))
        fault_invalid(v, p, bad_str(s),
                      "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (ip_is_link_local_multicast(&ip))
        fault_invalid(v, p, bad_str(s),
                      "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

bool is_dual_stack(const struct str_list *cidrs)
{
    struct ip_prefix a, b;
    return cidrs->n == 2 && ip_prefix_parse(cidrs->v[0], &a) && ip_prefix_parse(cidrs->v[1], &b) &&
           a.addr.is_v6 != b.addr.is_v6;
}
