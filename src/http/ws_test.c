/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "http/ws.h"

/* What one end of a connection saw. */
struct seen {
    struct buf messages; /* "t:hello;" for each complete message, "b:" for binary */
    struct buf pongs;
    uint16_t close_code;
    struct buf close_reason;
};

static void on_piece(void *arg, enum ws_type type, struct str bytes, bool first, bool last)
{
    struct seen *s = arg;
    if (first)
        buf_z(&s->messages, type == WS_TEXT ? "t:" : "b:");
    buf_str(&s->messages, bytes);
    if (last)
        buf_c(&s->messages, ';');
}

static void on_pong(void *arg, struct str bytes)
{
    struct seen *s = arg;
    buf_str(&s->pongs, bytes);
}

static void on_closed(void *arg, uint16_t code, struct str reason)
{
    struct seen *s = arg;
    s->close_code = code;
    buf_str(&s->close_reason, reason);
}

static void weak_random(void *arg, void *p, size_t n)
{
    static uint32_t x = 12345;
    unsigned char *to = p;
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
}

static const struct ws_ops ops = {on_piece, on_pong, on_closed, weak_random};

static void seen_init(struct seen *s)
{
    *s = (struct seen){
        .messages = BUF_INIT(MIB(8)), .pongs = BUF_INIT(1000), .close_reason = BUF_INIT(1000)};
}

static void seen_fini(struct seen *s)
{
    buf_fini(&s->messages);
    buf_fini(&s->pongs);
    buf_fini(&s->close_reason);
}

/* Feeds `in` to a fresh end, whole and then byte by byte, and compares all that follows. out is
 * what it must send, messages what it must have seen. */
static void check(enum ws_role role, struct str in, int want, const char *messages,
                  uint16_t code_sent)
{
    for (size_t step = in.n ? in.n : 1;; step = 1) {
        struct seen seen;
        seen_init(&seen);
        struct ws w;
        ws_init(&w, role, &ops, &seen);
        int r = 0;
        for (size_t at = 0; at < in.n && r == 0; at += step)
            r = ws_feed(&w, str_sub(in, at, at + step));
        assert_int_equal(r, want);
        /* Before the fault is met, single bytes get further than the whole frame does. */
        if (want < 0 && step == 1)
            assert_true(str_has_prefix(buf_view(&seen.messages), str_z(messages)));
        else
            assert_str(buf_view(&seen.messages), messages);
        if (code_sent) {
            assert_true(w.close_sent && w.out.n >= 4);
            size_t at = role == WS_SERVER ? 2 : 6;
            unsigned char code[2] = {(unsigned char)w.out.p[at], (unsigned char)w.out.p[at + 1]};
            if (role == WS_CLIENT)
                for (int i = 0; i < 2; i++)
                    code[i] ^= (unsigned char)w.out.p[2 + i];
            assert_int_equal(code[0] << 8 | code[1], code_sent);
        }
        ws_fini(&w);
        seen_fini(&seen);
        if (step == 1)
            break;
    }
}

static void vectors_of_the_rfc(void **state)
{
    check(WS_CLIENT, STR("\x81\x05Hello"), 0, "t:Hello;", 0);
    check(WS_SERVER, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), 0, "t:Hello;", 0);
    check(WS_CLIENT, STR("\x01\x03Hel\x80\x02lo"), 0, "t:Hello;", 0);
    /* A control frame between fragments. */
    check(WS_CLIENT, STR("\x01\x03Hel\x89\x05Hello\x80\x02lo"), 0, "t:Hello;", 0);
    check(WS_CLIENT, STR("\x82\x00"), 0, "b:;", 0);
    check(WS_CLIENT, STR("\x02\x00\x80\x01x"), 0, "b:x;", 0);
}

static void violations(void **state)
{
    const int bad = -ERR_BAD_REQUEST;
    check(WS_SERVER, STR("\x81\x05Hello"), bad, "", WS_PROTOCOL_ERROR); /* no mask */
    check(WS_CLIENT, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), bad, "",
          WS_PROTOCOL_ERROR);                                              /* masked */
    check(WS_CLIENT, STR("\xc1\x00"), bad, "", WS_PROTOCOL_ERROR);         /* RSV1 */
    check(WS_CLIENT, STR("\x83\x00"), bad, "", WS_PROTOCOL_ERROR);         /* opcode 3 */
    check(WS_CLIENT, STR("\x8b\x00"), bad, "", WS_PROTOCOL_ERROR);         /* opcode 11 */
    check(WS_CLIENT, STR("\x09\x00"), bad, "", WS_PROTOCOL_ERROR);         /* ping without FIN */
    check(WS_CLIENT, STR("\x89\x7e\x00\x7e"), bad, "", WS_PROTOCOL_ERROR); /* ping of 126 */
    check(WS_CLIENT, STR("\x80\x00"), bad, "", WS_PROTOCOL_ERROR);         /* continues nothing */
    check(WS_CLIENT,
          STR("\x01\x01"
              "a\x81\x01"
              "b"),
          bad, "t:a", WS_PROTOCOL_ERROR);
    check(WS_CLIENT, STR("\x82\x7e\x00\x05"), bad, "", WS_PROTOCOL_ERROR); /* long form of 5 */
    check(WS_CLIENT, STR("\x82\x7f\x80\0\0\0\0\0\0\0"), bad, "", WS_PROTOCOL_ERROR);
    check(WS_CLIENT, STR("\x82\x7f\0\0\0\0\x02\0\0\x01"), -ERR_TOO_LARGE, "", WS_TOO_BIG);
    check(WS_CLIENT, STR("\x88\x01\x03"), bad, "", WS_PROTOCOL_ERROR);
    check(WS_CLIENT, STR("\x88\x02\x03\xed"), bad, "", WS_PROTOCOL_ERROR); /* 1005 on the wire */
    check(WS_CLIENT, STR("\x88\x03\x03\xe8\xff"), bad, "", WS_BAD_DATA);
    check(WS_CLIENT, STR("\x81\x02\xc3("), bad, "", WS_BAD_DATA);
    check(WS_CLIENT, STR("\x81\x01\xc3"), bad, "", WS_BAD_DATA); /* ends within a character */
}

static void utf8_across_fragments(void **state)
{
    check(WS_CLIENT, STR("\x01\x01\xe2\x00\x01\x82\x80\x01\xac"), 0, "t:\xe2\x82\xac;", 0);
    check(WS_CLIENT, STR("\x01\x01\xed\x80\x02\xa0\x80"), -ERR_BAD_REQUEST, "t:\xed", WS_BAD_DATA);
    check(WS_CLIENT, STR("\x81\x04\xf4\x90\x80\x80"), -ERR_BAD_REQUEST, "", WS_BAD_DATA);
    check(WS_CLIENT, STR("\x81\x02\xc0\x80"), -ERR_BAD_REQUEST, "", WS_BAD_DATA);
    /* Binary is not looked at. */
    check(WS_CLIENT, STR("\x82\x02\xc0\x80"), 0, "b:\xc0\x80;", 0);
}

static void closing(void **state)
{
    check(WS_CLIENT, STR("\x88\x02\x03\xe9\x81\x01x"), WS_CLOSED, "", WS_GOING_AWAY);
    struct seen seen;
    seen_init(&seen);
    struct ws w;
    ws_init(&w, WS_SERVER, &ops, &seen);
    /* An empty close is answered by an empty one. */
    assert_int_equal(ws_feed(&w, STR("\x88\x80\x01\x02\x03\x04")), WS_CLOSED);
    assert_int_equal(seen.close_code, WS_NO_CODE);
    assert_true(str_eq(buf_view(&w.out), STR("\x88\x00")));
    /* Nothing is sent or read any more. */
    ws_send(&w, WS_TEXT, &STR("late"), 1);
    assert_int_equal(w.out.n, 2);
    assert_int_equal(ws_feed(&w, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")), WS_CLOSED);
    assert_str(buf_view(&seen.messages), "");
    ws_fini(&w);

    /* Our own close comes first: messages are not delivered, the peer's answer ends it. */
    ws_init(&w, WS_CLIENT, &ops, &seen);
    char reason[200];
    memset(reason, 'r', sizeof reason);
    memcpy(reason + 121, "\xe2\x82\xac", 3); /* cut within the character: dropped whole */
    ws_close(&w, WS_NORMAL, str_n(reason, sizeof reason));
    assert_int_equal(w.out.n, 2 + 4 + 2 + 121);
    assert_int_equal(ws_feed(&w, STR("\x81\x01x")), 0);
    assert_str(buf_view(&seen.messages), "");
    assert_int_equal(ws_feed(&w, STR("\x88\x06\x03\xe8thx!")), WS_CLOSED);
    assert_int_equal(seen.close_code, WS_NORMAL);
    assert_str(buf_view(&seen.close_reason), "thx!");
    ws_fini(&w);
    seen_fini(&seen);
}

static void ping_is_answered(void **state)
{
    struct seen server, client;
    seen_init(&server);
    seen_init(&client);
    struct ws s, c;
    ws_init(&s, WS_SERVER, &ops, &server);
    ws_init(&c, WS_CLIENT, &ops, &client);
    ws_ping(&c, STR("are you there"));
    assert_int_equal(ws_feed(&s, buf_view(&c.out)), 0);
    assert_int_equal(ws_feed(&c, buf_view(&s.out)), 0);
    assert_str(buf_view(&client.pongs), "are you there");
    ws_fini(&s);
    ws_fini(&c);
    seen_fini(&server);
    seen_fini(&client);
}

/* Messages of every length form go both ways in pieces of odd sizes. */
static void loopback(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 125, 126, 127, 65535, 65536, 200001};
    for (int role = 0; role < 2; role++) {
        struct seen seen;
        seen_init(&seen);
        struct ws from, to;
        ws_init(&from, role ? WS_SERVER : WS_CLIENT, &ops, &seen);
        ws_init(&to, role ? WS_CLIENT : WS_SERVER, &ops, &seen);
        CLEANUP(buf_fini) struct buf want = BUF_INIT(MIB(8));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            size_t start = want.n;
            buf_z(&want, "b:");
            for (size_t k = 0; k < sizes[i]; k++)
                buf_c(&want, (char)(k * 31 + i));
            struct str body = str_sub(buf_view(&want), start + 2, want.n);
            struct str parts[] = {str_sub(body, 0, body.n / 3), str_sub(body, body.n / 3, body.n)};
            ws_send(&from, WS_BINARY, parts, 2);
            buf_c(&want, ';');
        }
        size_t at = 0, step = 1;
        while (at < from.out.n) {
            assert_int_equal(ws_feed(&to, str_sub(buf_view(&from.out), at, at + step)), 0);
            at += step;
            step = step * 7 % 4099 + 1;
        }
        assert_true(str_eq(buf_view(&seen.messages), buf_view(&want)));
        ws_fini(&from);
        ws_fini(&to);
        seen_fini(&seen);
    }
}

static void out_is_bounded(void **state)
{
    struct seen seen;
    seen_init(&seen);
    struct ws w;
    ws_init(&w, WS_SERVER, &ops, &seen);
    w.out.cap = 20;
    ws_send(&w, WS_BINARY, &STR("0123456789"), 1);
    ws_send(&w, WS_BINARY, &STR("0123456789"), 1);
    assert_true(w.out.failed);
    assert_int_equal(w.out.n, 12); /* no half frame */
    w.message_max = 4;
    buf_clear(&w.out);
    assert_int_equal(ws_feed(&w, STR("\x02\x83\0\0\0\0abc\x80\x82\0\0\0\0de")), -ERR_TOO_LARGE);
    ws_fini(&w);
    seen_fini(&seen);
}

static void handshake(void **state)
{
    char accept[WS_ACCEPT_SIZE], key[WS_KEY_SIZE];
    ws_accept(accept, STR("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_false(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQ")));
    assert_false(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZ\0==")));
    assert_false(ws_key_valid(STR("")));
    ws_key_make(key, (const unsigned char *)"0123456789abcdef");
    assert_true(ws_key_valid(str_z(key)));
}

TESTS(cmocka_unit_test(vectors_of_the_rfc), cmocka_unit_test(violations),
      cmocka_unit_test(utf8_across_fragments), cmocka_unit_test(closing),
      cmocka_unit_test(ping_is_answered), cmocka_unit_test(loopback),
      cmocka_unit_test(out_is_bounded), cmocka_unit_test(handshake))
