/* SPDX-License-Identifier: Apache-2.0 */
#include "store/index.h"

#include "base/vec.h"

/* NODE_SMALL: a node with fewer entries is joined with a neighbour that has room for it. A built
 * node is left some room, so that the first inserts after a start do not split every leaf. */
enum { NODE_MAX = 64, NODE_SMALL = 16, NODE_BUILT = 58 };

/* Both kinds of node begin with the number of entries. */
struct leaf {
    uint16_t n;
    struct item *v[NODE_MAX];
};

struct inner {
    uint16_t n;
    uint32_t count[NODE_MAX];     /* items below the child */
    struct item *first[NODE_MAX]; /* least item below the child */
    void *child[NODE_MAX];
};

static uint16_t node_n(const void *node)
{
    return *(const uint16_t *)node;
}

static struct item *node_first(const void *node, int level)
{
    return level ? ((const struct inner *)node)->first[0] : ((const struct leaf *)node)->v[0];
}

static uint32_t node_count(const void *node, int level)
{
    if (level == 0)
        return node_n(node);
    const struct inner *in = node;
    uint32_t sum = 0;
    for (unsigned i = 0; i < in->n; i++)
        sum += in->count[i];
    return sum;
}

static bool below(const struct item *i, const struct bound *b)
{
    struct str key = item_key(i);
    switch (b->at) {
    case BOUND_BEFORE: return str_cmp(key, b->key) < 0;
    case BOUND_AFTER: return str_cmp(key, b->key) <= 0;
    case BOUND_PAST_PREFIX: return str_cmp(str_sub(key, 0, b->key.n), b->key) <= 0;
    }
    never("unknown bound");
}

/* Number of leading items of v that are below the bound. */
static unsigned count_below(struct item *const *v, unsigned n, const struct bound *b)
{
    unsigned lo = 0, hi = n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (below(v[mid], b))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The child in which the bound lies. */
static unsigned child_at(const struct inner *in, const struct bound *b)
{
    unsigned n = count_below(in->first, in->n, b);
    return n ? n - 1 : 0;
}

void index_init(struct index *ix)
{
    *ix = (struct index){0};
}

static void node_free(void *node, int level)
{
    for (unsigned i = 0; i < node_n(node); i++) {
        if (level)
            node_free(((struct inner *)node)->child[i], level - 1);
        else
            item_unref(((struct leaf *)node)->v[i]);
    }
    free(node);
}

void index_fini(struct index *ix)
{
    if (ix->root)
        node_free(ix->root, ix->height);
    index_init(ix);
}

struct item *index_get(const struct index *ix, struct str key)
{
    if (!ix->root)
        return NULL;
    const struct bound after = {key, BOUND_AFTER};
    const void *node = ix->root;
    for (int level = ix->height; level > 0; level--) {
        const struct inner *in = node;
        node = in->child[child_at(in, &after)];
    }
    const struct leaf *leaf = node;
    unsigned n = count_below(leaf->v, leaf->n, &after);
    return n && str_eq(item_key(leaf->v[n - 1]), key) ? leaf->v[n - 1] : NULL;
}

/* ---- changing ---- */

static void set_child(struct inner *in, unsigned at, void *child, int child_level)
{
    in->child[at] = child;
    in->first[at] = node_first(child, child_level);
    in->count[at] = node_count(child, child_level);
}

static void open_slot(struct inner *in, unsigned at)
{
    size_t tail = in->n - at;
    memmove(&in->child[at + 1], &in->child[at], tail * sizeof in->child[0]);
    memmove(&in->first[at + 1], &in->first[at], tail * sizeof in->first[0]);
    memmove(&in->count[at + 1], &in->count[at], tail * sizeof in->count[0]);
    in->n++;
}

static void close_slot(struct inner *in, unsigned at)
{
    in->n--;
    size_t tail = in->n - at;
    memmove(&in->child[at], &in->child[at + 1], tail * sizeof in->child[0]);
    memmove(&in->first[at], &in->first[at + 1], tail * sizeof in->first[0]);
    memmove(&in->count[at], &in->count[at + 1], tail * sizeof in->count[0]);
}

/* Appends from[at..) to `to`, and cuts it off there. */
static void move_leaf(struct leaf *to, struct leaf *from, unsigned at)
{
    unsigned n = from->n - at;
    memcpy(&to->v[to->n], &from->v[at], n * sizeof to->v[0]);
    to->n = (uint16_t)(to->n + n);
    from->n = (uint16_t)at;
}

static void move_inner(struct inner *to, struct inner *from, unsigned at)
{
    unsigned n = from->n - at;
    memcpy(&to->child[to->n], &from->child[at], n * sizeof to->child[0]);
    memcpy(&to->first[to->n], &from->first[at], n * sizeof to->first[0]);
    memcpy(&to->count[to->n], &from->count[at], n * sizeof to->count[0]);
    to->n = (uint16_t)(to->n + n);
    from->n = (uint16_t)at;
}

/* Where a full node is cut for an entry that goes to `at`: keys that come in rising order leave
 * full nodes behind. */
static unsigned cut_at(unsigned at)
{
    return at == NODE_MAX ? NODE_MAX : NODE_MAX / 2;
}

static struct item *put_leaf(struct leaf *leaf, struct item *i, void **ret_right)
{
    const struct bound before = {item_key(i), BOUND_BEFORE};
    unsigned at = count_below(leaf->v, leaf->n, &before);
    if (at < leaf->n && str_eq(item_key(leaf->v[at]), before.key)) {
        struct item *old = leaf->v[at];
        leaf->v[at] = i;
        return old;
    }
    if (leaf->n == NODE_MAX) {
        struct leaf *right = xcalloc(1, sizeof *right);
        unsigned cut = cut_at(at);
        move_leaf(right, leaf, cut);
        *ret_right = right;
        if (at >= cut) {
            leaf = right;
            at -= cut;
        }
    }
    memmove(&leaf->v[at + 1], &leaf->v[at], (leaf->n - at) * sizeof leaf->v[0]);
    leaf->v[at] = i;
    leaf->n++;
    return NULL;
}

/* Adds child at `at`; a full node is cut in two. */
static void add_child(struct inner *in, unsigned at, void *child, int child_level, void **ret_right)
{
    if (in->n == NODE_MAX) {
        struct inner *right = xcalloc(1, sizeof *right);
        unsigned cut = cut_at(at);
        move_inner(right, in, cut);
        *ret_right = right;
        if (at >= cut) {
            in = right;
            at -= cut;
        }
    }
    open_slot(in, at);
    set_child(in, at, child, child_level);
}

/* Returns the replaced item; *ret_right is the new right half when the node was split. */
static struct item *put_node(void *node, int level, struct item *i, void **ret_right)
{
    if (level == 0)
        return put_leaf(node, i, ret_right);
    struct inner *in = node;
    const struct bound after = {item_key(i), BOUND_AFTER};
    unsigned at = child_at(in, &after);
    void *split = NULL;
    struct item *old = put_node(in->child[at], level - 1, i, &split);
    set_child(in, at, in->child[at], level - 1);
    if (split)
        add_child(in, at + 1, split, level - 1, ret_right);
    return old;
}

static void grow_root(struct index *ix, void *right)
{
    must(ix->height + 1 < INDEX_HEIGHT_MAX);
    struct inner *root = xcalloc(1, sizeof *root);
    root->n = 2;
    set_child(root, 0, ix->root, ix->height);
    set_child(root, 1, right, ix->height);
    ix->root = root;
    ix->height++;
}

struct item *index_put(struct index *ix, struct item *i)
{
    if (!ix->root)
        ix->root = xcalloc(1, sizeof(struct leaf));
    void *right = NULL;
    struct item *old = put_node(ix->root, ix->height, i, &right);
    if (right)
        grow_root(ix, right);
    ix->count += !old;
    return old;
}

/* Joins children at and at + 1 when they fit in one. */
static bool join(struct inner *in, unsigned at, int child_level)
{
    void *left = in->child[at], *right = in->child[at + 1];
    if (node_n(left) + node_n(right) > NODE_MAX - NODE_SMALL / 2)
        return false;
    if (child_level)
        move_inner(left, right, 0);
    else
        move_leaf(left, right, 0);
    free(right);
    close_slot(in, at + 1);
    set_child(in, at, left, child_level);
    return true;
}

/* Brings the entry of a child up to date from which something was removed. */
static void shrink_child(struct inner *in, unsigned at, int child_level)
{
    void *child = in->child[at];
    if (node_n(child) == 0) {
        free(child);
        close_slot(in, at);
        return;
    }
    set_child(in, at, child, child_level);
    if (node_n(child) >= NODE_SMALL)
        return;
    if (at + 1u < in->n && join(in, at, child_level))
        return;
    if (at > 0)
        join(in, at - 1, child_level);
}

static struct item *remove_node(void *node, int level, struct str key)
{
    const struct bound after = {key, BOUND_AFTER};
    if (level) {
        struct inner *in = node;
        unsigned at = child_at(in, &after);
        struct item *old = remove_node(in->child[at], level - 1, key);
        if (old)
            shrink_child(in, at, level - 1);
        return old;
    }
    struct leaf *leaf = node;
    unsigned n = count_below(leaf->v, leaf->n, &after);
    if (n == 0 || !str_eq(item_key(leaf->v[n - 1]), key))
        return NULL;
    struct item *old = leaf->v[n - 1];
    memmove(&leaf->v[n - 1], &leaf->v[n], (leaf->n - n) * sizeof leaf->v[0]);
    leaf->n--;
    return old;
}

static void shrink_root(struct index *ix)
{
    while (ix->height > 0 && node_n(ix->root) == 1) {
        struct inner *root = ix->root;
        ix->root = root->child[0];
        ix->height--;
        free(root);
    }
    if (node_n(ix->root) == 0) {
        free(ix->root);
        index_init(ix);
    }
}

struct item *index_remove(struct index *ix, struct str key)
{
    if (!ix->root)
        return NULL;
    struct item *old = remove_node(ix->root, ix->height, key);
    if (old) {
        ix->count--;
        shrink_root(ix);
    }
    return old;
}

/* ---- building ---- */

static void *build_leaf(void *const *items, size_t n)
{
    struct leaf *leaf = xcalloc(1, sizeof *leaf);
    memcpy(leaf->v, items, n * sizeof leaf->v[0]);
    leaf->n = (uint16_t)n;
    return leaf;
}

static void *build_inner(void *const *children, size_t n, int child_level)
{
    struct inner *in = xcalloc(1, sizeof *in);
    for (size_t i = 0; i < n; i++)
        set_child(in, (unsigned)i, children[i], child_level);
    in->n = (uint16_t)n;
    return in;
}

/* Packs v[0..n) into nodes of the level and leaves these in v; returns their number. */
static size_t build_level(void **v, size_t n, int level)
{
    size_t nodes = (n + NODE_BUILT - 1) / NODE_BUILT, from = 0;
    for (size_t i = 0; i < nodes; i++) {
        size_t to = n * (i + 1) / nodes; /* even shares: no small last node */
        v[i] =
            level ? build_inner(v + from, to - from, level - 1) : build_leaf(v + from, to - from);
        from = to;
    }
    return nodes;
}

void index_build(struct index *ix, void **items, size_t n)
{
    must(ix->root == NULL);
    if (n == 0)
        return;
    size_t nodes = build_level(items, n, 0);
    int level = 0;
    while (nodes > 1)
        nodes = build_level(items, nodes, ++level);
    *ix = (struct index){.root = items[0], .height = level, .count = n};
}

/* ---- reading ---- */

size_t index_rank(const struct index *ix, struct bound b)
{
    if (!ix->root)
        return 0;
    size_t rank = 0;
    const void *node = ix->root;
    for (int level = ix->height; level > 0; level--) {
        const struct inner *in = node;
        unsigned at = child_at(in, &b);
        for (unsigned i = 0; i < at; i++)
            rank += in->count[i];
        node = in->child[at];
    }
    const struct leaf *leaf = node;
    return rank + count_below(leaf->v, leaf->n, &b);
}

void index_seek(const struct index *ix, struct bound b, struct index_iter *ret)
{
    ret->index = ix;
    void *node = ix->root;
    for (int level = ix->height; node && level > 0; level--) {
        struct inner *in = node;
        ret->node[level] = in;
        ret->at[level] = (uint16_t)child_at(in, &b);
        node = in->child[ret->at[level]];
    }
    ret->node[0] = node;
    const struct leaf *leaf = node;
    ret->at[0] = leaf ? (uint16_t)count_below(leaf->v, leaf->n, &b) : 0;
}

/* Moves to the first item of the next leaf. */
static bool next_leaf(struct index_iter *it)
{
    int height = it->index->height, level = 1;
    while (level <= height && it->at[level] + 1u >= node_n(it->node[level]))
        level++;
    if (level > height)
        return false;
    it->at[level]++;
    for (; level > 0; level--) {
        struct inner *in = it->node[level];
        it->node[level - 1] = in->child[it->at[level]];
        it->at[level - 1] = 0;
    }
    return true;
}

struct item *index_next(struct index_iter *it)
{
    if (!it->node[0])
        return NULL;
    if (it->at[0] >= node_n(it->node[0]) && !next_leaf(it))
        return NULL;
    const struct leaf *leaf = it->node[0];
    return leaf->v[it->at[0]++];
}

static size_t node_bytes(const void *node, int level)
{
    if (level == 0)
        return sizeof(struct leaf);
    const struct inner *in = node;
    size_t sum = sizeof *in;
    for (unsigned i = 0; i < in->n; i++)
        sum += node_bytes(in->child[i], level - 1);
    return sum;
}

size_t index_bytes(const struct index *ix)
{
    return ix->root ? node_bytes(ix->root, ix->height) : 0;
}
