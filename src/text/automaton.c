#include "text/automaton.h"

#include <assert.h>

#include "base/mem.h"

uint32_t tw_automaton_follow(const struct tw_automaton *automaton, uint32_t state,
                             unsigned char byte)
{
    const struct tw_automaton_state *s = &automaton->states[state];
    const struct tw_automaton_edge *edge = automaton->edges + s->first_edge,
                                   *end = edge + s->n_edges;
    while (edge < end && edge->high < byte) {
        edge++;
    }
    return edge < end && edge->low <= byte ? edge->target : TW_AUTOMATON_NONE;
}

uint32_t tw_automaton_find_call(const struct tw_automaton *automaton, uint32_t state,
                                unsigned char byte)
{
    const struct tw_automaton_state *s = &automaton->states[state];
    for (uint32_t i = 0; i < s->n_calls; i++) {
        if (automaton->calls[s->extra + i].byte == byte) {
            return s->extra + i;
        }
    }
    return TW_AUTOMATON_NONE;
}

uint32_t tw_automaton_go_on(const struct tw_automaton *automaton, uint32_t call, uint32_t outcome)
{
    const struct tw_automaton_call *c = &automaton->calls[call];
    const struct tw_automaton_return *returns = automaton->returns + c->first_return;
    uint32_t i = 0;
    while (returns[i].outcome != outcome) {
        i++;
        assert(i < c->n_returns);
    }
    return returns[i].target;
}

void tw_automaton_free(struct tw_automaton *automaton)
{
    if (automaton != NULL) {
        tw_mem_free(automaton->states);
        tw_mem_free(automaton->edges);
        tw_mem_free(automaton->calls);
        tw_mem_free(automaton->returns);
        tw_mem_free(automaton);
    }
}

/* ---- walking ---- */

void tw_walk_begin(struct tw_walk *walk)
{
    walk->state = 0;
    walk->depth = 0;
}

/* The call that byte opens here, where the stack has room for it and for what must follow. */
static uint32_t open_call(const struct tw_automaton *automaton, const struct tw_walk *walk,
                          unsigned char byte)
{
    uint32_t call = tw_automaton_find_call(automaton, walk->state, byte);
    if (call == TW_AUTOMATON_NONE) {
        return call;
    }
    const struct tw_automaton_call *c = &automaton->calls[call];
    uint32_t inside = walk->depth + 1 + automaton->states[c->entry].need;
    uint32_t after = walk->depth + c->need_after;
    return inside <= TW_LIMIT_GRAMMAR_DEPTH && after <= TW_LIMIT_GRAMMAR_DEPTH ? call
                                                                               : TW_AUTOMATON_NONE;
}

bool tw_walk_step(const struct tw_automaton *automaton, struct tw_walk *walk, unsigned char byte)
{
    uint32_t state = tw_automaton_follow(automaton, walk->state, byte);
    if (state == TW_AUTOMATON_NONE) {
        uint32_t call = open_call(automaton, walk, byte);
        if (call == TW_AUTOMATON_NONE) {
            return false;
        }
        walk->calls[walk->depth++] = call;
        state = automaton->calls[call].entry;
    }
    const struct tw_automaton_state *s = &automaton->states[state];
    if (walk->depth + s->need > TW_LIMIT_GRAMMAR_DEPTH) {
        return false;
    }
    while ((s->flags & TW_AUTOMATON_EXIT) != 0) {
        assert(walk->depth > 0);
        state = tw_automaton_go_on(automaton, walk->calls[--walk->depth], s->extra);
        s = &automaton->states[state];
    }
    walk->state = state;
    return true;
}

bool tw_walk_accepts(const struct tw_automaton *automaton, const struct tw_walk *walk)
{
    return walk->depth == 0 && (automaton->states[walk->state].flags & TW_AUTOMATON_ACCEPTS) != 0;
}

bool tw_walk_is_over(const struct tw_automaton *automaton, const struct tw_walk *walk)
{
    const struct tw_automaton_state *s = &automaton->states[walk->state];
    return tw_walk_accepts(automaton, walk) && s->n_edges == 0 && s->n_calls == 0;
}
