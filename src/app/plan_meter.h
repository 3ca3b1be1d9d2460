/* plan_meter.h: "plan meter", which writes readings of this machine's counters of energy into a
 * file (docs/formats/meters.md), for "plan compare".
 *
 * Each reading is written in one piece behind what is there; one recorder has a file at a time.
 * Threads: the main thread. Errors: exit codes of docs/exit-codes.md.
 */
#ifndef TW_APP_PLAN_METER_H
#define TW_APP_PLAN_METER_H

int tw_plan_meter(int argc, char **argv);

#endif
