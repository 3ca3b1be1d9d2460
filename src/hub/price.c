#include "hub/price.h"

#include <string.h>

#include "base/mem.h"

enum { FIRST_ROOM = 16 };

static const char *const CLASS_NAMES[TW_PRICE_CLASS_COUNT] = {
    [TW_PRICE_STANDARD] = "standard",
    [TW_PRICE_BATCH] = "batch",
};

static const struct tw_price free_price = {.version = TW_PRICE_FREE, .model = TW_PRICE_ALL_MODELS};

const char *tw_price_class_name(enum tw_price_class price_class)
{
    return CLASS_NAMES[price_class];
}

bool tw_price_class_parse(const char *name, enum tw_price_class *ret_class)
{
    for (int i = 0; i < TW_PRICE_CLASS_COUNT; i++) {
        if (strcmp(name, CLASS_NAMES[i]) == 0) {
            *ret_class = (enum tw_price_class)i;
            return true;
        }
    }
    return false;
}

void tw_price_table_init(struct tw_price_table *table)
{
    *table = (struct tw_price_table){0};
}

void tw_price_table_free(struct tw_price_table *table)
{
    for (size_t i = 0; i < table->n; i++) {
        tw_mem_free(table->by_version[i]);
    }
    tw_mem_free(table->by_version);
    tw_mem_free(table->by_rule);
    *table = (struct tw_price_table){0};
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* For whom and what, regardless of when. */
static int compare_scope(const struct tw_price *a, const struct tw_price *b)
{
    int order = compare_numbers(a->project, b->project);
    if (order == 0) {
        order = strcmp(a->model, b->model);
    }
    return order != 0 ? order : compare_numbers(a->price_class, b->price_class);
}

static int compare_rule(const struct tw_price *a, const struct tw_price *b)
{
    int order = compare_scope(a, b);
    if (order == 0) {
        order = compare_numbers(a->valid_from_ns, b->valid_from_ns);
    }
    return order != 0 ? order : compare_numbers(a->version, b->version);
}

static int compare_version(const struct tw_price *a, const struct tw_price *b)
{
    return compare_numbers(a->version, b->version);
}

typedef int (*compare_fn)(const struct tw_price *a, const struct tw_price *b);

/* The number of prices that are not behind one. */
static size_t n_up_to(struct tw_price *const *prices, size_t n, compare_fn compare,
                      const struct tw_price *price)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare(prices[middle], price) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert(struct tw_price **prices, size_t n, compare_fn compare, struct tw_price *price)
{
    const size_t at = n_up_to(prices, n, compare, price);
    memmove(prices + at + 1, prices + at, (n - at) * sizeof *prices);
    prices[at] = price;
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for prices");
}

static enum tw_status make_room(struct tw_price_table *table, struct tw_error *error)
{
    if (table->n == TW_LIMIT_HUB_PRICES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "there are %d versions of prices, and no more are kept",
                            TW_LIMIT_HUB_PRICES);
    }
    if (table->n < table->room) {
        return TW_OK;
    }
    const size_t room = table->room > 0 ? table->room * 2 : FIRST_ROOM;
    struct tw_price **by_rule = tw_mem_realloc(table->by_rule, room, sizeof *by_rule);
    if (by_rule == NULL) {
        return no_memory(error);
    }
    table->by_rule = by_rule;
    struct tw_price **by_version = tw_mem_realloc(table->by_version, room, sizeof *by_version);
    if (by_version == NULL) {
        return no_memory(error);
    }
    table->by_version = by_version;
    table->room = room;
    return TW_OK;
}

static enum tw_status check(const struct tw_price_table *table, const struct tw_price *price,
                            struct tw_error *error)
{
    const long long version = (long long)price->version;
    if (price->version < 1 || tw_price_of_version(table, price->version) != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "version %lld of a price is taken or not positive", version);
    }
    if (price->prices.input_nano < 0 || price->prices.cached_nano < 0 ||
        price->prices.output_nano < 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "version %lld of a price is negative", version);
    }
    if (price->project < 0 || price->model[0] == '\0') {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "version %lld of a price is for no model or no project", version);
    }
    if (strlen(price->model) > TW_LIMIT_SERVED_NAME_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "version %lld of a price: a model's name has at most %d bytes", version,
                            TW_LIMIT_SERVED_NAME_BYTES);
    }
    return TW_OK;
}

/* In one block with the model's name behind it. */
static struct tw_price *copy_of(const struct tw_price *price)
{
    const size_t name_bytes = strlen(price->model) + 1;
    struct tw_price *copy = tw_mem_alloc(1, sizeof *copy + name_bytes);
    if (copy != NULL) {
        char *model = (char *)(copy + 1);
        memcpy(model, price->model, name_bytes);
        *copy = *price;
        copy->model = model;
    }
    return copy;
}

enum tw_status tw_price_table_add(struct tw_price_table *table, const struct tw_price *price,
                                  struct tw_error *error)
{
    enum tw_status status = check(table, price, error);
    if (status == TW_OK) {
        status = make_room(table, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_price *copy = copy_of(price);
    if (copy == NULL) {
        return no_memory(error);
    }
    insert(table->by_rule, table->n, compare_rule, copy);
    insert(table->by_version, table->n, compare_version, copy);
    table->n++;
    return TW_OK;
}

void tw_price_table_forget(struct tw_price_table *table, int64_t first_version)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < table->n; i++) {
        if (table->by_rule[i]->version < first_version) {
            table->by_rule[n_kept++] = table->by_rule[i];
        }
    }
    while (table->n > n_kept) { /* the latest are the last */
        tw_mem_free(table->by_version[--table->n]);
    }
}

/* NULL where nothing is valid yet. */
static const struct tw_price *find_scope(const struct tw_price_table *table, int64_t project,
                                         const char *model, enum tw_price_class price_class,
                                         int64_t now_ns)
{
    const struct tw_price latest = {.version = INT64_MAX,
                                    .project = project,
                                    .model = model,
                                    .price_class = price_class,
                                    .valid_from_ns = now_ns};
    const size_t n = n_up_to(table->by_rule, table->n, compare_rule, &latest);
    return n > 0 && compare_scope(table->by_rule[n - 1], &latest) == 0 ? table->by_rule[n - 1]
                                                                       : NULL;
}

/* NULL where no scope has one of the class. */
static const struct tw_price *find_class(const struct tw_price_table *table, int64_t project,
                                         const char *model, enum tw_price_class price_class,
                                         int64_t now_ns)
{
    const struct {
        int64_t project;
        const char *model;
    } scopes[] = {
        {project, model},
        {project, TW_PRICE_ALL_MODELS},
        {TW_PRICE_ALL_PROJECTS, model},
        {TW_PRICE_ALL_PROJECTS, TW_PRICE_ALL_MODELS},
    };
    const struct tw_price *price = NULL;
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes && price == NULL; i++) {
        price = find_scope(table, scopes[i].project, scopes[i].model, price_class, now_ns);
    }
    return price;
}

const struct tw_price *tw_price_find(const struct tw_price_table *table, int64_t project,
                                     const char *model, enum tw_price_class price_class,
                                     int64_t now_ns)
{
    const struct tw_price *price = find_class(table, project, model, price_class, now_ns);
    if (price == NULL && price_class != TW_PRICE_STANDARD) {
        price = find_class(table, project, model, TW_PRICE_STANDARD, now_ns);
    }
    return price != NULL ? price : &free_price;
}

const struct tw_price *tw_price_of_version(const struct tw_price_table *table, int64_t version)
{
    if (version == TW_PRICE_FREE) {
        return &free_price;
    }
    const struct tw_price wanted = {.version = version};
    const size_t n = n_up_to(table->by_version, table->n, compare_version, &wanted);
    return n > 0 && table->by_version[n - 1]->version == version ? table->by_version[n - 1] : NULL;
}
