/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "engine/reference.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_accepts(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"nginx", "docker.io/library/nginx:latest"},
        {"nginx:1.25", "docker.io/library/nginx:1.25"},
        {"user/app", "docker.io/user/app:latest"},
        {"docker.io/nginx", "docker.io/library/nginx:latest"},
        {"index.docker.io/library/nginx:x", "docker.io/library/nginx:x"},
        {"localhost/app", "localhost/app:latest"},
        {"localhost:5000/app", "localhost:5000/app:latest"},
        {"127.0.0.1:5000/a/b/c:v1.2_3-x", "127.0.0.1:5000/a/b/c:v1.2_3-x"},
        {"[::1]:5000/app", "[::1]:5000/app:latest"},
        {"[fe80::1]/app", "[fe80::1]/app:latest"},
        {"MyHost/app", "MyHost/app:latest"},
        {"registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"},
        {"a__b/c-d.e--f", "docker.io/a__b/c-d.e--f:latest"},
        {"nginx@sha256:" HEX, "docker.io/library/nginx@sha256:" HEX},
        {"nginx:1@sha256:" HEX, "docker.io/library/nginx@sha256:" HEX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        struct reference r;
        assert_int_equal(reference_parse(&a, str_z(cases[i].in), &r, &e), 0);
        assert_str(reference_text(&a, &r), cases[i].out);
        arena_fini(&a);
    }
}

static void test_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        ":",
        "@",
        "/",
        "a/",
        "/a",
        "a//b",
        "Nginx",
        "a/B",
        "a:",
        "a:b:c",
        "a:.x",
        "a:-x",
        "a b",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "_a",
        "a_",
        "a/../b",
        "host.x:99999/a",
        "host.x:/a",
        "host.x:-1/a",
        "-host.x/a",
        "[::1/a",
        "[]/a",
        "[::1]x/a",
        "a@",
        "a@sha256:",
        "a@sha256:12",
        "a@md5:" HEX,
        "a@sha256:" HEX "0",
        "a@sha256:" HEX "@sha256:" HEX,
        "\x01",
        "ä",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        struct reference r;
        if (reference_parse(&a, str_z(cases[i]), &r, &e) == 0)
            fail_msg("\"%s\" was accepted", cases[i]);
        assert_int_equal(e.code, ERR_BAD_REQUEST);
        arena_fini(&a);
    }
}

static void test_long_names(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct reference r;
    char name[600];
    memset(name, 'a', sizeof name);
    size_t fits = REFERENCE_NAME_MAX - strlen("docker.io/library/");
    assert_int_equal(reference_parse(&a, str_n(name, fits), &r, &e), 0);
    assert_true(reference_parse(&a, str_n(name, fits + 1), &r, &e) < 0);
    assert_true(reference_parse(&a, str_n(name, sizeof name), &r, &e) < 0);
    memset(name + 1, ':', 1);
    assert_int_equal(reference_parse(&a, str_n(name, 2 + REFERENCE_TAG_MAX), &r, &e), 0);
    assert_true(reference_parse(&a, str_n(name, 3 + REFERENCE_TAG_MAX), &r, &e) < 0);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(test_accepts), cmocka_unit_test(test_refuses),
      cmocka_unit_test(test_long_names))
