/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/inflate.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

static int fill(struct inflate *in, struct err *e)
{
    if (in->input_ended || in->in_at < in->in_n)
        return 0;
    ssize_t n;
    do
        n = read(in->fd, in->in, INFLATE_CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(e, errno, "read blob");
    in->in_at = 0;
    in->in_n = (size_t)n;
    in->input_ended = n == 0;
    return 0;
}

static enum inflate_kind kind_of(const unsigned char *p, size_t n)
{
    if (n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8)
        return INFLATE_GZIP;
    if (n >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd)
        return INFLATE_ZSTD;
    return INFLATE_PLAIN;
}

static int make_state(struct inflate *in, struct err *e)
{
    if (in->kind == INFLATE_GZIP) {
        z_stream *z = xcalloc(1, sizeof *z);
        in->state = z;
        if (inflateInit2(z, 15 + 16) != Z_OK)
            return err_set(e, ERR_INTERNAL, "zlib does not start");
    } else if (in->kind == INFLATE_ZSTD) {
        in->state = ZSTD_createDStream();
        if (!in->state)
            return err_set(e, ERR_INTERNAL, "zstd does not start");
        /* 128 MiB, what the zstd program itself accepts by default */
        ZSTD_DCtx_setParameter(in->state, ZSTD_d_windowLogMax, 27);
    }
    return 0;
}

int inflate_begin(struct inflate *in, int fd, uint64_t plain_max_bytes, struct err *e)
{
    *in = (struct inflate){.fd = fd, .plain_max = plain_max_bytes};
    in->in = xmalloc(INFLATE_CHUNK);
    in->out = xmalloc(INFLATE_CHUNK);
    sha256_init(&in->hash);
    int r = fill(in, e);
    if (r == 0) {
        in->kind = kind_of(in->in, in->in_n);
        r = make_state(in, e);
    }
    if (r < 0)
        inflate_fini(in);
    return r;
}

void inflate_fini(struct inflate *in)
{
    if (in->kind == INFLATE_GZIP && in->state) {
        inflateEnd(in->state);
        free(in->state);
    } else if (in->kind == INFLATE_ZSTD) {
        ZSTD_freeDStream(in->state);
    }
    in->state = NULL;
    free(in->in);
    free(in->out);
    in->in = in->out = NULL;
    sha256_drop(&in->hash);
}

/* One step: consumes input, returns the plain bytes made (possibly none). */
static int step_gzip(struct inflate *in, struct str *ret, struct err *e)
{
    z_stream *z = in->state;
    if (!in->unit_open)
        inflateReset(z);
    in->unit_open = true;
    z->next_in = in->in + in->in_at;
    z->avail_in = (uInt)(in->in_n - in->in_at);
    z->next_out = in->out;
    z->avail_out = INFLATE_CHUNK;
    int r = inflate(z, Z_NO_FLUSH);
    in->in_at = in->in_n - z->avail_in;
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return err_set(e, ERR_INVALID, "damaged gzip data: %s", z->msg ? z->msg : "bad stream");
    if (r == Z_STREAM_END)
        in->unit_open = false;
    *ret = str_n((const char *)in->out, INFLATE_CHUNK - z->avail_out);
    return 0;
}

static int step_zstd(struct inflate *in, struct str *ret, struct err *e)
{
    ZSTD_inBuffer from = {in->in, in->in_n, in->in_at};
    ZSTD_outBuffer to = {in->out, INFLATE_CHUNK, 0};
    size_t r = ZSTD_decompressStream(in->state, &to, &from);
    in->in_at = from.pos;
    if (ZSTD_isError(r))
        return err_set(e, ERR_INVALID, "damaged zstd data: %s", ZSTD_getErrorName(r));
    in->unit_open = r != 0;
    *ret = str_n((const char *)in->out, to.pos);
    return 0;
}

static int step_plain(struct inflate *in, struct str *ret)
{
    *ret = str_n((const char *)in->in + in->in_at, in->in_n - in->in_at);
    in->in_at = in->in_n;
    return 0;
}

static int step(struct inflate *in, struct str *ret, struct err *e)
{
    switch (in->kind) {
    case INFLATE_GZIP: return step_gzip(in, ret, e);
    case INFLATE_ZSTD: return step_zstd(in, ret, e);
    case INFLATE_PLAIN: return step_plain(in, ret);
    }
    never("unknown compression");
}

/* A decompressor may still hold output after the last input byte: ask it until it gives none. */
static bool exhausted(const struct inflate *in, struct str made)
{
    return in->input_ended && in->in_at == in->in_n && made.n == 0;
}

int inflate_next(struct inflate *in, struct str *ret, struct err *e)
{
    *ret = STR_NULL;
    for (;;) {
        int r = fill(in, e);
        if (r < 0)
            return r;
        bool at_end = in->input_ended && in->in_at == in->in_n;
        if (at_end && !in->unit_open)
            return 0;
        if ((r = step(in, ret, e)) < 0)
            return r;
        if (exhausted(in, *ret))
            return in->unit_open ? err_set(e, ERR_INVALID, "compressed data ends too early") : 0;
        if (!ret->n)
            continue;
        in->plain += ret->n;
        if (in->plain > in->plain_max)
            return err_set(e, ERR_LIMIT, "unpacked data is larger than %llu bytes",
                           (unsigned long long)in->plain_max);
        sha256_add(&in->hash, ret->p, ret->n);
        return 0;
    }
}

int inflate_digest(struct inflate *in, char ret[DIGEST_TEXT_LEN + 1], struct err *e)
{
    struct str piece;
    do {
        int r = inflate_next(in, &piece, e);
        if (r < 0)
            return r;
    } while (piece.n);
    sha256_end(&in->hash, ret);
    return 0;
}
