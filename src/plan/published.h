/* published.h: tables that others have published, computed again with cost.h.
 *
 * Two sources: G. Pan, H. Wang, "A Cost-Benefit Analysis of On-Premise Large Language Model
 * Deployment", arXiv 2509.18101 v3 (45 break-even times), and Lenovo Press LP2368, "On-Premise vs
 * Cloud: Generative AI Total Cost of Ownership", 2026 edition.
 *
 * The first does not follow from what it states. It follows, to 0.06 month, from other numbers: 176
 * hours a month where it says 160, 300 W and 500 W a card where it says 400 W and 575 W, and 7.75
 * dollars for one of the APIs where its own prices give 7.083. So each cell can be had in several
 * readings, from what was printed to what a plant really costs.
 *
 * Ownership: constants. Threads: any. Errors: none.
 */
#ifndef TW_PLAN_PUBLISHED_H
#define TW_PLAN_PUBLISHED_H

#include "plan/cost.h"

#define TW_PUBLISHED_MODELS 9
#define TW_PUBLISHED_APIS   5

enum tw_published_reading {
    TW_PUBLISHED_HIDDEN = 0, /* the numbers from which the printed table follows */
    TW_PUBLISHED_STATED,     /* the numbers that the text states */
    TW_PUBLISHED_HOST,       /* and servers around the cards, their watts, cooling, maintenance */
    TW_PUBLISHED_STAFF,      /* and a tenth of a person */
    TW_PUBLISHED_USED,       /* and cards that are busy for 30% of those hours */
    TW_PUBLISHED_READINGS
};
extern const char *const tw_published_reading_names[TW_PUBLISHED_READINGS];

extern const char *const tw_published_models[TW_PUBLISHED_MODELS];
extern const char *const tw_published_apis[TW_PUBLISHED_APIS];

/* As printed, in months. */
double tw_published_months(uint32_t model, uint32_t api);
/* Computed; false: not within ten years. */
bool tw_published_recompute(uint32_t model, uint32_t api, enum tw_published_reading reading,
                            double *ret_months);

/* Figures of LP2368: what it prints, what its own inputs give, and why where they differ by more
 * than 0.2%. */
struct tw_published_figure {
    const char *what, *unit;
    double published, digit; /* digit: half of its last printed digit */
    double recomputed;
    const char *why; /* "" where it recomputes */
};
uint32_t tw_published_n_figures(void);
struct tw_published_figure tw_published_figure_at(uint32_t i);

#endif
