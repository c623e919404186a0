/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/utf8.h"

void utf8_put_valid(struct buf *b, struct str s)
{
    if (s.n == 0)
        return;
    const char *p = s.p, *end = s.p + s.n, *kept = p;
    while (p < end) {
        unsigned n = (unsigned char)*p < 0x80 ? 1 : utf8_step(p, end);
        p += n ? n : 1;
        if (n)
            continue;
        buf_add(b, kept, (size_t)(p - 1 - kept));
        buf_z(b, UTF8_REPLACEMENT);
        kept = p;
    }
    buf_add(b, kept, (size_t)(p - kept));
}
