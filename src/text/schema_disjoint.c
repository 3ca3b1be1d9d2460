/* Whether two conjunctions of plain schemas can share a value. Only what is proved counts:
 * different types, constants, number ranges, and objects with a member that tells them apart. */
#include <string.h>

#include "text/schema_parts.h"

enum { MOST_DEPTH = 4 };

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
        const json_t *x = tw_schema_value(c, ((const uint32_t *)a->items)[i]);
        const uint64_t weight = tw_schema_weight(x);
        for (uint32_t j = 0; j < b->n && tw_budget_spend(c->budget, weight); j++) {
            const json_t *y = tw_schema_value(c, ((const uint32_t *)b->items)[j]);
            if (may_be_equal(x, y)) {
                return true;
            }
        }
    }
    return false;
}

/* The types of the values that are left, where enum or const lists them. */
static int types_left(struct tw_schema_compiler *c, uint32_t conjunction,
                      const struct tw_list *values, bool is_finite)
{
    if (!is_finite) {
        return tw_schema_types(c, conjunction);
    }
    int types = 0;
    for (uint32_t i = 0; i < values->n; i++) {
        const json_t *value = tw_schema_value(c, ((const uint32_t *)values->items)[i]);
        types |= json_is_null(value)      ? TW_TYPE_NULL
                 : json_is_boolean(value) ? TW_TYPE_BOOLEAN
                 : json_is_number(value)  ? TW_TYPE_INTEGER | TW_TYPE_FRACTION
                 : json_is_string(value)  ? TW_TYPE_STRING
                 : json_is_array(value)   ? TW_TYPE_ARRAY
                                          : TW_TYPE_OBJECT;
    }
    return types;
}

static bool ends_before(const struct tw_number_range *a, const struct tw_number_range *b)
{
    if (!a->has_high || !b->has_low) {
        return false;
    }
    int order = tw_decimal_compare(&a->high, &b->low);
    return order < 0 || (order == 0 && (a->is_high_open || b->is_low_open));
}

static bool are_numbers_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b)
{
    int number = TW_TYPE_INTEGER | TW_TYPE_FRACTION;
    struct tw_number_range x = tw_schema_number_range(c, a, number);
    struct tw_number_range y = tw_schema_number_range(c, b, number);
    return ends_before(&x, &y) || ends_before(&y, &x);
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

/* The schemas of a member's value; patterns of names are left aside, which can only lose proofs,
 * except that they open what additionalProperties closes. */
static uint32_t member_values(struct tw_schema_compiler *c, uint32_t conjunction, const char *name)
{
    struct tw_list numbers = {0};
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        const json_t *value = json_object_get(json_object_get(schema, "properties"), name);
        if (value == NULL && json_object_get(schema, "patternProperties") == NULL) {
            value = json_object_get(schema, "additionalProperties");
        }
        uint32_t *place = value != NULL ? tw_list_add(&numbers, c->budget, 1, sizeof *place) : NULL;
        if (place != NULL) {
            *place = tw_schema_number(c, value);
        }
    }
    uint32_t result = tw_schema_conjunction(c, numbers.items, numbers.n);
    tw_list_free(&numbers, c->budget, sizeof(uint32_t));
    return result;
}

static bool are_all_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth)
{
    uint32_t n_a, n_b;
    tw_schema_expand(c, a, &n_a);
    tw_schema_expand(c, b, &n_b);
    for (uint32_t i = 0; i < n_a; i++) {
        for (uint32_t j = 0; j < n_b && tw_schema_goes_on(c); j++) {
            const uint32_t *of_a = tw_schema_expand(c, a, &n_a);
            uint32_t x = of_a != NULL ? of_a[i] : TW_SET_NONE;
            const uint32_t *of_b = tw_schema_expand(c, b, &n_b);
            uint32_t y = of_b != NULL ? of_b[j] : TW_SET_NONE;
            if (!tw_schema_are_disjoint(c, x, y, depth)) {
                return false;
            }
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
            uint32_t n, in_b = member_values(c, b, name);
            tw_schema_expand(c, in_b, &n);
            bool is_forbidden = n == 0 && tw_schema_goes_on(c);
            if (is_forbidden || (requires(c, b, name) &&
                                 are_all_disjoint(c, member_values(c, a, name), in_b, depth + 1))) {
                return true;
            }
        }
    }
    return false;
}

bool tw_schema_are_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth)
{
    if (depth > MOST_DEPTH || !tw_schema_goes_on(c)) {
        return false;
    }
    struct tw_list in_a = {0}, in_b = {0};
    bool a_is_finite = tw_schema_enum(c, a, &in_a), b_is_finite = tw_schema_enum(c, b, &in_b);
    int types = types_left(c, a, &in_a, a_is_finite) & types_left(c, b, &in_b, b_is_finite);
    bool disjoint = a_is_finite && b_is_finite && !share_a_value(c, &in_a, &in_b);
    tw_list_free(&in_a, c->budget, sizeof(uint32_t));
    tw_list_free(&in_b, c->budget, sizeof(uint32_t));
    if (disjoint || types == 0) {
        return tw_schema_goes_on(c);
    }
    int numbers = TW_TYPE_INTEGER | TW_TYPE_FRACTION;
    if ((types & numbers) != 0 && !are_numbers_disjoint(c, a, b)) {
        return false;
    }
    if ((types & TW_TYPE_OBJECT) != 0 && !has_telling_member(c, a, b, depth) &&
        !has_telling_member(c, b, a, depth)) {
        return false;
    }
    return (types & ~(numbers | TW_TYPE_OBJECT)) == 0 && tw_schema_goes_on(c);
}
