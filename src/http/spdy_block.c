/* SPDX-License-Identifier: Apache-2.0 */
#include "http/spdy_block.h"

#define ZLIB_CONST
#include <zlib.h>

/* A word as a header block writes it: its length in four bytes, then itself. */
#define W(length, word) "\0\0\0" length word

/* The bytes are fixed by SPDY/3 section 2.6.10.1. */
/* clang-format off */
static const char dictionary[] =
    W("\7", "options") W("\4", "head") W("\4", "post") W("\3", "put") W("\6", "delete")
    W("\5", "trace") W("\6", "accept") W("\16", "accept-charset") W("\17", "accept-encoding")
    W("\17", "accept-language") W("\15", "accept-ranges") W("\3", "age") W("\5", "allow")
    W("\15", "authorization") W("\15", "cache-control") W("\12", "connection")
    W("\14", "content-base") W("\20", "content-encoding") W("\20", "content-language")
    W("\16", "content-length") W("\20", "content-location") W("\13", "content-md5")
    W("\15", "content-range") W("\14", "content-type") W("\4", "date") W("\4", "etag")
    W("\6", "expect") W("\7", "expires") W("\4", "from") W("\4", "host") W("\10", "if-match")
    W("\21", "if-modified-since") W("\15", "if-none-match") W("\10", "if-range")
    W("\23", "if-unmodified-since") W("\15", "last-modified") W("\10", "location")
    W("\14", "max-forwards") W("\6", "pragma") W("\22", "proxy-authenticate")
    W("\23", "proxy-authorization") W("\5", "range") W("\7", "referer") W("\13", "retry-after")
    W("\6", "server") W("\2", "te") W("\7", "trailer") W("\21", "transfer-encoding")
    W("\7", "upgrade") W("\12", "user-agent") W("\4", "vary") W("\3", "via") W("\7", "warning")
    W("\20", "www-authenticate") W("\6", "method") W("\3", "get") W("\6", "status")
    W("\6", "200 OK") W("\7", "version") W("\10", "HTTP/1.1") W("\3", "url") W("\6", "public")
    W("\12", "set-cookie") W("\12", "keep-alive") W("\6", "origin")
    "10010120120220520630030230330430530630740240540640740840941041141241341441541641750250450520"
    "3 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unautho"
    "rized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unava"
    "ilableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat"
    ", Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+"
    "xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=is"
    "o-8859-1,utf-,*,enq=0.";
/* clang-format on */
_Static_assert(sizeof dictionary - 1 == 1423, "the dictionary of SPDY/3");

/* Our own blocks are small: a 2 KiB window holds the dictionary, and the state takes 9 KiB
 * instead of zlib's usual 260. The peer chooses its window, so inflating must allow all. */
enum { DEFLATE_WINDOW_BITS = 11, DEFLATE_MEMORY = 1, INFLATE_WINDOW_BITS = 15 };

/* ---- writing ---- */

static z_stream *deflate_begin(void)
{
    z_stream *z = xcalloc(1, sizeof *z);
    must(deflateInit2(z, Z_BEST_COMPRESSION, Z_DEFLATED, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY,
                      Z_DEFAULT_STRATEGY) == Z_OK);
    must(deflateSetDictionary(z, (const Bytef *)dictionary, sizeof dictionary - 1) == Z_OK);
    return z;
}

void spdy_deflate_fini(struct spdy_block *b)
{
    if (b->z)
        deflateEnd(b->z);
    free(TAKE_PTR(b->z));
}

static void put_u32(struct buf *b, uint32_t v)
{
    char be[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    buf_add(b, be, sizeof be);
}

/* The values of h->v[at] and of all later headers of its name. */
static void put_values(struct buf *b, const struct http_headers *h, size_t at)
{
    size_t length_at = b->n;
    put_u32(b, 0);
    size_t start = b->n;
    for (size_t i = at; i < h->n; i++) {
        if (!str_eq(h->v[i].name, h->v[at].name))
            continue;
        if (i > at)
            buf_c(b, 0);
        buf_str(b, h->v[i].value);
    }
    if (b->failed)
        return;
    uint32_t n = (uint32_t)(b->n - start);
    for (int i = 0; i < 4; i++)
        b->p[length_at + (size_t)i] = (char)(n >> (24 - 8 * i));
}

static bool named_before(const struct http_headers *h, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_eq(h->v[i].name, h->v[at].name))
            return true;
    return false;
}

static void put_block(struct buf *b, const struct http_headers *h)
{
    uint32_t count = 0;
    for (size_t i = 0; i < h->n; i++)
        count += !named_before(h, i);
    put_u32(b, count);
    for (size_t i = 0; i < h->n; i++) {
        if (named_before(h, i))
            continue;
        put_u32(b, (uint32_t)h->v[i].name.n);
        buf_str(b, h->v[i].name);
        put_values(b, h, i);
    }
}

int spdy_deflate(struct spdy_block *b, const struct http_headers *headers, struct buf *out)
{
    CLEANUP(buf_fini) struct buf plain = BUF_INIT(SPDY_BLOCK_MAX);
    if (headers->n > SPDY_HEADER_COUNT_MAX)
        return -ERR_LIMIT;
    put_block(&plain, headers);
    if (plain.failed)
        return -ERR_LIMIT;
    if (!b->z)
        b->z = deflate_begin();
    size_t bound = deflateBound(b->z, plain.n) + 16; /* and the sync marker */
    char *to = buf_reserve(out, bound);
    if (!to)
        return -ERR_LIMIT;
    b->z->next_in = (const Bytef *)plain.p;
    b->z->avail_in = (uInt)plain.n;
    b->z->next_out = (Bytef *)to;
    b->z->avail_out = (uInt)bound;
    must(deflate(b->z, Z_SYNC_FLUSH) == Z_OK && b->z->avail_in == 0 && b->z->avail_out > 0);
    buf_advance(out, bound - b->z->avail_out);
    return 0;
}

/* ---- reading ---- */

static z_stream *inflate_begin(void)
{
    z_stream *z = xcalloc(1, sizeof *z);
    must(inflateInit2(z, INFLATE_WINDOW_BITS) == Z_OK);
    return z;
}

void spdy_inflate_fini(struct spdy_block *b)
{
    if (b->z)
        inflateEnd(b->z);
    free(TAKE_PTR(b->z));
}

/* All of bytes must be consumed and give at most room bytes at `to`. */
static int inflate_all(z_stream *z, struct str bytes, char *to, size_t room, size_t *ret_n)
{
    z->next_in = (const Bytef *)bytes.p;
    z->avail_in = (uInt)bytes.n;
    z->next_out = (Bytef *)to;
    z->avail_out = (uInt)room;
    int r = inflate(z, Z_SYNC_FLUSH);
    if (r == Z_NEED_DICT) {
        if (inflateSetDictionary(z, (const Bytef *)dictionary, sizeof dictionary - 1) != Z_OK)
            return -ERR_BAD_REQUEST;
        r = inflate(z, Z_SYNC_FLUSH);
    }
    *ret_n = room - z->avail_out;
    if (r != Z_OK && r != Z_BUF_ERROR)
        return -ERR_BAD_REQUEST;
    if (z->avail_out == 0)
        return -ERR_LIMIT;
    return z->avail_in == 0 ? 0 : -ERR_BAD_REQUEST;
}

static bool take_u32(struct str *s, uint32_t *ret)
{
    if (s->n < 4)
        return false;
    const unsigned char *p = (const unsigned char *)s->p;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *s = str_sub(*s, 4, s->n);
    return true;
}

static bool take_string(struct str *s, struct str *ret)
{
    uint32_t n;
    if (!take_u32(s, &n) || n > s->n)
        return false;
    *ret = str_sub(*s, 0, n);
    *s = str_sub(*s, n, s->n);
    return true;
}

static bool name_ok(const struct http_headers *h, struct str name)
{
    if (str_empty(name))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if ((name.p[i] >= 'A' && name.p[i] <= 'Z') || name.p[i] == 0)
            return false;
    for (size_t i = 0; i < h->n; i++)
        if (str_eq(h->v[i].name, name))
            return false;
    return true;
}

static void add(struct arena *a, struct http_headers *h, struct str name, struct str value)
{
    if (h->n == h->room) {
        size_t room = h->room ? h->room * 2 : 8;
        struct http_header *grown = arena_array(a, room, struct http_header);
        if (h->n)
            memcpy(grown, h->v, h->n * sizeof *grown);
        h->v = grown;
        h->room = room;
    }
    h->v[h->n++] = (struct http_header){name, value};
}

/* plain lives on the arena and so do the strings, which point into it. */
static int parse(struct str plain, struct arena *a, struct http_headers *ret)
{
    uint32_t count;
    *ret = (struct http_headers){0};
    if (!take_u32(&plain, &count))
        return -ERR_BAD_REQUEST;
    if (count > SPDY_HEADER_COUNT_MAX)
        return -ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        struct str name, values, value;
        if (!take_string(&plain, &name) || !take_string(&plain, &values) || !name_ok(ret, name))
            return -ERR_BAD_REQUEST;
        while (str_next(&values, 0, &value)) {
            if (ret->n >= SPDY_HEADER_COUNT_MAX)
                return -ERR_LIMIT;
            add(a, ret, name, value);
        }
    }
    return str_empty(plain) ? 0 : -ERR_BAD_REQUEST;
}

int spdy_inflate(struct spdy_block *b, struct str bytes, struct arena *a, struct http_headers *ret)
{
    if (b->failed)
        return -ERR_BAD_REQUEST;
    if (!b->z)
        b->z = inflate_begin();
    char plain[SPDY_BLOCK_MAX + 1];
    size_t n = 0;
    int r = inflate_all(b->z, bytes, plain, sizeof plain, &n);
    if (r == 0)
        r = parse(arena_str(a, str_n(plain, n)), a, ret);
    b->failed = r < 0;
    return r;
}
