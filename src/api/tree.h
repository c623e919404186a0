/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h: editing JSON objects of any size without quadratic cost. Private to api/.
 */
#ifndef BARQUE_API_TREE_H
#define BARQUE_API_TREE_H

#include "base/map.h"
#include "codec/json.h"

/* Finds members by key: by looking at all when they are few, else by a table made at the first
 * search. The object must not change meanwhile. */
struct member_index {
    const struct json *object; /* may be NULL: has no members */
    struct map table;          /* key -> member */
};

void member_index_init(struct member_index *x, const struct json *object);
void member_index_fini(struct member_index *x);
struct json_member *member_index_find(struct member_index *x, struct str key);

/* A copy of an object's members to be changed: set and del keep the order of the others.
 *
 *   struct tree_edit ed;
 *   if (!tree_edit_init(&ed, a, from, more)) ... the arena is full
 *   tree_edit_set(&ed, key, value); tree_edit_del(&ed, key);
 *   struct json *object = tree_edit_done(&ed);
 */
struct tree_edit {
    struct json *object; /* a deleted member has value NULL until tree_edit_done */
    struct map table;
    bool holes;
};

/* from may be NULL: starts empty. At most `more` members may be added. False: the arena is full. */
bool tree_edit_init(struct tree_edit *ed, struct arena *a, const struct json *from, size_t more);
struct json *tree_edit_get(struct tree_edit *ed, struct str key);
void tree_edit_set(struct tree_edit *ed, struct str key, struct json *v);
void tree_edit_del(struct tree_edit *ed, struct str key);
/* The object; ed is finished. */
struct json *tree_edit_done(struct tree_edit *ed);

/* An array or object with room for n elements; NULL when the arena is full. */
struct json *tree_array(struct arena *a, size_t n);
struct json *tree_object(struct arena *a, size_t n);
struct json *tree_string(struct arena *a, struct str s); /* not copied */
/* v without null members, at any depth; v itself when it has none. NULL: the arena is full. */
struct json *tree_without_nulls(struct arena *a, struct json *v);

/* What b holds, on the arena; "..." when it does not fit there. */
struct str tree_text(struct arena *a, const struct buf *b);

/* Go's name of the type json values decode to: "map[string]interface {}". */
const char *tree_go_type(const struct json *v);
/* The value as Go's %v prints it (map[a:1 b:[x y]]), cut at TREE_GO_TEXT_MAX bytes. */
struct str tree_go_text(struct arena *a, const struct json *v);
enum { TREE_GO_TEXT_MAX = 4096 };

#endif
