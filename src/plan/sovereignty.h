/* sovereignty.h: where data may go, before any money is counted.
 *
 *     option --(kind, home)--> place --(SEAL levels)--> data class: yes, or the rule that says no
 *
 * A place has a level for each of the eight objectives of the EU Cloud Sovereignty Framework
 * (v1.2.1, DG DIGIT, October 2025): 0 none, 1 jurisdiction, 2 data, 3 resilience, 4 full. A data
 * class has the lowest level that it allows for each (the gate), and may name the places it may go
 * to. The score weighs levels as the framework does; 100 is level 4 everywhere.
 *
 * Invariants: a stricter class never admits a place that a looser one refuses.
 * Ownership: plain values. Threads: any. Errors: none.
 */
#ifndef TW_PLAN_SOVEREIGNTY_H
#define TW_PLAN_SOVEREIGNTY_H

#include "plan/cost.h"

#define TW_SEAL_OBJECTIVES 8
#define TW_SEAL_MOST       4
struct tw_seal {
    uint8_t level[TW_SEAL_OBJECTIVES];
};
extern const char *const tw_seal_names[TW_SEAL_OBJECTIVES];
extern const double tw_seal_weights[TW_SEAL_OBJECTIVES]; /* sum 100 */

double tw_seal_score(const struct tw_seal *seal);
/* The first objective below its least level, or -1. */
int tw_seal_gate(const struct tw_seal *seal, const struct tw_seal *least);

/* Kinds of options, as bits of holds. */
enum tw_place_kind {
    TW_PLACE_OWNED = 1,
    TW_PLACE_COLOCATED = 2,
    TW_PLACE_RENTED = 4,
    TW_PLACE_API = 8
};

struct tw_place {
    char name[TW_LIMIT_PLAN_NAME_BYTES];
    unsigned holds;                      /* enum tw_place_kind */
    char home[TW_LIMIT_PLAN_NAME_BYTES]; /* of providers that it stands for; "": any */
    struct tw_seal seal;
};

struct tw_data_class {
    char name[TW_LIMIT_PLAN_NAME_BYTES];
    uint64_t may_go; /* a bit for each place; UINT64_MAX: wherever the gate lets it */
    struct tw_seal least;
};

/* The place of an option of one kind, of a provider's home (NULL: none), or -1. */
int tw_place_find(const struct tw_place *places, uint32_t n_places, enum tw_place_kind kind,
                  const char *home);

/* Whether a class may go to a place; otherwise *ret_objective is the objective that stops it, or -1
 * where its list of places does. */
bool tw_data_class_admits(const struct tw_data_class *class, const struct tw_place *places,
                          uint32_t place, int *ret_objective);

/* What a scenario that names no places has: ours, and providers by their homes. */
uint32_t tw_places_by_default(struct tw_place ret_places[TW_LIMIT_PLAN_PLACES]);

#endif
