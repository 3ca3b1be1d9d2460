/* plan_compare.h: "plan compare", a plan beside the ledger of the books and counters of energy.
 *
 * It reads the store itself, beside a server that writes: whoever may read the books may compare.
 * Threads: the main thread. Errors: exit codes of docs/exit-codes.md.
 */
#ifndef TW_APP_PLAN_COMPARE_H
#define TW_APP_PLAN_COMPARE_H

int tw_plan_compare(int argc, char **argv);

#endif
