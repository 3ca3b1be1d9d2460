/* How long it takes to refuse a key says nothing about how much of it is right.
 *
 * Wrong keys that have all of a right one but its last two signs are tried against such that share
 * nothing, in turns, so that the machine's moods come to both; many of each, since each falls into
 * a bucket of its own, which has another key in it or none. Medians of many short runs are
 * compared; a comparison sign by sign, which is tried first, must be found out by the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/hub_admin.h"
#include "hub_fixture.h"

#define N_ROUNDS 2001
#define N_TRIES  8    /* of one round */
#define N_WRONG  64   /* keys of a kind */
#define MOST     0.03 /* of difference, as a part of the whole */
#define N_AGAIN  30   /* the machine may have been busy with something else */

typedef bool (*try_fn)(void *context, const char *secret);

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *numbers)
{
    qsort(numbers, N_ROUNDS, sizeof *numbers, compare);
    return numbers[N_ROUNDS / 2];
}

static int64_t time_of(try_fn try, void *context, const char *secret)
{
    const int64_t begin_ns = tw_clock_monotonic_ns();
    for (int i = 0; i < N_TRIES; i++) {
        assert_false(try(context, secret));
    }
    return tw_clock_monotonic_ns() - begin_ns;
}

struct wrong_keys {
    char near[N_WRONG][TW_DIRECTORY_SECRET_BYTES], far[N_WRONG][TW_DIRECTORY_SECRET_BYTES];
};

/* By how much a key that is nearly right takes longer, as a part. */
static double difference(try_fn try, void *context, const struct wrong_keys *wrong)
{
    static int64_t near_ns[N_ROUNDS], far_ns[N_ROUNDS];
    for (int i = 0; i < N_ROUNDS; i++) {
        const char *near = wrong->near[i % N_WRONG], *far = wrong->far[i % N_WRONG];
        if (i / N_WRONG % 2 == 0) {
            near_ns[i] = time_of(try, context, near);
            far_ns[i] = time_of(try, context, far);
        } else {
            far_ns[i] = time_of(try, context, far);
            near_ns[i] = time_of(try, context, near);
        }
    }
    const double n = (double)median(near_ns), f = (double)median(far_ns);
    return (n - f) / f;
}

/* Of the same length as a right one. */
static void make_wrong(const char *right, struct wrong_keys *ret_wrong)
{
    const size_t n = strlen(right);
    for (int k = 0; k < N_WRONG; k++) {
        char *near = ret_wrong->near[k], *far = ret_wrong->far[k];
        for (size_t i = 0; i <= n; i++) {
            near[i] = right[i];
            far[i] = right[i] == '\0' ? '\0' : right[i] == 'x' ? 'y' : 'x';
        }
        near[n - 2] = far[n - 2] = (char)('!' + k % 8);
        near[n - 1] = far[n - 1] = (char)('!' + k / 8); /* none of these is in a right one */
    }
}

static bool try_slowly(void *context, const char *secret)
{
    const volatile char *right = context;
    volatile uint32_t work = 1;
    size_t i = 0;
    for (int k = 0; k < 200; k++) { /* as a hash would */
        work = work * 1664525u + 1013904223u;
    }
    while (right[i] != '\0' && right[i] == secret[i]) {
        i++;
    }
    return right[i] == '\0';
}

static bool try_key(void *context, const char *secret)
{
    struct tw_hub_caller caller;
    return tw_hub_authenticate(((struct fixture *)context)->hub, secret, &caller) ==
           TW_HUB_KEY_GOOD;
}

static bool try_person(void *context, const char *secret)
{
    struct tw_hub_actor actor;
    return tw_hub_find_person(((struct fixture *)context)->hub, secret, &actor);
}

static void must_be_the_same(try_fn try, void *context, const char *right)
{
    struct wrong_keys wrong;
    const struct timespec pause = {.tv_nsec = 50000000};
    double part = 1;
    make_wrong(right, &wrong);
    for (int i = 0; i < N_AGAIN && (part > MOST || part < -MOST); i++) {
        nanosleep(&pause, NULL);
        part = difference(try, context, &wrong);
    }
    if (part > MOST || part < -MOST) {
        fail_msg("a key that is nearly right takes %.1f %% longer", part * 100);
    }
}

static void a_comparison_sign_by_sign_would_be_found(void **state)
{
    char right[] = "tw-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    struct wrong_keys wrong;
    (void)state;
    make_wrong(right, &wrong);
    double part = 0;
    for (int i = 0; i < N_AGAIN && part <= MOST; i++) {
        part = difference(try_slowly, right, &wrong);
    }
    assert_true(part > MOST);
}

static void a_key_that_is_nearly_right_is_refused_as_fast_as_any(void **state)
{
    struct fixture *fixture = *state;
    must_be_the_same(try_key, fixture, fixture->secret);
}

static void a_users_secret_that_is_nearly_right_is_refused_as_fast_as_any(void **state)
{
    static const struct tw_hub_actor machine = {.name = "test"};
    static const char *const verbs[] = {"create", "secret"};
    struct fixture *fixture = *state;
    char secret[TW_DIRECTORY_SECRET_BYTES] = "";
    for (size_t i = 0; i < 2; i++) {
        struct tw_error error;
        json_t *answer = NULL;
        json_t *command =
            tw_hub_make_command("user", verbs[i], json_pack("{s:s}", "path", "somebody"));
        assert_int_equal(tw_hub_ask(fixture->hub, &machine, command, &answer, &error), TW_OK);
        if (i == 1) {
            snprintf(secret, sizeof secret, "%s",
                     json_string_value(json_object_get(answer, "secret")));
        }
        json_decref(answer);
    }
    must_be_the_same(try_person, fixture, secret);
}

static int create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture_create(fixture);
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static int destroy(void **state)
{
    fixture_destroy(*state);
    free(*state);
    return 0;
}

int main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, create, destroy)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_comparison_sign_by_sign_would_be_found),
        BOOKS(a_key_that_is_nearly_right_is_refused_as_fast_as_any),
        BOOKS(a_users_secret_that_is_nearly_right_is_refused_as_fast_as_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
