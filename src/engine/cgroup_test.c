/* SPDX-License-Identifier: Apache-2.0 */
/* Detection of all layouts and reading of all files on made-up trees; the real groups of this
 * machine are used by container_test.c and limits_test.c. */
#include "base/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "engine/cgroup.h"
#include "engine/files.h"

static struct arena arena;
static struct err err;
static char root[64];

static int setup(void **state)
{
    arena = ARENA_INIT;
    err = ERR_INIT(&arena);
    snprintf(root, sizeof root, "/tmp/cgroup-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(tree_remove(AT_FDCWD, root, &err), 0);
    arena_fini(&arena);
    return 0;
}

static void put(const char *path, const char *text)
{
    struct str full = arena_fmt(&arena, "%s/%s", root, path);
    ptrdiff_t slash = str_rindex(full, '/');
    assert_int_equal(dir_make(arena_z(&arena, str_sub(full, 0, (size_t)slash)), 0755, &err), 0);
    assert_int_equal(file_write(AT_FDCWD, full.p, str_z(text), 0644, FILE_FAST, &err), 0);
}

static void assert_file(const char *path, const char *want)
{
    struct str s;
    assert_int_equal(
        file_read(&arena, AT_FDCWD, arena_fmt(&arena, "%s/%s", root, path).p, 1000, &s, &err), 0);
    assert_str(s, want);
}

static struct cgroups detect(const char *format)
{
    struct cgroups cg;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(65536);
    for (const char *p = format; *p; p++)
        if (*p == '@')
            buf_z(&b, root);
        else
            buf_c(&b, *p);
    assert_int_equal(cgroup_detect_from(&cg, buf_view(&b), &err), 0);
    return cg;
}

static void test_detection(void **state)
{
    struct cgroups cg;
    cg = detect("30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    assert_int_equal(cg.mode, CGROUP_V2);
    cg = detect(
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n");
    assert_int_equal(cg.mode, CGROUP_V1);
    assert_string_equal(cg.v1[CGROUP_CPU], "/sys/fs/cgroup/cpu,cpuacct");
    assert_string_equal(cg.v1[CGROUP_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct");
    assert_string_equal(cg.v1[CGROUP_SYSTEMD], "/sys/fs/cgroup/systemd");
    assert_true(cgroup_has(&cg, CGROUP_CPU) && !cgroup_has(&cg, CGROUP_MEMORY));
    cg = detect("32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    assert_int_equal(cg.mode, CGROUP_HYBRID);
    struct cgroups none;
    assert_int_equal(cgroup_detect_from(&none, STR("garbage\n1 2 3\n - \n"), &err),
                     -ERR_UNAVAILABLE);
}

static struct cgroups v2_tree(void)
{
    put("cgroup.controllers", "cpuset cpu io memory pids\n");
    put("a/cgroup.controllers", "cpuset cpu io memory pids\n");
    put("cgroup.subtree_control", "");
    put("a/cgroup.subtree_control", "");
    static const char *const files[] = {"cpu.weight",      "cpu.max",  "memory.max",
                                        "memory.swap.max", "pids.max", "cpuset.cpus",
                                        "memory.oom.group"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(arena_fmt(&arena, "a/%s", files[i]).p, "");
    put("a/memory.current", "5000000\n");
    put("a/memory.stat", "anon 1000\nfile 2000\ninactive_file 1000000\npgfault 7\npgmajfault 3\n");
    put("a/memory.swap.current", "11\n");
    put("a/memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n");
    put("a/cpu.stat", "usage_usec 123456\nuser_usec 1\n");
    put("a/pids.current", "4\n");
    return detect("30 1 0:26 / @ rw - cgroup2 cgroup2 rw\n");
}

static void test_v2(void **state)
{
    struct cgroups cg = v2_tree();
    struct cgroup_limits limits = {.cpu_shares = 1024,
                                   .cpu_quota_us = 50000,
                                   .cpu_period_us = 100000,
                                   .memory_bytes = 1000000,
                                   .memory_swap_bytes = 1500000,
                                   .pids = -1,
                                   .cpuset_cpus = STR("0-1")};
    assert_true(cgroup_has(&cg, CGROUP_CPU) && cgroup_has(&cg, CGROUP_CPUACCT));
    assert_int_equal(cgroup_set(&cg, "/a", &limits, &err), 0);
    assert_file("a/cpu.weight", "39");
    assert_file("a/cpu.max", "50000 100000");
    assert_file("a/memory.max", "1000000");
    assert_file("a/memory.swap.max", "500000");
    assert_file("a/pids.max", "max");
    assert_file("a/cpuset.cpus", "0-1");
    assert_int_equal(cgroup_set_unified(&cg, "/a", STR("memory.oom.group"), STR("1"), &err), 0);
    assert_file("a/memory.oom.group", "1");
    assert_int_equal(cgroup_set_unified(&cg, "/a", STR("../x"), STR("1"), &err), -ERR_BAD_REQUEST);

    struct cgroup_stat st;
    put("a/memory.max", "max\n");
    cgroup_stat(&cg, "/a", &st);
    assert_true(st.found);
    assert_int_equal(st.cpu_ns, 123456000);
    assert_int_equal(st.memory_bytes, 5000000);
    assert_int_equal(st.working_set_bytes, 4000000);
    assert_int_equal(st.rss_bytes, 1000);
    assert_int_equal(st.swap_bytes, 11);
    assert_int_equal(st.page_faults, 7);
    assert_int_equal(st.major_page_faults, 3);
    assert_int_equal(st.processes, 4);
    assert_int_equal(st.oom_kills, 2);
    assert_true(st.memory_limit_bytes == UINT64_MAX);
    cgroup_stat(&cg, "/nowhere", &st);
    assert_false(st.found);
    assert_int_equal(cgroup_make(&cg, "/a/b", &err), 0);
    assert_true(cgroup_exists(&cg, "/a/b"));
    assert_int_equal(cgroup_remove(&cg, "/a/b", &err), 0);
    assert_int_equal(cgroup_make(&cg, "/", &err), -ERR_BAD_REQUEST);
    assert_int_equal(cgroup_remove(&cg, "/../x", &err), -ERR_BAD_REQUEST);
}

static void test_weights(void **state)
{
    assert_int_equal(cgroup_weight_of_shares(0), 1);
    assert_int_equal(cgroup_weight_of_shares(2), 1);
    assert_int_equal(cgroup_weight_of_shares(1024), 39);
    assert_int_equal(cgroup_weight_of_shares(262144), 10000);
    assert_int_equal(cgroup_weight_of_shares(UINT64_MAX), 10000);
}

/* On the machine's own hierarchies, whatever they are. */
static void test_real(void **state)
{
    struct cgroups cg;
    if (geteuid() != 0 || cgroup_detect(&cg, &err) < 0)
        skip();
    const char *top = strrchr(root, '/'), *path = arena_fmt(&arena, "%s/x/y", top).p;
    assert_int_equal(cgroup_make(&cg, path, &err), 0);
    assert_int_equal(cgroup_make(&cg, path, &err), 0);
    int pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    assert_int_equal(cgroup_join(&cg, path, pid, &err), 0);
    assert_int_equal(cgroup_remove(&cg, top, &err), -ERR_CONFLICT);
    assert_true(cgroup_kill(&cg, top) >= 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_kill(&cg, top), 0);
    assert_int_equal(cgroup_remove(&cg, top, &err), 0);
    assert_false(cgroup_exists(&cg, top));
    assert_int_equal(cgroup_remove(&cg, top, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TESTS(TEST(test_detection), TEST(test_v2), TEST(test_weights), TEST(test_real))
