/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/gzip.h"

#include <limits.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 /* zlib's way to ask for the gzip format */, STEP = 64 << 10 };

/* zlib counts in unsigned int: hands over the next piece of the input. */
static void feed(z_stream *z, struct str *rest)
{
    if (z->avail_in || rest->n == 0)
        return;
    size_t n = MIN(rest->n, (size_t)UINT_MAX);
    z->next_in = (z_const Bytef *)(uintptr_t)rest->p;
    z->avail_in = (uInt)n;
    *rest = str_n(rest->p + n, rest->n - n);
}

/* Room at the end of b, at least one byte; false when there is none below the cap. */
static bool give_room(z_stream *z, struct buf *b)
{
    size_t n = MIN(b->cap - b->n, (size_t)STEP);
    z->next_out = (Bytef *)(n ? buf_reserve(b, n) : NULL);
    z->avail_out = (uInt)n;
    return z->next_out != NULL;
}

static void take_output(z_stream *z, struct buf *b)
{
    buf_advance(b, (size_t)((char *)z->next_out - (b->p + b->n)));
}

void gzip_compress(struct buf *b, struct str s, int level)
{
    z_stream z = {0};
    if (b->failed)
        return;
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        b->failed = true;
        return;
    }
    int status = Z_OK;
    while (status == Z_OK && give_room(&z, b)) {
        feed(&z, &s);
        status = deflate(&z, s.n ? Z_NO_FLUSH : Z_FINISH);
        take_output(&z, b);
    }
    deflateEnd(&z);
    if (status != Z_STREAM_END)
        b->failed = true;
}

/* One step at a full buffer: a byte more than fits is an error, the stream's end is not. */
static int inflate_nothing(z_stream *z)
{
    Bytef spare;
    z->next_out = &spare;
    z->avail_out = 1;
    int status = inflate(z, Z_NO_FLUSH);
    return z->avail_out ? status : Z_BUF_ERROR;
}

static int inflate_step(z_stream *z, struct buf *b)
{
    if (b->n == b->cap)
        return inflate_nothing(z);
    if (!give_room(z, b))
        return Z_MEM_ERROR;
    int status = inflate(z, Z_NO_FLUSH);
    take_output(z, b);
    return status;
}

bool gzip_decompress(struct buf *b, struct str s)
{
    z_stream z = {0};
    if (b->failed || inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return false;
    size_t before = b->n;
    int status = Z_OK;
    /* A text may be several members, one after another (RFC 1952, 2.2). */
    while (status == Z_OK || (status == Z_STREAM_END && z.avail_in + s.n > 0)) {
        if (status == Z_STREAM_END)
            inflateReset(&z);
        feed(&z, &s);
        status = inflate_step(&z, b);
    }
    inflateEnd(&z);
    if (status != Z_STREAM_END)
        buf_truncate(b, before);
    return status == Z_STREAM_END;
}
