/* quantiles.h: percentiles of many values, without sorting them all.
 *
 * The p-th percentile of n values is the one with rank ceil(p/100 n) (nearest rank).
 * Threads: any. Errors: none.
 */
#ifndef TW_PLAN_QUANTILES_H
#define TW_PLAN_QUANTILES_H

#include "plan/simulator.h"

/* Puts values [n] in another order. n 0: all zero. */
struct tw_plan_quantiles tw_quantiles_of(double *values, uint32_t n);
/* 0 < percentile <= 100. n 0: 0. Puts values in another order. */
double tw_quantiles_at(double *values, uint32_t n, double percentile);

#endif
