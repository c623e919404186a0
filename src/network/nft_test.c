/* SPDX-License-Identifier: Apache-2.0 */
#include "network/testing.h"

#include "network/nft.h"

static struct cidr prefix(const char *z)
{
    struct cidr c;
    assert_true(cidr_parse(str_z(z), &c));
    return c;
}

static struct ip address(const char *z)
{
    struct ip a;
    assert_true(ip_parse(str_z(z), &a));
    return a;
}

static struct nft_config dual_stack(void)
{
    struct nft_config c = {
        .table = "bqtest", .bridge = "bqtest0", .comment = "barque: /tmp/bqtest (1)"};
    c.pods[0] = c.cluster[0] = prefix("10.244.0.0/24");
    c.services[0] = prefix("10.96.0.0/16");
    c.dns[0] = address("10.96.0.10");
    c.pods[1] = c.cluster[1] = prefix("fd00:244::/64");
    c.services[1] = prefix("fd00:96::/112");
    c.dns[1] = address("fd00:96::a");
    return c;
}

static void commit(struct nft *t)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    assert_true(nft_take(t, &b));
    CLEANUP(close_fd) int fd = nl_open(NETLINK_NETFILTER, &e);
    assert_true(fd >= 0);
    if (nl_run(fd, &b, &e))
        fail_msg("%.*s", STR_ARG(e.message));
    arena_fini(&a);
}

static const struct nft_key web = {.ip = {4, {10, 96, 0, 7}}, .protocol = 6, .port = 80};
static const struct nft_key node = {.ip = {.family = 4}, .protocol = 17, .port = 30053};
static const struct nft_key web6 = {
    .ip = {6, {0xfd, 0, 0, 0x96, [15] = 7}}, .protocol = 17, .port = 53};
static const struct nft_backend pod = {{4, {10, 244, 0, 9}}, 0, 8080};
static const struct nft_backend pod6 = {{6, {0xfd, 0, 2, 0x44, [15] = 9}}, 0, 8080};
static const struct nft_target pick_one = {NFT_PICK, 1, 1, 0};
static const struct nft_target stick_to_one = {NFT_PICK, 1, 1, 600};
static const struct nft_target inside_only = {NFT_PICK, 1, 0, 0};

static void fill(struct nft *t)
{
    nft_frontend_add(t, &web, pick_one);
    nft_backend_add(t, &web, 0, &pod);
    nft_frontend_add(t, &web6, stick_to_one);
    nft_backend_add(t, &web6, 0, &pod6);
    nft_frontend_add(t, &node, inside_only);
    nft_backend_add(t, &node, 0, &pod);
    nft_outer_add(t, &node);
    nft_guard_add(t, &web);
    nft_allowed_add(t, &web, prefix("192.0.2.0/25"));
    nft_hairpin_add(t, pod.ip);
}

static void the_table_reads_well(void **state)
{
    NEEDS_ROOT();
    if (!have_program("nft"))
        skip();
    struct nft_config c = dual_stack();
    struct nft t;
    nft_init(&t, &c);
    nft_define(&t, true);
    fill(&t);
    commit(&t);
    const char *list = "nft list table inet bqtest";
    assert_prints("comment \"barque: /tmp/bqtest (1)\"", "%s", list);
    assert_prints("10.96.0.7 . tcp . 80 : goto pick4-1", "%s", list);
    assert_prints("10.96.0.7 . tcp . 80 . 0x00000000 : 10.244.0.9 . 8080", "%s", list);
    assert_prints("fd00:96::7 . udp . 53 : goto pick6-1-600s", "%s", list);
    assert_prints("fd00:96::7 . udp . 53 : jump remember6-600s", "%s", list);
    assert_prints("update @affinity6 { ip6 saddr . ct original ip6 daddr", "%s", list);
    assert_prints("10.96.0.7 . tcp . 80 . 192.0.2.0/25", "%s", list);
    assert_prints("10.244.0.9 . 10.244.0.9", "%s", list);
    nft_fini(&t);
}

static struct nft_target found_frontend(const struct nft_found *f, const struct nft_key *k)
{
    for (size_t i = 0; i < f->frontends.n; i++)
        if (memcmp(&f->frontends.v[i].key, k, sizeof *k) == 0)
            return f->frontends.v[i].target;
    fail();
    return (struct nft_target){0};
}

static void assert_target(struct nft_target is, struct nft_target should)
{
    assert_memory_equal(&is, &should, sizeof is);
}

static void what_is_written_is_read(void **state)
{
    NEEDS_ROOT();
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct nft_config c = dual_stack();
    struct nft t;
    nft_init(&t, &c);
    nft_define(&t, true);
    fill(&t);
    commit(&t);
    struct nft_found f;
    assert_int_equal(nft_read(&c, &f, &e), 0);
    assert_true(f.table && !f.foreign);
    assert_int_equal(f.chains.n, 4);
    assert_int_equal(f.frontends.n, 3);
    assert_target(found_frontend(&f, &web), pick_one);
    assert_target(found_frontend(&f, &node), inside_only);
    assert_target(found_frontend(&f, &web6), stick_to_one);
    assert_int_equal(f.backends.n, 3);
    assert_memory_equal(&f.backends.v[2].key, &web6, sizeof web6);
    assert_memory_equal(&f.backends.v[2].backend, &pod6, sizeof pod6);
    nft_found_free(&f);
    nft_fini(&t);
    arena_fini(&a);
}

static void an_adopted_table_changes_in_place(void **state)
{
    NEEDS_ROOT();
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct nft_config c = dual_stack();
    struct nft_found f;
    struct nft t;
    assert_int_equal(nft_read(&c, &f, &e), 0);
    nft_init(&t, &c);
    for (size_t i = 0; i < f.frontends.n; i++)
        nft_adopt_frontend(&t, &f.frontends.v[i].key, f.frontends.v[i].target);
    nft_adopt_chains(&t, &f);
    nft_found_free(&f);
    nft_define(&t, false);
    nft_frontend_remove(&t, &web6, stick_to_one);
    nft_backend_remove(&t, &web6, 0);
    commit(&t);
    assert_int_equal(nft_read(&c, &f, &e), 0);
    assert_int_equal(f.frontends.n, 2);
    assert_int_equal(f.backends.n, 2);
    assert_int_equal(f.chains.n, 2);
    assert_string_equal(f.chains.v[0], "pick4-1");
    assert_string_equal(f.chains.v[1], "pick4-any-1-outside-0");
    nft_found_free(&f);
    nft_fini(&t);
    arena_fini(&a);
}

static void only_ours_is_destroyed(void **state)
{
    NEEDS_ROOT();
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    assert_int_equal(nft_destroy("bqtest", STR("barque: /tmp/other "), &e), -ERR_CONFLICT);
    assert_int_equal(nft_destroy("bqtest", STR("barque: /tmp/bqtest "), &e), 0);
    assert_int_equal(nft_destroy("bqtest", STR("barque: /tmp/bqtest "), &e), 1);
    struct nft_config c = dual_stack();
    struct nft_found f;
    assert_int_equal(nft_read(&c, &f, &e), 0);
    assert_false(f.table);
    arena_fini(&a);
}

ISOLATED_TESTS(cmocka_unit_test(the_table_reads_well), cmocka_unit_test(what_is_written_is_read),
               cmocka_unit_test(an_adopted_table_changes_in_place),
               cmocka_unit_test(only_ours_is_destroyed))
