/* Conjunctions of schemas, and the alternatives they come to. */
#include <stdint.h>

#include "text/schema_parts.h"

/* Bounds on the C stack: schemas in one another; proofs for oneOf that need proofs for another. */
enum { MOST_ON_PATH = 200, MOST_PROOFS_AT_ONCE = 12 };

struct span {
    uint32_t first, n, is_known;
};

/* ---- numbers ---- */

uint32_t tw_schema_number(struct tw_schema_compiler *c, const json_t *value)
{
    const uint64_t address = (uintptr_t)value;
    const uint32_t halves[] = {(uint32_t)(address >> 32), (uint32_t)address};
    return tw_tuples_intern(&c->values, c->budget, halves, 2);
}

const json_t *tw_schema_value(const struct tw_schema_compiler *c, uint32_t number)
{
    uint32_t n;
    const uint32_t *halves = tw_tuples_get(&c->values, number, &n);
    return (const json_t *)(uintptr_t)((uint64_t)halves[0] << 32 | halves[1]);
}

void tw_schema_push(struct tw_schema_compiler *c, const json_t *schema)
{
    if (schema != NULL) {
        tw_list_push(&c->stack, c->budget, tw_schema_number(c, schema));
    }
}

static uint32_t conjunction_of(struct tw_schema_compiler *c, uint32_t *numbers, uint32_t n)
{
    return tw_tuples_intern(&c->sets, c->budget, numbers, tw_subset_sort(numbers, n));
}

uint32_t tw_schema_pop(struct tw_schema_compiler *c, uint32_t base)
{
    uint32_t n = c->stack.n - base;
    c->stack.n = base;
    return conjunction_of(c, n > 0 ? (uint32_t *)c->stack.items + base : NULL, n);
}

const json_t *tw_schema_at(const struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i)
{
    if (conjunction >= tw_tuples_size(&c->sets)) {
        return NULL;
    }
    uint32_t n;
    const uint32_t *numbers = tw_tuples_get(&c->sets, conjunction, &n);
    return i < n ? tw_schema_value(c, numbers[i]) : NULL;
}

/* ---- alternatives ---- */

/* A schema being expanded, and those that brought it in. */
struct path {
    const json_t *schema;
    const struct path *before;
    int n;
};

/* A schema that comes in through itself allows nothing new: its least meaning is meant. */
static bool comes_through_itself(struct tw_schema_compiler *c, const struct path *path)
{
    for (const struct path *p = path->before; p != NULL && tw_budget_spend(c->budget, 1);
         p = p->before) {
        if (p->schema == path->schema) {
            return true;
        }
    }
    return false;
}

static uint32_t union_of(struct tw_schema_compiler *c, uint32_t a, uint32_t b)
{
    uint32_t base = c->stack.n;
    for (int i = 0; i < 2 && c->budget->status == TW_OK; i++) {
        uint32_t n;
        const uint32_t *numbers = tw_tuples_get(&c->sets, i == 0 ? a : b, &n);
        for (uint32_t j = 0; j < n; j++) {
            tw_list_push(&c->stack, c->budget, numbers[j]);
        }
    }
    return tw_schema_pop(c, base);
}

/* Each of a together with each of b, added to the product. */
static void add_product(struct tw_schema_compiler *c, const struct tw_list *a,
                        const struct tw_list *b, struct tw_list *product)
{
    for (uint32_t i = 0; i < a->n; i++) {
        for (uint32_t j = 0; j < b->n && tw_schema_goes_on(c); j++) {
            uint32_t both = union_of(c, tw_list_at(a, i), tw_list_at(b, j));
            tw_list_push(product, c->budget, both);
        }
    }
}

static void replace(struct tw_schema_compiler *c, struct tw_list *list, struct tw_list *by)
{
    tw_list_free(list, c->budget);
    *list = *by;
    list->n = tw_subset_sort(list->items, list->n);
}

static void expand_schema(struct tw_schema_compiler *c, const json_t *schema,
                          const struct path *before, struct tw_list *found);

/* Leaves of `mine` what another schema allows too. */
static void narrow(struct tw_schema_compiler *c, const json_t *schema, const struct path *path,
                   struct tw_list *mine)
{
    struct tw_list more = {0}, product = {0};
    expand_schema(c, schema, path, &more);
    add_product(c, mine, &more, &product);
    tw_list_free(&more, c->budget);
    replace(c, mine, &product);
}

/* That no value is allowed by an alternative of branch i and by one of an earlier branch: owners
 * says whose the alternatives are. */
static void prove_apart(struct tw_schema_compiler *c, const json_t *schema,
                        const struct tw_list *alternatives, const struct tw_list *owners,
                        uint32_t i)
{
    for (uint32_t x = owners->n; x < alternatives->n; x++) {
        for (uint32_t y = 0; y < owners->n && tw_schema_goes_on(c); y++) {
            if (!tw_schema_are_disjoint(c, tw_list_at(alternatives, y), tw_list_at(alternatives, x),
                                        0)) {
                tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "oneOf",
                               "branches %u and %u may both hold; give them a property with "
                               "different constants, or write anyOf",
                               tw_list_at(owners, y), i);
            }
        }
    }
}

/* anyOf; and oneOf, which is the same where no value can be in two branches. */
static void narrow_by_branches(struct tw_schema_compiler *c, const char *keyword, bool is_one_of,
                               const struct path *path, struct tw_list *mine)
{
    const json_t *branches = json_object_get(path->schema, keyword);
    struct tw_list product = {0}, owners = {0};
    for (uint32_t i = 0; i < json_array_size(branches) && tw_schema_goes_on(c); i++) {
        struct tw_list branch = {0};
        expand_schema(c, json_array_get(branches, i), path, &branch);
        add_product(c, mine, &branch, &product);
        tw_list_free(&branch, c->budget);
        if (is_one_of) {
            prove_apart(c, path->schema, &product, &owners, i);
        }
        while (owners.n < product.n && tw_schema_goes_on(c)) {
            tw_list_push(&owners, c->budget, i);
        }
    }
    tw_list_free(&owners, c->budget);
    replace(c, mine, &product);
}

/* Appends the alternatives of a schema. */
static void expand_schema(struct tw_schema_compiler *c, const json_t *schema,
                          const struct path *before, struct tw_list *found)
{
    const struct path path = {schema, before, before != NULL ? before->n + 1 : 1};
    struct tw_list mine = {0};
    if (json_is_false(schema) || comes_through_itself(c, &path) || !tw_schema_goes_on(c)) {
        return;
    }
    if (path.n > MOST_ON_PATH) {
        tw_schema_fail(c, TW_ERR_LIMIT, schema, NULL, "more than %d schemas refer to each other",
                       MOST_ON_PATH);
        return;
    }
    tw_schema_check(c, schema);
    uint32_t base = c->stack.n;
    tw_schema_push(c, json_is_true(schema) ? NULL : schema);
    tw_list_push(&mine, c->budget, tw_schema_pop(c, base));
    const json_t *all = json_object_get(schema, "allOf");
    for (size_t i = 0; i < json_array_size(all) && tw_schema_goes_on(c); i++) {
        narrow(c, json_array_get(all, i), &path, &mine);
    }
    if (json_object_get(schema, "$ref") != NULL && tw_schema_goes_on(c)) {
        const json_t *target = tw_schema_resolve(c, schema);
        if (target != NULL) {
            narrow(c, target, &path, &mine);
        }
    }
    static const char *const keywords[] = {"anyOf", "oneOf"};
    for (int i = 0; i < 2 && tw_schema_goes_on(c); i++) {
        if (json_object_get(schema, keywords[i]) != NULL) {
            narrow_by_branches(c, keywords[i], i == 1, &path, &mine);
        }
    }
    for (uint32_t i = 0; i < mine.n && tw_schema_goes_on(c); i++) {
        tw_list_push(found, c->budget, tw_list_at(&mine, i));
    }
    tw_list_free(&mine, c->budget);
}

static void expand_new(struct tw_schema_compiler *c, uint32_t conjunction, struct tw_list *found)
{
    const json_t *schema;
    uint32_t base = c->stack.n;
    if (c->n_expanding == MOST_PROOFS_AT_ONCE) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, tw_schema_at(c, conjunction, 0), NULL,
                       "oneOf depends on itself; write anyOf");
        return;
    }
    c->n_expanding++;
    tw_list_push(found, c->budget, tw_schema_pop(c, base));
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        narrow(c, schema, NULL, found);
    }
    c->n_expanding--;
}

static struct span *span_of(struct tw_schema_compiler *c, uint32_t conjunction)
{
    if (c->spans.n <= conjunction) {
        tw_list_add(&c->spans, c->budget, conjunction + 1 - c->spans.n, sizeof(struct span));
    }
    return c->spans.n > conjunction ? (struct span *)c->spans.items + conjunction : NULL;
}

uint32_t tw_schema_expand(struct tw_schema_compiler *c, uint32_t conjunction)
{
    struct tw_list found = {0};
    if (!tw_schema_goes_on(c) || conjunction == TW_TUPLE_NONE) {
        return 0;
    }
    struct span *span = span_of(c, conjunction);
    if (span != NULL && !span->is_known) {
        expand_new(c, conjunction, &found);
        struct span known = {c->alternatives.n, found.n, 1};
        for (uint32_t i = 0; i < found.n; i++) {
            tw_list_push(&c->alternatives, c->budget, tw_list_at(&found, i));
        }
        tw_list_free(&found, c->budget);
        span = span_of(c, conjunction);
        if (span != NULL && tw_schema_goes_on(c)) {
            *span = known;
        }
    }
    return tw_schema_goes_on(c) && span != NULL ? span->n : 0;
}

uint32_t tw_schema_alternative(const struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i)
{
    const struct span *span = (const struct span *)c->spans.items + conjunction;
    return tw_list_at(&c->alternatives, span->first + i);
}
