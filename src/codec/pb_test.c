/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/pb.h"

static void varints(void **state)
{
    CLEANUP(pb_out_fini) struct pb_out o;
    pb_out_init(&o, 64);
    pb_put_varint(&o, 300);
    assert_true(str_eq(pb_out_view(&o), STR("\xac\x02")));
    for (int bit = 0; bit < 64; bit++)
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t want = ((uint64_t)1 << bit) + (uint64_t)delta;
            pb_out_clear(&o);
            pb_put_varint(&o, want);
            struct pb_in in = pb_in(pb_out_view(&o));
            assert_true(pb_read_varint(&in) == want);
            assert_true(in.at == in.end && !in.failed);
            /* cut anywhere, it is refused */
            for (size_t n = 0; n < pb_out_len(&o); n++) {
                in = pb_in(str_sub(pb_out_view(&o), 0, n));
                assert_true(pb_read_varint(&in) == 0 && in.failed);
            }
        }
    assert_true(pb_zigzag(0) == 0 && pb_zigzag(1) == -1 && pb_zigzag(2) == 1);
    assert_true(pb_zigzag(UINT64_MAX) == INT64_MIN && pb_zigzag(UINT64_MAX - 1) == INT64_MAX);
}

static void malformed_varints(void **state)
{
    struct pb_in in = pb_in(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_true(pb_read_varint(&in) == UINT64_MAX && !in.failed);
    in = pb_in(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")); /* 65 bits */
    assert_true(pb_read_varint(&in) == 0 && in.failed);
    in = pb_in(STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")); /* eleven bytes */
    assert_true(pb_read_varint(&in) == 0 && in.failed);
    in = pb_in(STR("\x81\x80\x00\x05")); /* longer than need be, but a number */
    assert_true(pb_read_varint(&in) == 1 && pb_read_varint(&in) == 5 && !in.failed);
}

static bool next_fails(struct str bytes)
{
    uint32_t field;
    enum pb_wire wire;
    struct pb_in in = pb_in(bytes);
    assert_false(pb_next(&in, &field, &wire));
    bool failed = in.failed;
    assert_false(pb_next(&in, &field, &wire));
    assert_int_equal(in.failed, failed); /* sticky */
    return failed;
}

static void tags(void **state)
{
    uint32_t field;
    enum pb_wire wire;
    assert_false(next_fails(STR("")));
    assert_false(next_fails(STR_NULL));
    assert_true(next_fails(STR("\x00")));                            /* field 0 */
    assert_true(next_fails(STR("\x0b")));                            /* a group starts */
    assert_true(next_fails(STR("\x0c")));                            /* a group ends */
    assert_true(next_fails(STR("\x0e")) && next_fails(STR("\x0f"))); /* unknown wire types */
    assert_true(next_fails(STR("\x80")));
    assert_true(next_fails(STR("\x88\x80\x80\x80\x10"))); /* past 32 bits */
    struct pb_in in = pb_in(STR("\xfd\xff\xff\xff\x0f"));
    assert_true(pb_next(&in, &field, &wire));
    assert_int_equal(field, PB_FIELD_MAX);
    assert_int_equal(wire, PB_FIXED32);
    pb_skip(&in, wire); /* nothing there */
    assert_true(in.failed);
}

static void lengths(void **state)
{
    struct pb_in in = pb_in(STR("\x03"
                                "abcd"));
    assert_str(pb_read_bytes(&in), "abc");
    assert_true(in.end - in.at == 1 && !in.failed);
    in = pb_in(STR("\x03"
                   "ab"));
    assert_null(pb_read_bytes(&in).p);
    assert_true(in.failed);
    in = pb_in(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                   "ab"));
    assert_null(pb_read_bytes(&in).p);
    assert_true(in.failed);
    in = pb_in(STR("\x00"));
    assert_true(pb_read_bytes(&in).n == 0 && !in.failed);
    in = pb_in(STR("1234567"));
    assert_true(pb_read_fixed64(&in) == 0 && in.failed);
    in = pb_in(STR("123"));
    assert_true(pb_read_fixed32(&in) == 0 && in.failed);
}

/* {1: "name", 2: {1: 5, 3: fixed64, 4: fixed32}, 100: ""} */
static void put_sample(struct pb_out *o)
{
    pb_put_bytes_field(o, 100, STR(""));
    size_t mark = pb_out_len(o);
    pb_put_fixed32(o, 0x01020304);
    pb_put_tag(o, 4, PB_FIXED32);
    pb_put_fixed64(o, 0x0102030405060708);
    pb_put_tag(o, 3, PB_FIXED64);
    pb_put_varint(o, 5);
    pb_put_tag(o, 1, PB_VARINT);
    pb_put_message_header(o, 2, mark);
    pb_put_bytes_field(o, 1, STR("name"));
}

static const char sample[] = "\x0a\x04name\x12\x10\x08\x05\x19\x08\x07\x06\x05\x04\x03\x02\x01"
                             "\x25\x04\x03\x02\x01\xa2\x06\x00";

static void messages(void **state)
{
    CLEANUP(pb_out_fini) struct pb_out o;
    pb_out_init(&o, 1000);
    put_sample(&o);
    assert_false(o.failed);
    assert_true(str_eq(pb_out_view(&o), str_n(sample, sizeof sample - 1)));

    uint32_t field;
    enum pb_wire wire;
    struct pb_in in = pb_in(pb_out_view(&o));
    assert_true(pb_next(&in, &field, &wire) && field == 1 && wire == PB_BYTES);
    assert_str(pb_read_bytes(&in), "name");
    assert_true(pb_next(&in, &field, &wire) && field == 2 && wire == PB_BYTES);
    struct pb_in inner = pb_in(pb_read_bytes(&in));
    assert_true(pb_next(&inner, &field, &wire) && field == 1 && pb_read_varint(&inner) == 5);
    assert_true(pb_next(&inner, &field, &wire) && field == 3);
    assert_true(pb_read_fixed64(&inner) == 0x0102030405060708);
    assert_true(pb_next(&inner, &field, &wire) && field == 4);
    assert_true(pb_read_fixed32(&inner) == 0x01020304);
    assert_true(!pb_next(&inner, &field, &wire) && !inner.failed);
    assert_true(pb_next(&in, &field, &wire) && field == 100 && pb_read_bytes(&in).n == 0);
    assert_true(!pb_next(&in, &field, &wire) && !in.failed);
}

static void growth_and_cap(void **state)
{
    CLEANUP(pb_out_fini) struct pb_out o;
    pb_out_init(&o, 100000);
    for (int i = 20000; i-- > 0;)
        pb_put_varint(&o, (uint64_t)i);
    struct pb_in in = pb_in(pb_out_view(&o));
    for (uint64_t i = 0; i < 20000; i++)
        assert_true(pb_read_varint(&in) == i);
    assert_true(in.at == in.end && !in.failed && !o.failed);

    struct pb_out small;
    for (size_t cap = 0; cap < sizeof sample - 1; cap++) {
        pb_out_init(&small, cap);
        put_sample(&small);
        assert_true(small.failed);
        assert_true(pb_out_len(&small) <= cap);
        pb_out_fini(&small);
    }
    pb_out_init(&small, sizeof sample - 1);
    put_sample(&small);
    assert_false(small.failed);
    pb_out_fini(&small);
}

/* Reads a message, descending into bytes fields as if they were messages. */
static size_t walk(struct str bytes, int depth)
{
    uint32_t field;
    enum pb_wire wire;
    size_t count = 0;
    struct pb_in in = pb_in(bytes);
    while (pb_next(&in, &field, &wire)) {
        count++;
        if (wire == PB_BYTES && depth)
            count += walk(pb_read_bytes(&in), depth - 1);
        else
            pb_skip(&in, wire);
    }
    assert_true(in.at == in.end);
    return count;
}

static void hostile(void **state)
{
    uint32_t seed = 7;
    size_t fields = 0;
    for (int round = 0; round < 50000; round++) {
        size_t n = sizeof sample - 1;
        char *bytes = malloc(n); /* exact, for the address sanitizer */
        assert_non_null(bytes);
        memcpy(bytes, sample, n);
        for (int edit = 0; edit < 3; edit++) {
            seed = seed * 1103515245 + 12345;
            bytes[(seed >> 16) % n] = (char)(seed >> 8);
        }
        fields += walk(str_n(bytes, n), 5);
        free(bytes);
    }
    assert_true(fields > 50000);
    for (size_t n = 0; n < sizeof sample - 1; n++)
        walk(str_n(sample, n), 5);
}

TESTS(cmocka_unit_test(varints), cmocka_unit_test(malformed_varints), cmocka_unit_test(tags),
      cmocka_unit_test(lengths), cmocka_unit_test(messages), cmocka_unit_test(growth_and_cap),
      cmocka_unit_test(hostile))
