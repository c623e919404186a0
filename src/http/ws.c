/* SPDX-License-Identifier: Apache-2.0 */
#include "http/ws.h"

#include <openssl/evp.h>

enum opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* Payload is unmasked in steps of this size. */
enum { STEP = 16384 };

static const unsigned char key_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void ws_init(struct ws *w, enum ws_role role, const struct ws_ops *ops, void *arg)
{
    *w = (struct ws){.role = role, .ops = ops, .arg = arg, .message_max = WS_MESSAGE_MAX};
    buf_init(&w->out, WS_OUT_MAX);
}

void ws_fini(struct ws *w)
{
    buf_fini(&w->out);
}

/* ---- writing ---- */

static void apply_mask(char *p, size_t n, const unsigned char mask[4], unsigned at)
{
    unsigned char turned[8];
    for (unsigned i = 0; i < sizeof turned; i++)
        turned[i] = mask[(at + i) & 3];
    uint64_t wide, word;
    memcpy(&wide, turned, sizeof wide);
    size_t i = 0;
    for (; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        word ^= wide;
        memcpy(p + i, &word, sizeof word);
    }
    for (; i < n; i++)
        p[i] = (char)((unsigned char)p[i] ^ turned[i & 7]);
}

static size_t put_head(unsigned char head[WS_HEAD_MAX], enum opcode op, uint64_t n, bool masked)
{
    size_t at = 2;
    head[0] = (unsigned char)(0x80 | (unsigned)op);
    int extra = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;
    head[1] = (unsigned char)(extra == 0 ? n : extra == 2 ? 126 : 127);
    for (int i = extra - 1; i >= 0; i--)
        head[at++] = (unsigned char)(n >> (8 * i));
    if (masked)
        head[1] |= 0x80;
    return at;
}

static void put_frame(struct ws *w, enum opcode op, const struct str *parts, size_t n_parts)
{
    if (w->close_sent)
        return;
    uint64_t n = 0;
    for (size_t i = 0; i < n_parts; i++)
        n += parts[i].n;
    unsigned char head[WS_HEAD_MAX];
    bool masked = w->role == WS_CLIENT;
    size_t head_n = put_head(head, op, n, masked);
    unsigned char mask[4] = {0};
    if (masked) {
        w->ops->random(w->arg, mask, sizeof mask);
        memcpy(head + head_n, mask, sizeof mask);
        head_n += sizeof mask;
    }
    /* All or nothing: half a frame would garble what follows. */
    if (!buf_reserve(&w->out, head_n + n))
        return;
    buf_add(&w->out, head, head_n);
    size_t start = w->out.n;
    for (size_t i = 0; i < n_parts; i++)
        buf_str(&w->out, parts[i]);
    if (masked && n > 0)
        apply_mask(w->out.p + start, n, mask, 0);
}

void ws_send(struct ws *w, enum ws_type type, const struct str *parts, size_t n_parts)
{
    put_frame(w, type == WS_TEXT ? OP_TEXT : OP_BINARY, parts, n_parts);
}

void ws_ping(struct ws *w, struct str bytes)
{
    must(bytes.n <= WS_CONTROL_MAX);
    put_frame(w, OP_PING, &bytes, 1);
}

void ws_close(struct ws *w, enum ws_code code, struct str reason)
{
    char number[2] = {(char)((unsigned)code >> 8), (char)((unsigned)code & 0xff)};
    struct str parts[] = {str_n(number, 2), str_sub(reason, 0, WS_CONTROL_MAX - 2)};
    /* A cut may not leave half a character behind. */
    while (parts[1].n > 0 && !str_is_utf8(parts[1]))
        parts[1].n--;
    put_frame(w, OP_CLOSE, parts, code == WS_NO_CODE ? 0 : 2);
    w->close_sent = true;
}

/* ---- reading ---- */

static int fail(struct ws *w, enum ws_code code, const char *why)
{
    ws_close(w, code, str_z(why));
    w->error = code == WS_TOO_BIG ? -ERR_TOO_LARGE : -ERR_BAD_REQUEST;
    return w->error;
}

/* RFC 3629, fed in pieces: the next continuation byte must lie in [low, high]. */
static bool utf8_step(struct ws *w, unsigned char c)
{
    if (w->utf8_need > 0) {
        if (c < w->utf8_low || c > w->utf8_high)
            return false;
        w->utf8_need--;
        w->utf8_low = 0x80;
        w->utf8_high = 0xbf;
        return true;
    }
    if (c < 0x80)
        return true;
    if (c < 0xc2 || c > 0xf4)
        return false;
    w->utf8_need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    w->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    w->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool utf8_ok(struct ws *w, struct str s, bool last)
{
    for (size_t i = 0; i < s.n; i++)
        if (!utf8_step(w, (unsigned char)s.p[i]))
            return false;
    return !last || w->utf8_need == 0;
}

static bool code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int got_close(struct ws *w, struct str body)
{
    uint16_t code = WS_NO_CODE;
    struct str reason = str_sub(body, 2, body.n);
    if (body.n == 1)
        return fail(w, WS_PROTOCOL_ERROR, "close frame of one byte");
    if (body.n >= 2) {
        code = (uint16_t)((unsigned char)body.p[0] << 8 | (unsigned char)body.p[1]);
        if (!code_valid(code))
            return fail(w, WS_PROTOCOL_ERROR, "invalid close code");
        if (!str_is_utf8(reason))
            return fail(w, WS_BAD_DATA, "close reason is not UTF-8");
    }
    ws_close(w, (enum ws_code)code, STR_NULL);
    w->close_received = true;
    if (w->ops->closed)
        w->ops->closed(w->arg, code, reason);
    return WS_CLOSED;
}

static int got_control(struct ws *w)
{
    struct str body = str_n((const char *)w->control, w->control_n);
    if (w->opcode == OP_CLOSE)
        return got_close(w, body);
    if (w->opcode == OP_PING)
        put_frame(w, OP_PONG, &body, 1);
    else if (w->ops->pong)
        w->ops->pong(w->arg, body);
    return 0;
}

static int got_piece(struct ws *w, struct str bytes, bool last)
{
    if (w->type == WS_TEXT && !utf8_ok(w, bytes, last))
        return fail(w, WS_BAD_DATA, "text is not UTF-8");
    bool first = !w->started;
    w->started = true;
    if (!w->close_sent)
        w->ops->piece(w->arg, w->type, bytes, first, last);
    if (last)
        w->in_message = false;
    return 0;
}

/* Bytes that the head needs in all, as far as is known from what came of it. */
static size_t head_need(const struct ws *w)
{
    if (w->head_n < 2)
        return 2;
    unsigned n = w->head[1] & 0x7f;
    return 2u + (n == 126 ? 2u : n == 127 ? 8u : 0u) + (w->head[1] & 0x80 ? 4u : 0u);
}

static int begin_message(struct ws *w)
{
    if (w->opcode != OP_MORE) {
        if (w->in_message)
            return fail(w, WS_PROTOCOL_ERROR, "message inside a fragmented message");
        w->type = w->opcode == OP_TEXT ? WS_TEXT : WS_BINARY;
        w->in_message = true;
        w->started = false;
        w->message_n = 0;
        w->utf8_need = 0;
    } else if (!w->in_message) {
        return fail(w, WS_PROTOCOL_ERROR, "continuation of nothing");
    }
    if (w->left > w->message_max || w->message_n > w->message_max - w->left)
        return fail(w, WS_TOO_BIG, "message too big");
    w->message_n += w->left;
    return 0;
}

static int begin_control(struct ws *w)
{
    if (w->opcode > OP_PONG)
        return fail(w, WS_PROTOCOL_ERROR, "reserved opcode");
    if (!w->fin)
        return fail(w, WS_PROTOCOL_ERROR, "fragmented control frame");
    if (w->left > WS_CONTROL_MAX)
        return fail(w, WS_PROTOCOL_ERROR, "control frame too long");
    w->control_n = 0;
    return 0;
}

/* The head is complete. */
static int begin_frame(struct ws *w)
{
    const unsigned char *h = w->head;
    w->fin = h[0] & 0x80;
    w->opcode = h[0] & 0x0f;
    unsigned n = h[1] & 0x7f;
    size_t extra = n == 126 ? 2 : n == 127 ? 8 : 0;
    w->left = extra ? 0 : n;
    for (size_t i = 0; i < extra; i++)
        w->left = w->left << 8 | h[2 + i];
    bool masked = h[1] & 0x80;
    memset(w->mask, 0, sizeof w->mask);
    if (masked)
        memcpy(w->mask, h + 2 + extra, sizeof w->mask);
    w->mask_at = 0;
    w->in_payload = true;
    if (h[0] & 0x70)
        return fail(w, WS_PROTOCOL_ERROR, "reserved bits set");
    if (masked != (w->role == WS_SERVER))
        return fail(w, WS_PROTOCOL_ERROR, masked ? "masked frame" : "frame without mask");
    if (w->left >> 63 || (extra == 2 && w->left < 126) || (extra == 8 && w->left <= UINT16_MAX))
        return fail(w, WS_PROTOCOL_ERROR, "length not in its shortest form");
    if (w->opcode > OP_BINARY && w->opcode < OP_CLOSE)
        return fail(w, WS_PROTOCOL_ERROR, "reserved opcode");
    return w->opcode >= OP_CLOSE ? begin_control(w) : begin_message(w);
}

/* n payload bytes, unmasked here; n may be 0 when the frame has none. */
static int take_payload(struct ws *w, const char *p, size_t n)
{
    char step[STEP];
    must(n <= sizeof step && n <= w->left);
    if (n > 0)
        memcpy(step, p, n);
    if (w->role == WS_SERVER)
        apply_mask(step, n, w->mask, w->mask_at);
    w->mask_at = (w->mask_at + n) & 3;
    w->left -= n;
    bool end = w->left == 0;
    if (end) {
        w->in_payload = false;
        w->head_n = 0;
    }
    if (w->opcode < OP_CLOSE)
        return got_piece(w, str_n(step, n), end && w->fin);
    memcpy(w->control + w->control_n, step, n);
    w->control_n = (uint8_t)(w->control_n + n);
    return end ? got_control(w) : 0;
}

int ws_feed(struct ws *w, struct str bytes)
{
    size_t at = 0;
    while (w->error == 0 && !w->close_received && at < bytes.n) {
        if (!w->in_payload) {
            w->head[w->head_n++] = (unsigned char)bytes.p[at++];
            if (w->head_n < head_need(w))
                continue;
            /* A frame without payload is complete now, maybe with no byte left to read. */
            if (begin_frame(w) == 0 && w->left == 0)
                (void)!take_payload(w, NULL, 0);
            continue;
        }
        size_t n = MIN(MIN(bytes.n - at, w->left), (size_t)STEP);
        (void)!take_payload(w, bytes.p + at, n);
        at += n;
    }
    return w->error ? w->error : w->close_received ? WS_CLOSED : 0;
}

/* ---- handshake ---- */

void ws_accept(char out[WS_ACCEPT_SIZE], struct str key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(c && EVP_DigestInit_ex(c, EVP_sha1(), NULL) && EVP_DigestUpdate(c, key.p, key.n) &&
         EVP_DigestUpdate(c, key_guid, sizeof key_guid - 1) && EVP_DigestFinal_ex(c, digest, NULL));
    EVP_MD_CTX_free(c);
    must(EVP_EncodeBlock((unsigned char *)out, digest, 20) == WS_ACCEPT_SIZE - 1);
}

bool ws_key_valid(struct str key)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (key.n != WS_KEY_SIZE - 1 || key.p[22] != '=' || key.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (key.p[i] == 0 || !strchr(alphabet, key.p[i]))
            return false;
    return true;
}

void ws_key_make(char out[WS_KEY_SIZE], const unsigned char random[16])
{
    must(EVP_EncodeBlock((unsigned char *)out, random, 16) == WS_KEY_SIZE - 1);
}
