/* SPDX-License-Identifier: Apache-2.0 */
#include "network/ipam.h"

enum { OFFSET_FIRST = 2, WORD = 64 };

void ipam_init(struct ipam *m, struct cidr c)
{
    int64_t span = ip_distance(cidr_last(c), c.ip);
    uint32_t last = span < 0 || span > IPAM_OFFSET_MAX ? IPAM_OFFSET_MAX : (uint32_t)span;
    if (c.ip.family == 4 && last == span)
        last--; /* broadcast */
    *m = (struct ipam){.cidr = c, .last = last, .at = OFFSET_FIRST - 1};
    m->used = xcalloc(last / WORD + 1, sizeof *m->used);
    m->used[0] = (1u << OFFSET_FIRST) - 1;
}

void ipam_fini(struct ipam *m)
{
    free(m->used);
    *m = (struct ipam){0};
}

bool ipam_claim(struct ipam *m, uint32_t offset)
{
    uint64_t bit = UINT64_C(1) << offset % WORD;
    if (offset > m->last || m->used[offset / WORD] & bit)
        return false;
    m->used[offset / WORD] |= bit;
    m->count++;
    return true;
}

uint32_t ipam_take(struct ipam *m)
{
    for (uint32_t i = 0; i < m->last; i++) {
        m->at = m->at >= m->last ? OFFSET_FIRST : m->at + 1;
        if (ipam_claim(m, m->at))
            return m->at;
    }
    return 0;
}

void ipam_release(struct ipam *m, uint32_t offset)
{
    uint64_t bit = UINT64_C(1) << offset % WORD;
    must(offset >= OFFSET_FIRST && offset <= m->last && m->used[offset / WORD] & bit);
    m->used[offset / WORD] &= ~bit;
    m->count--;
}

struct ip ipam_address(const struct ipam *m, uint32_t offset)
{
    return ip_add(m->cidr.ip, offset);
}

uint32_t ipam_offset(const struct ipam *m, struct ip a)
{
    if (!cidr_has(m->cidr, a))
        return 0;
    int64_t offset = ip_distance(a, m->cidr.ip);
    return offset < OFFSET_FIRST || offset > m->last ? 0 : (uint32_t)offset;
}

uint32_t ipam_size(const struct ipam *m)
{
    return m->last - OFFSET_FIRST + 1;
}
