/* plan_simulate.h: `plan simulate`: what one plant gives under one load, in virtual time.
 *
 * Threads: the main thread. Errors: those of plan/simulator.h, plan/workload.h, plan/catalogue.h.
 */
#ifndef TW_APP_PLAN_SIMULATE_H
#define TW_APP_PLAN_SIMULATE_H

int tw_plan_simulate(int argc, char **argv);

#endif
