/* Conjunctions of schemas, and the alternatives they come to. */
#include <assert.h>
#include <stdint.h>

#include "text/schema_parts.h"

/* Bounds on the C stack: anyOf inside of anyOf; proofs for oneOf that need proofs for another. */
enum { MOST_CHOICES_AT_ONCE = 200, MOST_PROOFS_AT_ONCE = 12 };

/* ---- numbers ---- */

static uint32_t *slot_of(struct tw_schema_compiler *c, const json_t *value)
{
    uint32_t *slots = c->slots.items;
    uintptr_t address = (uintptr_t)value;
    uint32_t slot = (uint32_t)tw_bytes_mix(address, address) & (c->slots.n - 1);
    while (slots[slot] != 0 && tw_schema_value(c, slots[slot] - 1) != value) {
        slot = (slot + 1) & (c->slots.n - 1);
    }
    return &slots[slot];
}

static bool rehash(struct tw_schema_compiler *c)
{
    uint32_t n_slots = c->slots.n == 0 ? 64 : 2 * c->slots.n;
    tw_list_free(&c->slots, c->budget, sizeof(uint32_t));
    if (tw_list_add(&c->slots, c->budget, n_slots, sizeof(uint32_t)) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < c->values.n; i++) {
        *slot_of(c, tw_schema_value(c, i)) = i + 1;
    }
    return true;
}

const json_t *tw_schema_value(const struct tw_schema_compiler *c, uint32_t number)
{
    assert(number < c->values.n);
    return ((const json_t *const *)c->values.items)[number];
}

uint32_t tw_schema_number(struct tw_schema_compiler *c, const json_t *value)
{
    if ((2 * (c->values.n + 1) > c->slots.n && !rehash(c)) || !tw_budget_spend(c->budget, 2)) {
        return 0;
    }
    uint32_t *slot = slot_of(c, value);
    if (*slot == 0) {
        const json_t **place = tw_list_add(&c->values, c->budget, 1, sizeof *place);
        if (place == NULL) {
            return 0;
        }
        *place = value;
        *slot = c->values.n;
    }
    return *slot - 1;
}

uint32_t tw_schema_conjunction(struct tw_schema_compiler *c, uint32_t *numbers, uint32_t n)
{
    return tw_set_index_intern(&c->sets, c->budget, numbers, tw_set_sort(numbers, n));
}

const json_t *tw_schema_at(const struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i)
{
    if (conjunction >= tw_set_index_size(&c->sets)) {
        return NULL;
    }
    uint32_t n;
    const uint32_t *numbers = tw_set_index_get(&c->sets, conjunction, &n);
    return i < n ? tw_schema_value(c, numbers[i]) : NULL;
}

/* ---- alternatives ---- */

/* Lists that share their ends, so that branches need no copies. Each is a cell plus one, or 0. */
struct stage {
    uint32_t pending; /* items */
    uint32_t flat;    /* schemas */
    uint32_t choices; /* items whose anyOf, then oneOf is still open; value: 2 * item + is_one_of */
};

static uint32_t cons(struct tw_schema_compiler *c, uint32_t value, uint32_t next)
{
    struct tw_schema_cell *cell = tw_list_add(&c->cells, c->budget, 1, sizeof *cell);
    if (cell == NULL || !tw_budget_spend(c->budget, 1)) {
        return 0;
    }
    *cell = (struct tw_schema_cell){value, next};
    return c->cells.n;
}

static struct tw_schema_cell cell_at(const struct tw_schema_compiler *c, uint32_t cell)
{
    return ((const struct tw_schema_cell *)c->cells.items)[cell - 1];
}

static struct tw_schema_item item_at(const struct tw_schema_compiler *c, uint32_t item)
{
    return ((const struct tw_schema_item *)c->items.items)[item];
}

static void add_item(struct tw_schema_compiler *c, struct stage *stage, const json_t *schema,
                     uint32_t parent)
{
    uint32_t number = tw_schema_number(c, schema);
    struct tw_schema_item *item = tw_list_add(&c->items, c->budget, 1, sizeof *item);
    if (item != NULL) {
        *item = (struct tw_schema_item){number, parent};
        stage->pending = cons(c, c->items.n - 1, stage->pending);
    }
}

static bool list_has(struct tw_schema_compiler *c, uint32_t list, uint32_t value)
{
    for (; list != 0 && tw_budget_spend(c->budget, 1); list = cell_at(c, list).next) {
        if (cell_at(c, list).value == value) {
            return true;
        }
    }
    return false;
}

/* A schema that comes in through itself allows nothing new: its least meaning is meant. */
static bool comes_through_itself(struct tw_schema_compiler *c, uint32_t item)
{
    uint32_t schema = item_at(c, item).schema;
    uint32_t parent = item_at(c, item).parent;
    while (parent != 0 && tw_budget_spend(c->budget, 1)) {
        if (item_at(c, parent - 1).schema == schema) {
            return true;
        }
        parent = item_at(c, parent - 1).parent;
    }
    return false;
}

static void open_schema(struct tw_schema_compiler *c, struct stage *stage, uint32_t item,
                        const json_t *schema)
{
    tw_schema_check(c, schema);
    if (!tw_schema_goes_on(c)) {
        return;
    }
    const json_t *all = json_object_get(schema, "allOf");
    for (size_t i = 0; i < json_array_size(all); i++) {
        add_item(c, stage, json_array_get(all, i), item + 1);
    }
    if (json_object_get(schema, "$ref") != NULL) {
        const json_t *target = tw_schema_resolve(c, schema);
        if (target != NULL) {
            add_item(c, stage, target, item + 1);
        }
    }
    if (json_object_get(schema, "anyOf") != NULL) {
        stage->choices = cons(c, 2 * item, stage->choices);
    }
    if (json_object_get(schema, "oneOf") != NULL) {
        stage->choices = cons(c, 2 * item + 1, stage->choices);
    }
}

/* Empties stage->pending. False where nothing can be allowed. */
static bool open_pending(struct tw_schema_compiler *c, struct stage *stage)
{
    while (stage->pending != 0 && tw_schema_goes_on(c)) {
        uint32_t item = cell_at(c, stage->pending).value;
        stage->pending = cell_at(c, stage->pending).next;
        uint32_t number = item_at(c, item).schema;
        const json_t *schema = tw_schema_value(c, number);
        if (json_is_false(schema) || comes_through_itself(c, item)) {
            return false;
        }
        if (!json_is_true(schema) && !list_has(c, stage->flat, number)) {
            stage->flat = cons(c, number, stage->flat);
            open_schema(c, stage, item, schema);
        }
    }
    return tw_schema_goes_on(c);
}

static void add_alternative(struct tw_schema_compiler *c, uint32_t flat, struct tw_list *found)
{
    struct tw_list numbers = {0};
    for (; flat != 0; flat = cell_at(c, flat).next) {
        uint32_t *place = tw_list_add(&numbers, c->budget, 1, sizeof *place);
        if (place == NULL) {
            break;
        }
        *place = cell_at(c, flat).value;
    }
    uint32_t *place = tw_list_add(found, c->budget, 1, sizeof *place);
    if (place != NULL) {
        *place = tw_schema_conjunction(c, numbers.items, numbers.n);
    }
    tw_list_free(&numbers, c->budget, sizeof(uint32_t));
}

static void expand_stage(struct tw_schema_compiler *c, struct stage stage, int depth,
                         struct tw_list *found);

static void expand_branch(struct tw_schema_compiler *c, struct stage stage, const json_t *branch,
                          uint32_t item, int depth, struct tw_list *found)
{
    add_item(c, &stage, branch, item + 1);
    expand_stage(c, stage, depth + 1, found);
}

static bool lists_are_disjoint(struct tw_schema_compiler *c, const struct tw_list *a,
                               const struct tw_list *b)
{
    bool disjoint = true;
    for (uint32_t i = 0; i < a->n && disjoint; i++) {
        for (uint32_t j = 0; j < b->n && disjoint && tw_schema_goes_on(c); j++) {
            disjoint = tw_schema_are_disjoint(c, ((const uint32_t *)a->items)[i],
                                              ((const uint32_t *)b->items)[j], 0);
        }
    }
    return disjoint;
}

/* oneOf is anyOf where no value can be in two branches; the schemas around it may help. */
static void check_one_of(struct tw_schema_compiler *c, struct stage stage, uint32_t item, int depth)
{
    const json_t *schema = tw_schema_value(c, item_at(c, item).schema);
    const json_t *branches = json_object_get(schema, "oneOf");
    size_t n = json_array_size(branches);
    stage.choices = 0;
    for (size_t i = 0; i + 1 < n && tw_schema_goes_on(c); i++) {
        struct tw_list first = {0};
        expand_branch(c, stage, json_array_get(branches, i), item, depth, &first);
        for (size_t j = i + 1; j < n && tw_schema_goes_on(c); j++) {
            struct tw_list second = {0};
            expand_branch(c, stage, json_array_get(branches, j), item, depth, &second);
            if (tw_schema_goes_on(c) && !lists_are_disjoint(c, &first, &second)) {
                tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "oneOf",
                               "branches %zu and %zu may both hold; give them a property with "
                               "different constants, or write anyOf",
                               i, j);
            }
            tw_list_free(&second, c->budget, sizeof(uint32_t));
        }
        tw_list_free(&first, c->budget, sizeof(uint32_t));
    }
}

static void expand_stage(struct tw_schema_compiler *c, struct stage stage, int depth,
                         struct tw_list *found)
{
    if (!open_pending(c, &stage)) {
        return;
    }
    if (stage.choices == 0) {
        add_alternative(c, stage.flat, found);
        return;
    }
    uint32_t item = cell_at(c, stage.choices).value / 2;
    bool is_one_of = cell_at(c, stage.choices).value % 2 != 0;
    stage.choices = cell_at(c, stage.choices).next;
    const json_t *schema = tw_schema_value(c, item_at(c, item).schema);
    const json_t *branches = json_object_get(schema, is_one_of ? "oneOf" : "anyOf");
    if (depth == MOST_CHOICES_AT_ONCE) {
        tw_schema_fail(c, TW_ERR_LIMIT, schema, NULL, "more than %d choices depend on each other",
                       MOST_CHOICES_AT_ONCE);
    }
    if (is_one_of && tw_schema_goes_on(c)) {
        check_one_of(c, stage, item, depth);
    }
    for (size_t i = 0; i < json_array_size(branches) && tw_schema_goes_on(c); i++) {
        expand_branch(c, stage, json_array_get(branches, i), item, depth, found);
    }
}

static void expand_new(struct tw_schema_compiler *c, uint32_t conjunction, struct tw_list *found)
{
    struct stage stage = {0};
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        add_item(c, &stage, schema, 0);
    }
    if (c->n_expanding == MOST_PROOFS_AT_ONCE) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, tw_schema_at(c, conjunction, 0), NULL,
                       "oneOf depends on itself; write anyOf");
        return;
    }
    c->n_expanding++;
    expand_stage(c, stage, 0, found);
    c->n_expanding--;
    found->n = found->n > 0 ? tw_set_sort(found->items, found->n) : 0;
}

static struct tw_schema_span *span_of(struct tw_schema_compiler *c, uint32_t conjunction)
{
    if (c->spans.n <= conjunction && tw_list_add(&c->spans, c->budget, conjunction + 1 - c->spans.n,
                                                 sizeof(struct tw_schema_span)) == NULL) {
        return NULL;
    }
    return (struct tw_schema_span *)c->spans.items + conjunction;
}

const uint32_t *tw_schema_expand(struct tw_schema_compiler *c, uint32_t conjunction,
                                 uint32_t *ret_n)
{
    struct tw_schema_span *span;
    struct tw_list found = {0};
    *ret_n = 0;
    if (!tw_schema_goes_on(c) || conjunction == TW_SET_NONE ||
        (span = span_of(c, conjunction)) == NULL) {
        return NULL;
    }
    if (!span->is_known) {
        expand_new(c, conjunction, &found);
        uint32_t *place = tw_list_add(&c->alternatives, c->budget, found.n, sizeof *place);
        span = span_of(c, conjunction);
        if (place != NULL && span != NULL) {
            for (uint32_t i = 0; i < found.n; i++) {
                place[i] = ((const uint32_t *)found.items)[i];
            }
            *span = (struct tw_schema_span){c->alternatives.n - found.n, found.n, 1};
        }
        tw_list_free(&found, c->budget, sizeof(uint32_t));
    }
    if (!tw_schema_goes_on(c)) {
        return NULL;
    }
    *ret_n = span->n;
    return (const uint32_t *)c->alternatives.items + span->first;
}
