/* Whether two conjunctions of plain schemas can share a value. Only what is proved counts:
 * different types, constants, number ranges, and objects with a member that tells them apart. */
#include <string.h>

#include "text/schema_parts.h"

enum { MOST_DEPTH = 4, STEPS = 200 }; /* what a proof costs, whatever it looks at */

/* 1 and 1.0 are equal, inside of arrays and objects too: those are not looked into. */
static bool may_be_equal(const json_t *x, const json_t *y)
{
    if (json_is_number(x) && json_is_number(y)) {
        return json_number_value(x) == json_number_value(y);
    }
    bool are_containers = json_is_array(x) || json_is_object(x);
    return json_typeof(x) == json_typeof(y) && (are_containers || json_equal(x, y));
}

static bool share_a_value(struct tw_schema_compiler *c, const struct tw_list *a,
                          const struct tw_list *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const json_t *x = tw_schema_value(c, tw_list_at(a, i));
        const uint64_t weight = tw_schema_weight(x);
        for (uint32_t j = 0; j < b->n && tw_budget_spend(c->budget, weight); j++) {
            if (may_be_equal(x, tw_schema_value(c, tw_list_at(b, j)))) {
                return true;
            }
        }
    }
    return false;
}

/* The types of a conjunction's values; values: those that are listed, if is_finite. */
static int types_left(struct tw_schema_compiler *c, uint32_t conjunction, bool is_finite,
                      const struct tw_list *values)
{
    int types = is_finite ? 0 : tw_schema_types(c, conjunction);
    for (uint32_t i = 0; i < values->n; i++) {
        const json_t *value = tw_schema_value(c, tw_list_at(values, i));
        types |= json_is_number(value) ? TW_TYPE_NUMBER : tw_schema_type_of(value);
    }
    return types;
}

static bool ends_before(const struct tw_number_bound *high, const struct tw_number_bound *low)
{
    if (!high->exists || !low->exists) {
        return false;
    }
    int order = tw_decimal_compare(&high->at, &low->at);
    return order < 0 || (order == 0 && (high->is_open || low->is_open));
}

static bool are_numbers_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b)
{
    struct tw_number_range x = tw_schema_number_range(c, a);
    struct tw_number_range y = tw_schema_number_range(c, b);
    return ends_before(&x.high, &y.low) || ends_before(&y.high, &x.low);
}

static bool requires(struct tw_schema_compiler *c, uint32_t conjunction, const char *name)
{
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        const json_t *required = json_object_get(schema, "required");
        for (size_t j = 0; j < json_array_size(required) && tw_budget_spend(c->budget, 1); j++) {
            if (strcmp(json_string_value(json_array_get(required, j)), name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool are_all_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth)
{
    uint32_t n_a = tw_schema_expand(c, a), n_b = tw_schema_expand(c, b);
    for (uint64_t i = 0; i < (uint64_t)n_a * n_b && tw_schema_goes_on(c); i++) {
        if (!tw_schema_are_disjoint(c, tw_schema_alternative(c, a, (uint32_t)(i / n_b)),
                                    tw_schema_alternative(c, b, (uint32_t)(i % n_b)), depth)) {
            return false;
        }
    }
    return tw_schema_goes_on(c);
}

/* A member that a requires and whose values b does not allow. */
static bool has_telling_member(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth)
{
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, a, i)) != NULL; i++) {
        const json_t *required = json_object_get(schema, "required");
        for (size_t j = 0; j < json_array_size(required) && tw_schema_goes_on(c); j++) {
            const char *name = json_string_value(json_array_get(required, j));
            uint32_t in_b = tw_schema_member(c, b, name);
            bool is_forbidden = tw_schema_expand(c, in_b) == 0 && tw_schema_goes_on(c);
            if (is_forbidden || (requires(c, b, name) &&
                                 are_all_disjoint(c, tw_schema_member(c, a, name), in_b, depth))) {
                return true;
            }
        }
    }
    return false;
}

bool tw_schema_are_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth)
{
    if (depth > MOST_DEPTH || !tw_schema_goes_on(c) || !tw_budget_spend(c->budget, STEPS)) {
        return false;
    }
    struct tw_list in_a = {0}, in_b = {0};
    bool a_is_finite = tw_schema_enum(c, a, &in_a), b_is_finite = tw_schema_enum(c, b, &in_b);
    int types = types_left(c, a, a_is_finite, &in_a) & types_left(c, b, b_is_finite, &in_b);
    bool disjoint = types == 0 || (a_is_finite && b_is_finite && !share_a_value(c, &in_a, &in_b));
    tw_list_free(&in_a, c->budget);
    tw_list_free(&in_b, c->budget);
    if (disjoint || (types & ~(TW_TYPE_NUMBER | TW_TYPE_OBJECT)) != 0) {
        return disjoint && tw_schema_goes_on(c);
    }
    if ((types & TW_TYPE_NUMBER) != 0 && !are_numbers_disjoint(c, a, b)) {
        return false;
    }
    return tw_schema_goes_on(c) &&
           ((types & TW_TYPE_OBJECT) == 0 || has_telling_member(c, a, b, depth + 1) ||
            has_telling_member(c, b, a, depth + 1));
}
