/* plan_fixture.h: what the planner's tests share: plants from the built-in catalogue, and workloads.
 *
 * Everything that fails here ends the test. Threads: one.
 */
#ifndef TW_TESTS_PLAN_FIXTURE_H
#define TW_TESTS_PLAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan/simulator.h"

/* The built-in catalogue, opened once. */
const struct tw_catalogue *plan_catalogue(void);

/* vLLM 0.19 in bf16 with a context of 8,192 tokens, one replica of one device. */
struct tw_plant plan_plant(const char *model, const char *device);

/* Poisson arrivals, fixed lengths. */
struct tw_workload plan_workload(double rate_requests_s, uint32_t n_input, uint32_t n_output,
                                 uint32_t n_requests);

struct tw_plan_result plan_simulate(const struct tw_simulation *simulation,
                                    struct tw_plan_outcome *outcomes);

#endif
