#include "plan/sovereignty.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const tw_seal_names[TW_SEAL_OBJECTIVES] = {
    "strategic",    "legal",      "data and AI", "operational",
    "supply chain", "technology", "security",    "environment",
};
const double tw_seal_weights[TW_SEAL_OBJECTIVES] = {15, 10, 10, 15, 20, 15, 10, 5};

double tw_seal_score(const struct tw_seal *seal)
{
    double score = 0;
    for (int i = 0; i < TW_SEAL_OBJECTIVES; i++) {
        score += tw_seal_weights[i] * seal->level[i] / TW_SEAL_MOST;
    }
    return score;
}

int tw_seal_gate(const struct tw_seal *seal, const struct tw_seal *least)
{
    for (int i = 0; i < TW_SEAL_OBJECTIVES; i++) {
        if (seal->level[i] < least->level[i]) {
            return i;
        }
    }
    return -1;
}

int tw_place_find(const struct tw_place *places, uint32_t n_places, enum tw_place_kind kind,
                  const char *home)
{
    for (uint32_t i = 0; i < n_places; i++) {
        const bool is_home =
            places[i].home[0] == '\0' || (home != NULL && strcasecmp(places[i].home, home) == 0);
        if ((places[i].holds & kind) != 0 && is_home) {
            return (int)i;
        }
    }
    return -1;
}

bool tw_data_class_admits(const struct tw_data_class *class, const struct tw_place *places,
                          uint32_t place, int *ret_objective)
{
    *ret_objective = tw_seal_gate(&places[place].seal, &class->least);
    if ((class->may_go >> place & 1) == 0) {
        *ret_objective = -1;
        return false;
    }
    return *ret_objective < 0;
}

/* Levels that these kinds of places usually reach. Cards and their software come from few countries
 * whoever runs them, so supply chain and technology are low everywhere. */
uint32_t tw_places_by_default(struct tw_place ret_places[TW_LIMIT_PLAN_PLACES])
{
    static const struct tw_place defaults[] = {
        {"house", TW_PLACE_OWNED, "", {{4, 4, 4, 4, 2, 2, 4, 3}}},
        {"colocation", TW_PLACE_COLOCATED, "", {{4, 4, 4, 3, 2, 2, 3, 3}}},
        {"cloud-eu", TW_PLACE_RENTED, "eu", {{3, 3, 3, 3, 2, 2, 3, 3}}},
        {"cloud-elsewhere", TW_PLACE_RENTED, "", {{1, 1, 2, 1, 1, 1, 3, 2}}},
        {"api-eu", TW_PLACE_API, "eu", {{3, 3, 2, 2, 2, 2, 3, 2}}},
        {"api-elsewhere", TW_PLACE_API, "", {{0, 0, 1, 0, 1, 1, 2, 1}}},
    };
    const uint32_t n = sizeof defaults / sizeof defaults[0];
    memcpy(ret_places, defaults, sizeof defaults);
    return n;
}
