/* SPDX-License-Identifier: Apache-2.0 */
/* json_build.h: building trees of unknown size without waste. Private to codec/. */
#ifndef BARQUE_CODEC_JSON_BUILD_H
#define BARQUE_CODEC_JSON_BUILD_H

#include "codec/json.h"

/* Up to this many members a linear search is quickest. Beyond it members are sorted rather than
 * hashed: keys that collide can be made up, keys that sort slowly cannot. */
enum { JSON_FEW = 16 };

/* Elements of the containers being read, innermost last. A container's own go to the arena when
 * it ends and their number is known. The text decides how many there are: running out of memory
 * is an error (false), not an abort. */
struct json_scratch {
    VEC(struct json *) items;
    VEC(struct json_member) members;
};

void json_scratch_fini(struct json_scratch *s);
bool json_scratch_item(struct json_scratch *s, struct json *item) MUST_USE;
bool json_scratch_member(struct json_scratch *s, struct str key, struct json *value) MUST_USE;
/* Moves the items (members) from index `from` on to the arena, as those of `to`. False: they do
 * not fit there. */
bool json_take_items(struct json_scratch *s, size_t from, struct arena *a,
                     struct json *to) MUST_USE;
bool json_take_members(struct json_scratch *s, size_t from, struct arena *a,
                       struct json *to) MUST_USE;

/* For each of n members the place of the first one with its key. False: out of memory. */
bool json_find_repeated(const struct json_member *v, size_t n, size_t *ret_first) MUST_USE;

/* The member with that key, or NULL. */
struct json_member *json_find_member(struct json_member *v, size_t n, struct str key);

#endif
