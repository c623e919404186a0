/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/gzip.h"

static struct buf noise(size_t n)
{
    struct buf b = BUF_INIT(MIB(1));
    uint32_t seed = 5;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        buf_c(&b, (char)(i % 3 ? seed >> 16 : 'x'));
    }
    return b;
}

static void round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 300000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int level = 1; level <= 9; level += 4) {
            struct buf plain = noise(sizes[i]), packed = BUF_INIT(MIB(1)), back = BUF_INIT(MIB(1));
            gzip_compress(&packed, buf_view(&plain), level);
            assert_false(packed.failed);
            assert_true(packed.n > 2 && memcmp(packed.p, "\x1f\x8b", 2) == 0);
            buf_z(&back, "before");
            assert_true(gzip_decompress(&back, buf_view(&packed)));
            assert_true(str_eq(str_sub(buf_view(&back), 6, back.n), buf_view(&plain)));
            buf_fini(&plain);
            buf_fini(&packed);
            buf_fini(&back);
        }
}

static void bounded(void **state)
{
    CLEANUP(buf_fini) struct buf plain = noise(100000), packed = BUF_INIT(MIB(1));
    gzip_compress(&packed, buf_view(&plain), 6);
    for (size_t cap = 99998; cap <= 100001; cap++) {
        struct buf back = BUF_INIT(cap);
        assert_int_equal(gzip_decompress(&back, buf_view(&packed)), cap >= 100000);
        assert_int_equal(back.n, cap >= 100000 ? 100000 : 0);
        buf_fini(&back);
    }
    for (size_t cap = packed.n - 2; cap <= packed.n + 1; cap++) {
        struct buf small = BUF_INIT(cap);
        gzip_compress(&small, buf_view(&plain), 6);
        assert_int_equal(small.failed, cap < packed.n);
        buf_fini(&small);
    }
}

static void malformed(void **state)
{
    CLEANUP(buf_fini)
    struct buf plain = noise(1000), packed = BUF_INIT(MIB(1)), back = BUF_INIT(MIB(1));
    gzip_compress(&packed, buf_view(&plain), 6);
    buf_z(&back, "kept");
    for (size_t n = 0; n < packed.n; n++)
        assert_false(gzip_decompress(&back, str_n(packed.p, n)));
    assert_false(gzip_decompress(&back, STR("not gzip at all")));
    packed.p[packed.n - 6] ^= 1; /* the checksum */
    assert_false(gzip_decompress(&back, buf_view(&packed)));
    packed.p[packed.n - 6] ^= 1;
    size_t n = packed.n;
    buf_c(&packed, 'x'); /* rubbish behind */
    assert_false(gzip_decompress(&back, buf_view(&packed)));
    assert_str(buf_view(&back), "kept");
    /* a second member */
    buf_truncate(&packed, n);
    gzip_compress(&packed, STR("more"), 1);
    assert_true(gzip_decompress(&back, buf_view(&packed)));
    assert_int_equal(back.n, 4 + 1000 + 4);
    assert_true(str_has_suffix(buf_view(&back), STR("more")));
}

TESTS(cmocka_unit_test(round_trip), cmocka_unit_test(bounded), cmocka_unit_test(malformed))
