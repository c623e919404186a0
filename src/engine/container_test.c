/* SPDX-License-Identifier: Apache-2.0 */
/* The life of pods and containers. */
#include "engine/test_world.h"

static void test_one_container(void **state)
{
    struct str pod = run_pod("one");
    struct criv1_container_config *config =
        container_config("echo out; echo err >&2; hostname 2>&1; cat /etc/hostname; exit 7");
    const struct criv1_container_status *st = run_to_end(pod, config);
    assert_int_equal(st->exit_code, 7);
    assert_str(st->reason, "Error");
    assert_true(st->created_at > 0 && st->started_at >= st->created_at &&
                st->finished_at >= st->started_at);
    struct str text = output();
    assert_true(str_find(text, STR("out\n")) >= 0 && str_find(text, STR("err\n")) >= 0);
    assert_true(str_find(text, STR("one\n")) >= 0);
    remove_container(st->id);
    struct criv1_container_status_request q = {.container_id = st->id};
    assert_null(try_call(CRIV1_CONTAINER_STATUS, &q));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);
    remove_pod(pod);
    assert_int_equal(mounts_below_root(), w->own_mounts);
}

static void test_stop(void **state)
{
    struct str pod = run_pod("stop");
    struct str polite =
        create(pod, container_config("trap 'exit 3' TERM; while :; do sleep 0.02; done"));
    struct str deaf = create(pod, container_config("trap '' TERM; while :; do sleep 0.02; done"));
    start(polite);
    start(deaf);
    usleep(100000); /* until the shells have set their traps */
    stop(polite, 10);
    assert_int_equal(status(polite)->exit_code, 3);
    stop(polite, 10); /* again is fine */
    stop(deaf, 1);
    assert_int_equal(status(deaf)->exit_code, 137);
    struct str running = create(pod, container_config("sleep 1000"));
    start(running);
    assert_int_equal(status(running)->state, CRIV1_CONTAINER_RUNNING);
    remove_pod(pod); /* takes the running container with it */
    struct criv1_container_status_request q = {.container_id = running};
    assert_null(try_call(CRIV1_CONTAINER_STATUS, &q));
    assert_int_equal(mounts_below_root(), w->own_mounts);
}

static void test_check(void **state)
{
    struct engine_finding *v;
    size_t n, fatal = 0;
    engine_check(&w->config, &w->arena, &v, &n);
    assert_true(n >= 5);
    for (size_t i = 0; i < n; i++)
        fatal += v[i].fatal;
    assert_int_equal(fatal, 0);
    struct engine_config without = w->config;
    without.conmon = "no-such-conmon";
    engine_check(&without, &w->arena, &v, &n);
    for (size_t i = 0; i < n; i++)
        fatal += v[i].fatal;
    assert_int_equal(fatal, 1);
}

ENGINE_TESTS(ENGINE_TEST(test_one_container), ENGINE_TEST(test_stop), ENGINE_TEST(test_check))
