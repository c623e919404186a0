/* SPDX-License-Identifier: Apache-2.0 */
#include "store/item.h"

enum { REV_TEXT_MAX = 20, PLACE_BITS = 7 };

_Static_assert(STORE_TXN_PUTS_MAX == 1 << PLACE_BITS, "a place fits the low bits of a row id");
_Static_assert(sizeof(struct item) == 40, "the header of an item is what a million keys pay for");

/* Decimal text of rev, right-aligned in digits; returns its length. */
static size_t rev_text(char digits[REV_TEXT_MAX], rev_t rev)
{
    size_t at = REV_TEXT_MAX;
    uint64_t v = (uint64_t)rev;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return REV_TEXT_MAX - at;
}

static size_t rev_text_len(rev_t rev)
{
    char digits[REV_TEXT_MAX];
    return rev_text(digits, rev);
}

static char *put_bytes(char *to, const char *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
    return to + n;
}

static size_t hidden_size(const struct item *i)
{
    return item_volatile(i) ? sizeof(int64_t) : 0;
}

/* Where a volatile item keeps the id it hides: behind the value's NUL, unaligned. */
static size_t hidden_offset(const struct item *i)
{
    return (size_t)i->key_len + 1 + i->value_len + 1;
}

void item_spec_value(struct item_spec *spec, struct str value, size_t splice_at)
{
    spec->spliced = splice_at != SIZE_MAX;
    must(!spec->spliced || splice_at <= value.n);
    spec->head = str_sub(value, 0, splice_at);
    spec->tail = str_sub(value, spec->head.n, value.n);
}

static size_t size_of(const struct item_spec *spec, size_t digits_n)
{
    must(spec->mod_rev > 0 && spec->key.n <= STORE_KEY_MAX);
    must(spec->head.n + spec->tail.n <= STORE_VALUE_MAX);
    size_t value_n = spec->head.n + digits_n + spec->tail.n;
    size_t hidden_n = spec->flags & ITEM_VOLATILE ? sizeof spec->hidden : 0;
    return sizeof(struct item) + spec->key.n + 1 + value_n + 1 + hidden_n;
}

struct item *item_new(const struct item_spec *spec)
{
    char digits[REV_TEXT_MAX];
    size_t digits_n = spec->spliced ? rev_text(digits, spec->mod_rev) : 0;
    struct item *i = malloc(size_of(spec, digits_n));
    if (!i)
        return NULL;
    *i = (struct item){
        .refs = 1,
        .value_len = (uint32_t)(spec->head.n + digits_n + spec->tail.n),
        .splice = spec->spliced ? (uint32_t)spec->head.n : UINT32_MAX,
        .key_len = (uint16_t)spec->key.n,
        .place = spec->place,
        .flags = spec->flags,
        .create_rev = spec->create_rev,
        .mod_rev = spec->mod_rev,
    };
    char *at = put_bytes(i->bytes, spec->key.p, spec->key.n);
    *at++ = 0;
    at = put_bytes(at, spec->head.p, spec->head.n);
    at = put_bytes(at, digits + REV_TEXT_MAX - digits_n, digits_n);
    at = put_bytes(at, spec->tail.p, spec->tail.n);
    *at++ = 0;
    if (item_volatile(i))
        put_bytes(at, (const char *)&spec->hidden, sizeof spec->hidden);
    return i;
}

struct item *item_ref(struct item *i)
{
    must(i->refs > 0 && i->refs < UINT32_MAX);
    i->refs++;
    return i;
}

void item_unref(struct item *i)
{
    if (!i)
        return;
    must(i->refs > 0);
    if (--i->refs > 0)
        return;
    if (i->view)
        i->view->free(i->view);
    free(i);
}

void item_raw_value(const struct item *i, struct item_spec *ret)
{
    struct str value = item_value(i);
    ret->spliced = i->splice != UINT32_MAX;
    ret->head = ret->spliced ? str_n(value.p, i->splice) : value;
    size_t digits_n = ret->spliced ? rev_text_len(i->mod_rev) : 0;
    ret->tail = str_sub(value, ret->head.n + digits_n, value.n);
}

int64_t row_id(rev_t rev, uint8_t place)
{
    return rev << PLACE_BITS | place;
}

rev_t row_rev(int64_t id)
{
    return id >> PLACE_BITS;
}

uint8_t row_place(int64_t id)
{
    return (uint8_t)(id & (STORE_TXN_PUTS_MAX - 1));
}

int64_t item_id(const struct item *i)
{
    return row_id(i->mod_rev, i->place);
}

int64_t item_durable_id(const struct item *i)
{
    must(!item_deleted(i));
    if (!item_volatile(i))
        return item_id(i);
    int64_t id;
    memcpy(&id, i->bytes + hidden_offset(i), sizeof id);
    return id;
}

size_t item_size(const struct item *i)
{
    return sizeof *i + hidden_offset(i) + hidden_size(i);
}
