/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, what happens at them, and what is told about use. */
#include "engine/test_world.h"

static struct cgroups cgroups;

static uint64_t group_value(struct str pod, struct str id, enum cgroup_controller c,
                            const char *file)
{
    uint64_t v = 0;
    struct str path = arena_fmt(&w->arena, "%s%s/%.*s/%.*s/%s", cgroups.v1[c], w->cgroup,
                                STR_ARG(pod), STR_ARG(id), file);
    if (!file_read_u64(AT_FDCWD, path.p, &v))
        fail_msg("%s", path.p);
    return v;
}

static void test_limits_and_update(void **state)
{
    assert_int_equal(cgroup_detect(&cgroups, &w->err), 0);
    if (!cgroups.v1[CGROUP_MEMORY][0] || !cgroups.v1[CGROUP_CPU][0])
        skip();
    struct str pod = run_pod("limits");
    struct criv1_container_config *config = container_config("sleep 1000");
    struct criv1_linux_container_resources *r = config->linux_->resources;
    r->cpu_shares = 512;
    r->cpu_period = 100000;
    r->cpu_quota = 50000;
    r->memory_limit_in_bytes = (int64_t)MIB(32);
    struct criv1_hugepage_limit *h = list_add(&w->arena, &r->hugepage_limits);
    h->page_size = STR("2MB");
    struct str id = create(pod, config);
    start(id);
    assert_int_equal(group_value(pod, id, CGROUP_CPU, "cpu.shares"), 512);
    assert_int_equal(group_value(pod, id, CGROUP_CPU, "cpu.cfs_quota_us"), 50000);
    assert_int_equal(group_value(pod, id, CGROUP_MEMORY, "memory.limit_in_bytes"), MIB(32));

    struct criv1_update_container_resources_request q = {.container_id = id};
    q.linux_ = arena_new(&w->arena, struct criv1_linux_container_resources);
    q.linux_->cpu_shares = 2048;
    q.linux_->memory_limit_in_bytes = (int64_t)MIB(64);
    call(CRIV1_UPDATE_CONTAINER_RESOURCES, &q);
    assert_int_equal(group_value(pod, id, CGROUP_CPU, "cpu.shares"), 2048);
    assert_int_equal(group_value(pod, id, CGROUP_CPU, "cpu.cfs_quota_us"), 50000);
    assert_int_equal(group_value(pod, id, CGROUP_MEMORY, "memory.limit_in_bytes"), MIB(64));
    assert_int_equal(status(id)->resources->linux_->cpu_shares, 2048);
    assert_int_equal(status(id)->resources->linux_->cpu_quota, 50000);

    /* one that has not been started yet */
    struct str later = create(pod, container_config("sleep 1000"));
    q.container_id = later;
    call(CRIV1_UPDATE_CONTAINER_RESOURCES, &q);
    start(later);
    assert_int_equal(group_value(pod, later, CGROUP_MEMORY, "memory.limit_in_bytes"), MIB(64));
    remove_pod(pod);
}

static void test_out_of_memory(void **state)
{
    struct str pod = run_pod("oom");
    struct criv1_container_config *config =
        container_config("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done");
    config->linux_->resources->memory_limit_in_bytes = (int64_t)MIB(16);
    const struct criv1_container_status *st = run_to_end(pod, config);
    assert_int_equal(st->exit_code, 137);
    assert_str(st->reason, "OOMKilled");
    remove_pod(pod);
}

static void test_stats(void **state)
{
    struct str pod = run_pod("stats");
    struct str id = create(
        pod, container_config("head -c 300000 /dev/zero > /tmp/f; i=0; while [ $i -lt 20000 ]; do "
                              "i=$((i+1)); done; echo done; sleep 1000"));
    start(id);
    while (str_find(output(), STR("done")) < 0)
        usleep(10000);
    struct criv1_container_stats_request q = {.container_id = id};
    const struct criv1_container_stats_response *r = call(CRIV1_CONTAINER_STATS, &q);
    assert_str(r->stats->attributes->metadata->name, "main");
    assert_true(r->stats->cpu->usage_core_nano_seconds->value > 1000000);
    assert_null(r->stats->cpu->usage_nano_cores); /* there is no rate yet */
    assert_true(r->stats->memory->usage_bytes->value > 0);
    assert_true(r->stats->writable_layer->used_bytes->value >= 300000);
    r = call(CRIV1_CONTAINER_STATS, &q);
    assert_non_null(r->stats->cpu->usage_nano_cores);

    struct criv1_list_container_stats_request all = {0};
    const struct criv1_list_container_stats_response *l = call(CRIV1_LIST_CONTAINER_STATS, &all);
    assert_int_equal(l->stats.n, 1);
    struct criv1_pod_sandbox_stats_request pq = {.pod_sandbox_id = pod};
    const struct criv1_pod_sandbox_stats_response *p = call(CRIV1_POD_SANDBOX_STATS, &pq);
    assert_true(p->stats->linux_->cpu->usage_core_nano_seconds->value > 1000000);
    assert_int_equal(p->stats->linux_->containers.n, 1);
    assert_true(p->stats->linux_->process->process_count->value >= 1);
    struct criv1_list_pod_sandbox_stats_request pl = {0};
    const struct criv1_list_pod_sandbox_stats_response *ps =
        call(CRIV1_LIST_POD_SANDBOX_STATS, &pl);
    assert_int_equal(ps->stats.n, 1);
    remove_pod(pod);
}

static void test_log_rotation(void **state)
{
    struct str pod = run_pod("logs");
    struct str id = create(pod, container_config("echo first; while [ ! -e /go ]; do sleep 0.02; "
                                                 "done; echo second; sleep 1000"));
    start(id);
    while (str_find(output(), STR("first\n")) < 0)
        usleep(10000);
    assert_int_equal(rename(in_root("log/main.log"), in_root("log/main.log.1")), 0);
    struct criv1_reopen_container_log_request q = {.container_id = id};
    call(CRIV1_REOPEN_CONTAINER_LOG, &q);
    struct criv1_exec_sync_request go = {.container_id = id, .timeout = 5};
    str_list_push(&w->arena, &go.cmd, STR("/bin/busybox"));
    str_list_push(&w->arena, &go.cmd, STR("touch"));
    str_list_push(&w->arena, &go.cmd, STR("/go"));
    call(CRIV1_EXEC_SYNC, &go);
    while (str_find(output(), STR("second\n")) < 0)
        usleep(10000);
    assert_true(str_find(output(), STR("first\n")) < 0);
    remove_pod(pod);
}

ENGINE_TESTS(ENGINE_TEST(test_limits_and_update), ENGINE_TEST(test_out_of_memory),
             ENGINE_TEST(test_stats), ENGINE_TEST(test_log_rotation))
