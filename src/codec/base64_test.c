/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/base64.h"

static void assert_both_ways(struct str bytes, const char *text, const char *url_text,
                             const char *hex)
{
    struct arena a = ARENA_INIT;
    struct str back;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(100);
    base64_encode(&b, bytes);
    assert_str(buf_view(&b), text);
    assert_true(base64_decode(&a, buf_view(&b), &back) && str_eq(back, bytes));
    buf_clear(&b);
    base64url_encode(&b, bytes);
    assert_str(buf_view(&b), url_text);
    assert_true(base64url_decode(&a, buf_view(&b), &back) && str_eq(back, bytes));
    buf_clear(&b);
    hex_encode(&b, bytes);
    assert_str(buf_view(&b), hex);
    assert_true(hex_decode(&a, buf_view(&b), &back) && str_eq(back, bytes));
    arena_fini(&a);
}

static void vectors(void **state)
{
    /* RFC 4648, section 10 */
    assert_both_ways(STR(""), "", "", "");
    assert_both_ways(STR("f"), "Zg==", "Zg", "66");
    assert_both_ways(STR("fo"), "Zm8=", "Zm8", "666f");
    assert_both_ways(STR("foo"), "Zm9v", "Zm9v", "666f6f");
    assert_both_ways(STR("foob"), "Zm9vYg==", "Zm9vYg", "666f6f62");
    assert_both_ways(STR("fooba"), "Zm9vYmE=", "Zm9vYmE", "666f6f6261");
    assert_both_ways(STR("foobar"), "Zm9vYmFy", "Zm9vYmFy", "666f6f626172");
    assert_both_ways(STR("\xfb\xef\xbe\xff\0\xfe"), "++++/wD+", "----_wD-", "fbefbeff00fe");
}

static void all_bytes(void **state)
{
    struct arena a = ARENA_INIT;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n <= 256; n++) {
        struct buf b = BUF_INIT(1000);
        struct str back;
        base64_encode(&b, str_n(bytes, n));
        assert_true(base64_decode(&a, buf_view(&b), &back) && str_eq(back, str_n(bytes, n)));
        buf_clear(&b);
        base64url_encode(&b, str_n(bytes + 256 - n, n));
        assert_true(base64url_decode(&a, buf_view(&b), &back));
        assert_true(str_eq(back, str_n(bytes + 256 - n, n)));
        buf_fini(&b);
    }
    arena_fini(&a);
}

static void lenient_as_go(void **state)
{
    struct arena a = ARENA_INIT;
    struct str s;
    assert_true(base64_decode(&a, STR("\r\nZm\n9v\nYg=\r\n=\n"), &s));
    assert_str(s, "foob");
    assert_true(base64_decode(&a, STR("Zh=="), &s)); /* spare bits */
    assert_str(s, "f");
    arena_fini(&a);
}

static void malformed(void **state)
{
    static const char *const bad[] = {"Z",     "Zg",     "Zg=",      "Zm8",      "Zm9v=", "=",
                                      "====",  "Z===",   "Zg==Zg==", "Zg==x",    "Zm 9v", "Zm-_",
                                      "Zg===", "Zm9vYg", "\x80mm9",  "Zm9vZ===", "Zm9\t"};
    static const char *const bad_url[] = {"Z",      "Zg==", "Zm8=", "Zm+/",
                                          "Zm9v\n", "Zh",   "Zm9",  "Zm9vZ"};
    static const char *const bad_hex[] = {"6", "6g", "0x", "66 "};
    struct arena a = ARENA_INIT;
    struct str s;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (base64_decode(&a, str_z(bad[i]), &s))
            fail_msg("accepted %s", bad[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++)
        if (base64url_decode(&a, str_z(bad_url[i]), &s))
            fail_msg("accepted %s", bad_url[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad_hex); i++)
        if (hex_decode(&a, str_z(bad_hex[i]), &s))
            fail_msg("accepted %s", bad_hex[i]);
    assert_true(hex_decode(&a, STR("fFAb"), &s) && str_eq(s, STR("\xff\xab")));
    arena_fini(&a);
}

static void caps(void **state)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(6);
    base64url_encode(&b, STR("four"));
    assert_str(buf_view(&b), "Zm91cg");
    buf_clear(&b);
    base64_encode(&b, STR("four"));
    assert_true(b.failed && b.n == 0);
    buf_clear(&b);
    hex_encode(&b, STR("four"));
    assert_true(b.failed && b.n == 0);
}

TESTS(cmocka_unit_test(vectors), cmocka_unit_test(all_bytes), cmocka_unit_test(lenient_as_go),
      cmocka_unit_test(malformed), cmocka_unit_test(caps))
