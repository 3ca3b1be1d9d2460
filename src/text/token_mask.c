/* Masks, and answers that follow them. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "text/constraint.h"

#define NO_CELL  UINT32_MAX
#define NO_ENTRY UINT32_MAX

enum {
    ROWS = 64,           /* states whose edges are laid out by byte */
    CHEAP_NODES = 2048,  /* a walk of so many nodes is not worth keeping */
    MOST_ENTRIES = 4096, /* masks kept, if the bytes allow; when they are full all are let go */
    LEAST_ENTRIES = 4,
};

/* The edges of a state by byte: the walk asks for them hundreds of thousands of times. */
struct row {
    uint32_t state; /* plus one; 0: free */
    uint32_t targets[256];
};

/* An open call and the one around it. */
struct cell {
    uint32_t call, around;
};

/* Where a walk is, at each depth of the trie. */
struct place {
    uint32_t state;
    uint32_t cell;    /* innermost call opened, NO_CELL: none that is known */
    uint32_t n_cells; /* so many are in use */
    uint32_t depth;   /* of the stack */
};

struct exit_point {
    uint32_t node, outcome;
};

/* What a state does by itself. */
struct entry {
    uint32_t state;
    uint64_t *bits;           /* kept for the next state when this one is let go */
    struct exit_point *exits; /* [n_exits] */
    uint32_t n_exits;
};

struct tw_masker {
    const struct tw_automaton *automaton;
    const struct tw_token_trie *trie;
    size_t n_words;
    struct row *rows;     /* [ROWS] */
    struct place *places; /* [most_bytes + 1] */
    struct cell *cells;   /* [TW_LIMIT_GRAMMAR_DEPTH + most_bytes + 1] */
    uint32_t *entry_of;   /* [states] */
    struct entry *entries;
    uint32_t n_entries, most_entries;
    struct exit_point *exits; /* of the walk being made */
    uint32_t n_exits, exit_capacity;
    uint64_t *scratch; /* [n_words] */
    uint64_t n_visited;
    bool failed;
};

static bool make_room(struct tw_masker *m)
{
    size_t n_bytes = m->trie->most_bytes;
    size_t entry_bytes = m->n_words * sizeof(uint64_t) + sizeof(struct entry);
    size_t n = TW_LIMIT_MASK_CACHE_BYTES / entry_bytes;
    n = n < LEAST_ENTRIES ? LEAST_ENTRIES : n > MOST_ENTRIES ? MOST_ENTRIES : n;
    m->most_entries = (uint32_t)n;
    m->rows = tw_mem_zalloc(ROWS, sizeof *m->rows);
    m->places = tw_mem_alloc(n_bytes + 1, sizeof *m->places);
    m->cells = tw_mem_alloc(TW_LIMIT_GRAMMAR_DEPTH + n_bytes + 1, sizeof *m->cells);
    m->entry_of = tw_mem_alloc(m->automaton->n_states, sizeof *m->entry_of);
    m->entries = tw_mem_zalloc(n, sizeof *m->entries);
    m->scratch = tw_mem_alloc(m->n_words, sizeof *m->scratch);
    return m->rows != NULL && m->places != NULL && m->cells != NULL && m->entry_of != NULL &&
           m->entries != NULL && m->scratch != NULL;
}

enum tw_status tw_masker_create(const struct tw_automaton *automaton,
                                const struct tw_token_trie *trie, struct tw_masker **ret_masker,
                                struct tw_error *error)
{
    struct tw_masker *m = tw_mem_zalloc(1, sizeof *m);
    if (m != NULL) {
        m->automaton = automaton;
        m->trie = trie;
        m->n_words = ((size_t)trie->n_vocab + 63) / 64;
    }
    if (m == NULL || !make_room(m)) {
        tw_masker_free(m);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for masks over %u tokens", trie->n_vocab);
    }
    memset(m->entry_of, 0xff, automaton->n_states * sizeof *m->entry_of);
    *ret_masker = m;
    return TW_OK;
}

void tw_masker_free(struct tw_masker *masker)
{
    if (masker == NULL) {
        return;
    }
    for (uint32_t i = 0; masker->entries != NULL && i < masker->most_entries; i++) {
        tw_mem_free(masker->entries[i].bits);
        tw_mem_free(masker->entries[i].exits);
    }
    tw_mem_free(masker->rows);
    tw_mem_free(masker->places);
    tw_mem_free(masker->cells);
    tw_mem_free(masker->entry_of);
    tw_mem_free(masker->entries);
    tw_mem_free(masker->exits);
    tw_mem_free(masker->scratch);
    tw_mem_free(masker);
}

/* ---- walking the trie ---- */

static const uint32_t *row_of(struct tw_masker *m, uint32_t state)
{
    struct row *row = &m->rows[state % ROWS];
    if (row->state == state + 1) {
        return row->targets;
    }
    row->state = state + 1;
    memset(row->targets, 0xff, sizeof row->targets);
    const struct tw_automaton_state *s = &m->automaton->states[state];
    const struct tw_automaton_edge *edges = m->automaton->edges + s->first_edge;
    for (uint32_t i = 0; i < s->n_edges; i++) {
        for (uint32_t byte = edges[i].low; byte <= edges[i].high; byte++) {
            row->targets[byte] = edges[i].target;
        }
    }
    return row->targets;
}

static void set_tokens(const struct tw_masker *m, const struct tw_trie_node *node, uint64_t *mask)
{
    for (tw_token t = node->token; t != TW_TOKEN_NONE; t = m->trie->same[t]) {
        mask[t / 64] |= UINT64_C(1) << (t % 64);
    }
}

static void add_exit(struct tw_masker *m, uint32_t node, uint32_t outcome)
{
    if (m->n_exits == m->exit_capacity) {
        uint32_t capacity = 2 * m->exit_capacity + 64;
        void *grown = tw_mem_realloc(m->exits, capacity, sizeof *m->exits);
        if (grown == NULL) {
            m->failed = true;
            return;
        }
        m->exits = grown;
        m->exit_capacity = capacity;
    }
    m->exits[m->n_exits++] = (struct exit_point){node, outcome};
}

/* Pops frames while the state is an exit. False where the caller is not known: the outcome is left
 * in *place's state. */
static bool leave_frames(const struct tw_masker *m, struct place *place)
{
    const struct tw_automaton_state *s = &m->automaton->states[place->state];
    while ((s->flags & TW_AUTOMATON_EXIT) != 0) {
        if (place->cell == NO_CELL) {
            place->state = s->extra;
            return false;
        }
        struct cell cell = m->cells[place->cell];
        place->state = tw_automaton_go_on(m->automaton, cell.call, s->extra);
        place->cell = cell.around;
        place->depth--;
        s = &m->automaton->states[place->state];
    }
    return true;
}

/* One byte on from a place; the same decisions as tw_walk_step. */
static bool take_byte(struct tw_masker *m, struct place *place, uint8_t byte)
{
    uint32_t target = row_of(m, place->state)[byte];
    if (target == TW_AUTOMATON_NONE) {
        uint32_t call = tw_automaton_find_call(m->automaton, place->state, byte);
        if (call == TW_AUTOMATON_NONE) {
            return false;
        }
        const struct tw_automaton_call *c = &m->automaton->calls[call];
        if (place->depth + c->need_after > TW_LIMIT_GRAMMAR_DEPTH) {
            return false;
        }
        target = c->entry;
        m->cells[place->n_cells] = (struct cell){call, place->cell};
        place->cell = place->n_cells++;
        place->depth++;
    }
    place->state = target;
    return place->depth + m->automaton->states[target].need <= TW_LIMIT_GRAMMAR_DEPTH;
}

/* Walks nodes begin..end, all below a node at `base` bytes where the automaton is at `from`. */
static void walk_nodes(struct tw_masker *m, uint32_t begin, uint32_t end, uint32_t base,
                       struct place from, uint64_t *mask)
{
    const struct tw_trie_node *nodes = m->trie->nodes;
    m->places[base] = from;
    uint32_t i = begin;
    while (i < end) {
        const struct tw_trie_node *node = &nodes[i];
        struct place place = m->places[node->depth - 1];
        m->n_visited++;
        if (!take_byte(m, &place, node->byte)) {
            i = node->end;
            continue;
        }
        if (!leave_frames(m, &place)) {
            add_exit(m, i, place.state);
            i = node->end;
            continue;
        }
        set_tokens(m, node, mask);
        m->places[node->depth] = place;
        i++;
    }
}

/* ---- what is kept ---- */

static void let_go(struct tw_masker *m)
{
    for (uint32_t i = 0; i < m->n_entries; i++) {
        m->entry_of[m->entries[i].state] = NO_ENTRY;
        tw_mem_free(m->entries[i].exits);
        m->entries[i].exits = NULL;
    }
    m->n_entries = 0;
}

static void keep(struct tw_masker *m, uint32_t state, const uint64_t *bits)
{
    if (m->n_entries == m->most_entries) {
        let_go(m);
    }
    struct entry *entry = &m->entries[m->n_entries];
    struct exit_point *exits = tw_mem_alloc(m->n_exits, sizeof *exits);
    entry->bits = entry->bits != NULL ? entry->bits : tw_mem_alloc(m->n_words, sizeof *bits);
    if (exits == NULL || entry->bits == NULL) {
        tw_mem_free(exits);
        m->failed = true;
        return;
    }
    memcpy(entry->bits, bits, m->n_words * sizeof *bits);
    if (m->n_exits > 0) {
        memcpy(exits, m->exits, m->n_exits * sizeof *exits);
    }
    *entry = (struct entry){state, entry->bits, exits, m->n_exits};
    m->entry_of[state] = m->n_entries++;
}

/* The bits of what stays in the frame into mask; *ret_exits [n] is valid until the next walk. */
static void fill_inside(struct tw_masker *m, uint32_t state, uint64_t *mask,
                        const struct exit_point **ret_exits, uint32_t *ret_n)
{
    uint32_t i = m->entry_of[state];
    if (i != NO_ENTRY) {
        memcpy(mask, m->entries[i].bits, m->n_words * sizeof *mask);
        *ret_exits = m->entries[i].exits;
        *ret_n = m->entries[i].n_exits;
        return;
    }
    memset(mask, 0, m->n_words * sizeof *mask);
    m->n_exits = 0;
    m->n_visited = 0;
    walk_nodes(m, 0, m->trie->n_nodes, 0, (struct place){.state = state, .cell = NO_CELL}, mask);
    if (m->n_visited > CHEAP_NODES && !m->failed) {
        keep(m, state, mask);
    }
    *ret_exits = m->exits;
    *ret_n = m->n_exits;
}

/* ---- masks ---- */

static struct place place_of(struct tw_masker *m, const struct tw_walk *walk)
{
    for (uint32_t i = 0; i < walk->depth; i++) {
        m->cells[i] = (struct cell){walk->calls[i], i > 0 ? i - 1 : NO_CELL};
    }
    return (struct place){.state = walk->state,
                          .cell = walk->depth > 0 ? walk->depth - 1 : NO_CELL,
                          .n_cells = walk->depth,
                          .depth = walk->depth};
}

static void follow_exits(struct tw_masker *m, const struct exit_point *exits, uint32_t n,
                         struct place around, uint64_t *mask)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct tw_trie_node *node = &m->trie->nodes[exits[i].node];
        struct place place = around;
        struct cell cell = m->cells[place.cell];
        place.state = tw_automaton_go_on(m->automaton, cell.call, exits[i].outcome);
        place.cell = cell.around;
        place.depth--;
        bool is_known = leave_frames(m, &place);
        assert(is_known); /* the whole stack is */
        if (is_known) {
            set_tokens(m, node, mask);
            walk_nodes(m, exits[i].node + 1, node->end, node->depth, place, mask);
        }
    }
}

/* Close to the bound of the stack what a frame may do depends on how much room is left. */
static bool is_near_bound(const struct tw_masker *m, const struct tw_walk *walk)
{
    return (uint64_t)walk->depth + m->trie->most_nesting + m->automaton->most_need + 1 >
           TW_LIMIT_GRAMMAR_DEPTH;
}

static bool is_empty(const uint64_t *mask, size_t n_words)
{
    uint64_t any = 0;
    for (size_t i = 0; i < n_words; i++) {
        any |= mask[i];
    }
    return any == 0;
}

enum tw_status tw_constraint_mask(struct tw_constraint *constraint, const uint64_t **ret_mask,
                                  struct tw_error *error)
{
    struct tw_masker *masker = constraint->masker;
    const struct tw_walk *walk = &constraint->walk;
    uint64_t *mask = masker->scratch;
    masker->failed = false;
    if (is_near_bound(masker, walk)) {
        memset(mask, 0, masker->n_words * sizeof *mask);
        walk_nodes(masker, 0, masker->trie->n_nodes, 0, place_of(masker, walk), mask);
    } else {
        const struct exit_point *exits;
        uint32_t n_exits;
        fill_inside(masker, walk->state, mask, &exits, &n_exits);
        follow_exits(masker, exits, n_exits, place_of(masker, walk), mask);
    }
    if (masker->failed) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the tokens that may come next");
    }
    if (tw_walk_accepts(masker->automaton, walk)) {
        for (uint32_t i = 0; i < masker->trie->n_ends; i++) {
            tw_token t = masker->trie->ends[i];
            mask[t / 64] |= UINT64_C(1) << (t % 64);
        }
    }
    if (is_empty(mask, masker->n_words)) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model's vocabulary has no token for what must come next in the "
                            "form that was asked for");
    }
    *ret_mask = mask;
    return TW_OK;
}

/* ---- one answer ---- */

struct tw_constraint tw_constraint_begin(struct tw_masker *masker)
{
    struct tw_constraint constraint = {.masker = masker};
    tw_walk_begin(&constraint.walk);
    return constraint;
}

bool tw_constraint_advance(struct tw_constraint *constraint, tw_token token)
{
    const struct tw_automaton *automaton = constraint->masker->automaton;
    const struct tw_tokenizer *tokenizer = constraint->masker->trie->tokenizer;
    if (tw_tokenizer_ends_generation(tokenizer, token)) {
        return tw_walk_accepts(automaton, &constraint->walk);
    }
    struct tw_walk walk = constraint->walk;
    struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, token, false);
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        if (!tw_walk_step(automaton, &walk, (unsigned char)bytes.data[i])) {
            return false;
        }
    }
    if (bytes.size_bytes > 0) {
        constraint->walk = walk;
    }
    return bytes.size_bytes > 0;
}

bool tw_constraint_accepts(const struct tw_constraint *constraint)
{
    return tw_walk_accepts(constraint->masker->automaton, &constraint->walk);
}

bool tw_constraint_is_over(const struct tw_constraint *constraint)
{
    return tw_walk_is_over(constraint->masker->automaton, &constraint->walk);
}
