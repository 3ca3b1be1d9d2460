/* plan_calibrate.h: `plan calibrate`: what an engine's row of the catalogue is on a machine that
 * was measured, as rows of a file that a scenario takes under "catalogue".
 *
 * Threads: the main thread. Errors: those of plan/calibrate.h and plan/catalogue.h.
 */
#ifndef TW_APP_PLAN_CALIBRATE_H
#define TW_APP_PLAN_CALIBRATE_H

int tw_plan_calibrate(int argc, char **argv);

#endif
