#include "plan/simulator.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "plan/quantiles.h"
#include "sched/scheduler.h"

#define NEVER UINT64_MAX

/* What is known of a request while it is under way. */
struct job {
    struct tw_sched_sequence *sequence;
    uint64_t arrival_ns, start_ns, first_ns, end_ns; /* NEVER: not yet */
    uint32_t n_input, n_output, n_given;             /* tokens */
    uint32_t n_cached, n_preemptions, lane;
    uint32_t client;
    bool is_spilled;
};

/* A scheduler with a clock: a replica, or of a replica with pipeline stages one of as many batches
 * that are under way at once. */
struct lane {
    struct tw_scheduler *scheduler;
    struct tw_fair_share *share;
    uint64_t now_ns; /* when the next step may begin */
    uint32_t n_jobs;
    uint64_t n_waiting_tokens; /* of prompts that no step has begun */
    uint32_t *rows;            /* [n_rows] jobs of the last step that go on */
    uint32_t n_rows;
    uint64_t n_row_tokens; /* of their texts */
    uint32_t
        *page_phases;    /* [page_tokens] so many had as many tokens behind whole pages when kept */
    uint32_t full_phase; /* of page_phases: those that need a page for the next step */
    uint64_t busy_ns;
    double active_s, kv_pages_s, rows_n;
    uint32_t kv_pages_most;
    uint64_t n_decode_steps, n_advanced;
};

struct sim {
    const struct tw_simulation *set;
    struct tw_step_cost cost;
    uint32_t n_lanes, page_tokens, step_tokens, n_pages, n_sequences;
    bool budget_is_prefill; /* of our engine; others count decoded tokens too */
    bool prefix_cache;
    struct lane *lanes;
    struct job *jobs; /* [n_requests] */
    int32_t *tokens;  /* of a prompt with blocks */
    uint64_t tokens_capacity;
    uint32_t n_next;   /* request to come */
    uint64_t *clients; /* when each sends its next; NEVER: it waits for an answer */
    uint32_t n_spilled, n_refused, next_lane;
    uint64_t request_ns;
    struct tw_error *error;
};

/* ---- setting up ---- */

static enum tw_status no_memory(struct sim *sim)
{
    return tw_error_set(sim->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a simulation");
}

static enum tw_status make_lane(struct sim *sim, struct lane *lane)
{
    enum tw_status status = tw_fair_share_create(&lane->share, sim->error);
    if (status == TW_OK) {
        status = tw_fair_share_set(lane->share, 0, 1, TW_CLASS_NORMAL, sim->error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_scheduler_config config = tw_scheduler_defaults();
    config.n_pages = sim->n_pages;
    config.page_tokens = sim->page_tokens;
    config.max_rows = sim->n_sequences;
    config.max_waiting = TW_LIMIT_WAITING;
    status = tw_scheduler_create(&config, lane->share, &lane->scheduler, sim->error);
    lane->rows = tw_mem_alloc(sim->n_sequences, sizeof *lane->rows);
    lane->page_phases = tw_mem_zalloc(sim->page_tokens, sizeof *lane->page_phases);
    return status == TW_OK && (lane->rows == NULL || lane->page_phases == NULL) ? no_memory(sim)
                                                                                : status;
}

static uint32_t or_else(uint32_t chosen, uint32_t otherwise)
{
    return chosen > 0 ? chosen : otherwise;
}

static enum tw_status set_up(struct sim *sim)
{
    const struct tw_simulation *set = sim->set;
    const struct tw_plant *plant = set->plant;
    struct tw_plan_memory memory;
    enum tw_status status = tw_plan_fit(plant, &memory, sim->error);
    if (status == TW_OK && set->cost == NULL) {
        status = tw_step_cost_make(plant, &sim->cost, sim->error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (set->cost != NULL) {
        sim->cost = *set->cost;
    }
    sim->n_lanes = plant->n_replicas * plant->n_pipeline;
    sim->page_tokens = or_else(plant->page_tokens, plant->engine->page_tokens);
    sim->step_tokens = or_else(plant->step_tokens, plant->engine->step_tokens);
    sim->n_sequences = or_else(plant->n_sequences, plant->engine->n_sequences);
    sim->budget_is_prefill = plant->engine->is_ours;
    sim->prefix_cache = plant->engine->prefix_cache && !plant->no_prefix_cache;
    const uint64_t n_pages = memory.n_kv_tokens / sim->page_tokens / plant->n_pipeline;
    sim->n_pages = (uint32_t)(n_pages < TW_LIMIT_KV_PAGES ? n_pages : TW_LIMIT_KV_PAGES);
    sim->request_ns = (uint64_t)(sim->cost.request_s * 1e9);
    if (sim->n_pages == 0 || sim->n_lanes == 0) {
        return tw_error_set(sim->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a plant without replicas, or with no page for each pipeline stage");
    }
    sim->lanes = tw_mem_zalloc(sim->n_lanes, sizeof *sim->lanes);
    sim->jobs = tw_mem_zalloc(set->workload->n_requests, sizeof *sim->jobs);
    sim->clients = tw_mem_zalloc(set->n_clients, sizeof *sim->clients);
    if (sim->lanes == NULL || sim->jobs == NULL || sim->clients == NULL) {
        return no_memory(sim);
    }
    for (uint32_t i = 0; i < sim->n_lanes && status == TW_OK; i++) {
        status = make_lane(sim, &sim->lanes[i]);
    }
    return status;
}

static void tear_down(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_lanes && sim->lanes != NULL; i++) {
        tw_scheduler_free(sim->lanes[i].scheduler);
        tw_fair_share_free(sim->lanes[i].share);
        tw_mem_free(sim->lanes[i].rows);
        tw_mem_free(sim->lanes[i].page_phases);
    }
    tw_mem_free(sim->lanes);
    tw_mem_free(sim->jobs);
    tw_mem_free(sim->clients);
    tw_mem_free(sim->tokens);
}

/* ---- arrivals ---- */

/* A prompt with blocks as tokens: the blocks' numbers, and behind them what nobody else has. */
static enum tw_status write_tokens(struct sim *sim, const struct tw_plan_request *request,
                                   int32_t filler)
{
    const struct tw_workload *workload = sim->set->workload;
    if (request->n_input > sim->tokens_capacity) {
        int32_t *tokens = tw_mem_realloc(sim->tokens, request->n_input, sizeof *tokens);
        if (tokens == NULL) {
            return no_memory(sim);
        }
        sim->tokens = tokens;
        sim->tokens_capacity = request->n_input;
    }
    uint64_t n = 0;
    for (uint32_t b = 0; b < request->n_blocks; b++) {
        const uint64_t id = workload->blocks[request->first_block + b];
        const int32_t token = (int32_t)((id ^ id >> 31) & 0x7fffffff);
        for (uint32_t i = 0; i < workload->block_tokens && n < request->n_input; i++) {
            sim->tokens[n++] = token;
        }
    }
    while (n < request->n_input) {
        sim->tokens[n++] = filler;
    }
    return TW_OK;
}

static uint64_t load_of(const struct lane *lane)
{
    return lane->n_jobs;
}

static uint32_t choose_lane(struct sim *sim)
{
    if (sim->set->routing == TW_PLAN_ROUND_ROBIN || sim->n_lanes == 1) {
        const uint32_t lane = sim->next_lane;
        sim->next_lane = (sim->next_lane + 1) % sim->n_lanes;
        return lane;
    }
    uint32_t best = sim->next_lane; /* of equals the next in turn */
    for (uint32_t i = 0; i < sim->n_lanes; i++) {
        const uint32_t one = (sim->next_lane + i) % sim->n_lanes;
        best = load_of(&sim->lanes[one]) < load_of(&sim->lanes[best]) ? one : best;
    }
    sim->next_lane = (best + 1) % sim->n_lanes;
    return best;
}

static bool spills(const struct sim *sim)
{
    const uint64_t most = sim->set->spill_waiting_tokens;
    for (uint32_t i = 0; i < sim->n_lanes && most > 0; i++) {
        if (sim->lanes[i].n_waiting_tokens <= most) {
            return false;
        }
    }
    return most > 0;
}

static enum tw_status arrive(struct sim *sim, uint32_t number, uint64_t now_ns, uint32_t client)
{
    const struct tw_plan_request *request = &sim->set->workload->requests[number];
    struct job *job = &sim->jobs[number];
    *job = (struct job){.arrival_ns = now_ns,
                        .start_ns = NEVER,
                        .first_ns = NEVER,
                        .end_ns = NEVER,
                        .n_input = request->n_input,
                        .n_output = request->n_output,
                        .client = client};
    if (spills(sim)) {
        sim->n_spilled++;
        job->is_spilled = true;
        return TW_OK;
    }
    const bool is_named = sim->prefix_cache && request->n_blocks > 0;
    const int32_t filler = -1 - (int32_t)(number & 0x3fffffff);
    enum tw_status status = is_named ? write_tokens(sim, request, filler) : TW_OK;
    if (status != TW_OK) {
        return status;
    }
    job->lane = choose_lane(sim);
    struct lane *lane = &sim->lanes[job->lane];
    const struct tw_sched_request wanted = {.tokens = is_named ? sim->tokens : NULL,
                                            .n_tokens = request->n_input,
                                            .n_tokens_most = request->n_input + request->n_output,
                                            .owner = job,
                                            .filler = filler};
    status = tw_scheduler_submit(lane->scheduler, &wanted, &job->sequence, sim->error);
    if (status == TW_ERR_LIMIT) {
        sim->n_refused++;
        return TW_OK;
    }
    const uint64_t ready_ns = now_ns + sim->request_ns;
    lane->now_ns = lane->n_jobs == 0 && ready_ns > lane->now_ns ? ready_ns : lane->now_ns;
    lane->n_jobs++;
    lane->n_waiting_tokens += request->n_input;
    return status;
}

/* ---- steps ---- */

/* Arithmetic takes a card to its full power; while it waits for memory, links and launches, to some
 * 0.75 of it (MLPerf v5.1 wall power of 8 B200: 8B, 70B and 405B within 15 %). */
static inline double active_of(double compute_s, double total_s)
{
    return compute_s + 0.75 * (total_s - compute_s);
}

static inline uint64_t ns_of(double s)
{
    return (uint64_t)(int64_t)(s * 1e9 + 0.5);
}

static uint64_t count_step(struct sim *sim, struct lane *lane, const struct tw_step_work *work)
{
    const struct tw_step_parts parts = tw_step_parts(&sim->cost, work);
    const uint64_t step_ns = ns_of(parts.total_s);
    lane->active_s += active_of(parts.compute_s, parts.total_s);
    lane->busy_ns += step_ns;
    lane->now_ns += step_ns;
    return step_ns;
}

static void tell(const struct sim *sim, const struct tw_step_work *work, uint32_t n_steps,
                 uint32_t n_decoding)
{
    if (sim->set->on_steps != NULL) {
        sim->set->on_steps(sim->set->on_steps_context, work, n_steps, n_decoding);
    }
}

static uint32_t pages_in_use(const struct lane *lane)
{
    const struct tw_scheduler_usage usage = tw_scheduler_usage(lane->scheduler);
    return usage.n_pages - usage.n_free_pages - usage.n_cached_pages;
}

static inline double page_seconds(uint32_t n_pages, uint64_t step_ns)
{
    return n_pages * (double)step_ns * 1e-9;
}

static void count_pages(struct lane *lane, uint64_t step_ns)
{
    const uint32_t n = pages_in_use(lane);
    lane->kv_pages_s += page_seconds(n, step_ns);
    lane->kv_pages_most = n > lane->kv_pages_most ? n : lane->kv_pages_most;
}

static void end_job(struct sim *sim, struct lane *lane, struct job *job)
{
    const struct tw_sched_state state = tw_scheduler_state(job->sequence);
    job->n_cached = state.n_cached_tokens;
    job->n_preemptions = state.n_preemptions;
    job->end_ns = lane->now_ns;
    tw_scheduler_end(lane->scheduler, job->sequence);
    job->sequence = NULL;
    lane->n_jobs--;
    if (sim->set->n_clients > 0) {
        sim->clients[job->client] = lane->now_ns;
    }
}

static double window_of(const struct sim *sim, double n_context)
{
    return sim->cost.n_window > 0 && n_context > sim->cost.n_window ? sim->cost.n_window
                                                                    : n_context;
}

static void add_row(const struct sim *sim, const struct tw_step_row *row, struct tw_step_work *work)
{
    const double first = row->first_position, n = row->n_tokens;
    work->n_tokens += row->n_tokens;
    work->n_rows++;
    work->n_results += row->wants_token;
    work->n_context_tokens += first + n;
    work->n_window_tokens += window_of(sim, first + n);
    work->n_attended += n * first + n * (n + 1) / 2;
}

/* A token for a row that reached the end of its text; whether the text goes on. */
static enum tw_status give_token(struct sim *sim, struct lane *lane, struct job *job,
                                 bool *ret_goes_on)
{
    job->n_given++;
    if (job->first_ns == NEVER) {
        job->first_ns = lane->now_ns;
    }
    *ret_goes_on = job->n_given < job->n_output;
    if (!*ret_goes_on) {
        end_job(sim, lane, job);
        return TW_OK;
    }
    return tw_scheduler_push(lane->scheduler, job->sequence,
                             -1 - (int32_t)((job - sim->jobs) & 0x3fffffff), sim->error);
}

/* Rows that go on, and what a stretch has to know of them. */
static void keep_row(const struct sim *sim, struct lane *lane, const struct job *job)
{
    const uint32_t n_tokens = job->n_input + job->n_given;
    lane->rows[lane->n_rows++] = (uint32_t)(job - sim->jobs);
    lane->n_row_tokens += n_tokens;
    lane->page_phases[n_tokens % sim->page_tokens]++;
}

static void forget_rows(const struct sim *sim, struct lane *lane)
{
    lane->n_rows = 0;
    lane->n_row_tokens = 0;
    lane->full_phase = 1 % sim->page_tokens;
    memset(lane->page_phases, 0, sim->page_tokens * sizeof *lane->page_phases);
}

static enum tw_status plan_step(struct sim *sim, struct lane *lane)
{
    struct tw_scheduler *s = lane->scheduler;
    uint32_t budget = sim->step_tokens;
    if (!sim->budget_is_prefill) {
        const uint32_t n_decode = lane->n_rows;
        budget = n_decode < budget ? budget - n_decode : 1;
    }
    const struct tw_step step = tw_scheduler_plan(s, budget);
    if (step.n_rows == 0) {
        return tw_error_set(sim->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a simulation came to a stop with %u requests under way", lane->n_jobs);
    }
    struct tw_step_work work = {0};
    const uint64_t start_ns = lane->now_ns;
    uint32_t n_decode = 0;
    for (uint32_t i = 0; i < step.n_rows; i++) {
        add_row(sim, &step.rows[i], &work);
        struct job *job = step.rows[i].owner;
        n_decode += job->first_ns != NEVER && step.rows[i].n_tokens == 1;
        if (job->start_ns == NEVER) {
            job->start_ns = start_ns;
            lane->n_waiting_tokens -= job->n_input;
        }
    }
    const uint64_t step_ns = count_step(sim, lane, &work);
    tell(sim, &work, 1, n_decode);
    lane->rows_n += n_decode;
    lane->n_decode_steps++;
    count_pages(lane, step_ns);
    tw_scheduler_commit(s);
    forget_rows(sim, lane);
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; i < step.n_rows && status == TW_OK; i++) {
        if (step.rows[i].wants_token) {
            struct job *job = step.rows[i].owner;
            bool goes_on = false;
            status = give_token(sim, lane, job, &goes_on);
            if (goes_on) {
                keep_row(sim, lane, job);
            }
        }
    }
    return status;
}

/* ---- stretches ---- */

/* How far windows limit what rows read: those that have not reached theirs grow. */
struct windows {
    double n_tokens, n_growing;
    uint32_t end; /* of the stretch's steps: when the next row reaches its window */
};

static struct windows windows_of(const struct sim *sim, const struct lane *lane, uint32_t n_passed)
{
    struct windows w = {.end = UINT32_MAX};
    const double window = sim->cost.n_window;
    for (uint32_t i = 0; i < lane->n_rows && window > 0; i++) {
        const struct job *job = &sim->jobs[lane->rows[i]];
        const double n = (double)job->n_input + job->n_given + n_passed;
        w.n_tokens += window_of(sim, n);
        if (n < window) {
            const double end = n_passed + (window - n);
            w.n_growing++;
            w.end = end < w.end ? (uint32_t)end : w.end;
        }
    }
    return w;
}

/* The steps of a stretch, one after another: contexts grow by a token a row, and before a step
 * those whose pages are all full take one more. How many there were before one would begin at
 * until_ns or later. */
static uint32_t time_steps(const struct sim *sim, struct lane *lane, uint32_t n_most,
                           uint64_t until_ns)
{
    const double rows = lane->n_rows;
    const struct tw_step_work work = {
        .n_tokens = lane->n_rows, .n_rows = lane->n_rows, .n_results = lane->n_rows};
    const struct tw_step_line line = tw_step_line_of(&sim->cost, &work);
    struct windows w = windows_of(sim, lane, 0);
    double context = (double)lane->n_row_tokens, active_s = lane->active_s;
    double pages_s = lane->kv_pages_s;
    uint64_t now_ns = lane->now_ns;
    uint32_t n_pages = pages_in_use(lane), phase = lane->full_phase, n = 0;
    for (; n < n_most && now_ns < until_ns; n++) {
        if (n == w.end) {
            w = windows_of(sim, lane, n);
        }
        n_pages += lane->page_phases[phase];
        phase = (phase > 0 ? phase : sim->page_tokens) - 1;
        const double steady = line.fixed_s + sim->cost.window_s * w.n_tokens;
        const double total = steady + line.token_s * context;
        const uint64_t step_ns = ns_of(total);
        active_s += active_of(line.compute_s + line.compute_token_s * context, total);
        pages_s += page_seconds(n_pages, step_ns);
        now_ns += step_ns;
        context += rows;
        w.n_tokens += w.n_growing;
    }
    lane->busy_ns += now_ns - lane->now_ns;
    lane->now_ns = now_ns;
    lane->active_s = active_s;
    lane->kv_pages_s = pages_s;
    lane->kv_pages_most = n_pages > lane->kv_pages_most ? n_pages : lane->kv_pages_most;
    lane->full_phase = phase;
    return n;
}

/* What n steps gave: answers that the last one completed are ended. */
static void give_tokens(struct sim *sim, struct lane *lane, uint32_t n, bool some_end)
{
    const uint32_t n_rows = lane->n_rows;
    lane->n_row_tokens += (uint64_t)n * n_rows;
    if (some_end) {
        forget_rows(sim, lane);
    }
    for (uint32_t i = 0; i < n_rows; i++) {
        struct job *job = &sim->jobs[lane->rows[i]];
        job->n_given += n;
        if (some_end && job->n_given == job->n_output) {
            end_job(sim, lane, job);
        } else if (some_end) {
            keep_row(sim, lane, job);
        }
    }
}

/* Told by its middle; where windows grow, as of the first step, close enough. */
static void tell_stretch(const struct sim *sim, const struct lane *lane, uint32_t n_steps)
{
    if (sim->set->on_steps == NULL || n_steps == 0) {
        return;
    }
    const double context = (double)lane->n_row_tokens + lane->n_rows * (n_steps - 1) / 2.0;
    const struct tw_step_work work = {.n_tokens = lane->n_rows,
                                      .n_rows = lane->n_rows,
                                      .n_results = lane->n_rows,
                                      .n_context_tokens = context,
                                      .n_window_tokens = windows_of(sim, lane, 0).n_tokens,
                                      .n_attended = context};
    tell(sim, &work, n_steps, lane->n_rows);
}

/* Steps in which all decode, until one would begin at until_ns or later; how many there were. */
static enum tw_status pass_steps(struct sim *sim, struct lane *lane, uint64_t until_ns,
                                 uint32_t *ret_n)
{
    *ret_n = 0;
    if (lane->n_rows == 0 || lane->n_rows != tw_scheduler_usage(lane->scheduler).n_resident) {
        return TW_OK;
    }
    const uint32_t n_most = tw_scheduler_steady_steps(lane->scheduler, 1u << 20);
    if (n_most == 0) {
        return TW_OK;
    }
    const uint32_t n = time_steps(sim, lane, n_most, until_ns);
    tell_stretch(sim, lane, n);
    enum tw_status status = tw_scheduler_advance(lane->scheduler, n, sim->error);
    if (status != TW_OK) {
        return status;
    }
    lane->rows_n += (double)n * lane->n_rows;
    lane->n_decode_steps += n;
    lane->n_advanced += n;
    give_tokens(sim, lane, n, n == n_most);
    *ret_n = n;
    return TW_OK;
}

/* All steps that begin before until_ns. */
static enum tw_status run_lane(struct sim *sim, struct lane *lane, uint64_t until_ns)
{
    enum tw_status status = TW_OK;
    while (lane->n_jobs > 0 && lane->now_ns < until_ns && status == TW_OK) {
        uint32_t n = 0;
        if (!sim->set->step_by_step) {
            status = pass_steps(sim, lane, until_ns, &n);
        }
        if (n == 0 && status == TW_OK) {
            status = plan_step(sim, lane);
        }
    }
    return status;
}

/* ---- open loop ---- */

static enum tw_status run_open(struct sim *sim)
{
    const struct tw_workload *workload = sim->set->workload;
    const double factor = sim->set->rate_factor > 0 ? 1 / sim->set->rate_factor : 1;
    const bool all_first =
        sim->set->routing != TW_PLAN_ROUND_ROBIN || sim->set->spill_waiting_tokens > 0;
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; i < workload->n_requests && status == TW_OK; i++) {
        const uint64_t arrival_ns =
            (uint64_t)fmin(9e18, (double)workload->requests[i].arrival_ns * factor + 0.5);
        const uint32_t first = all_first ? 0 : sim->next_lane;
        const uint32_t last = all_first ? sim->n_lanes : first + 1;
        for (uint32_t l = first; l < last && status == TW_OK; l++) {
            status = run_lane(sim, &sim->lanes[l], arrival_ns + sim->request_ns);
        }
        if (status == TW_OK) {
            status = arrive(sim, i, arrival_ns, 0);
        }
    }
    for (uint32_t l = 0; l < sim->n_lanes && status == TW_OK; l++) {
        status = run_lane(sim, &sim->lanes[l], NEVER);
    }
    return status;
}

/* ---- closed loop ---- */

static uint32_t first_client(const struct sim *sim)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < sim->set->n_clients; i++) {
        best = sim->clients[i] < sim->clients[best] ? i : best;
    }
    return best;
}

/* The lane whose next step begins first, and when the one after it does. */
static struct lane *first_lane(struct sim *sim, uint64_t *ret_second_ns)
{
    struct lane *best = NULL;
    *ret_second_ns = NEVER;
    for (uint32_t i = 0; i < sim->n_lanes; i++) {
        struct lane *lane = &sim->lanes[i];
        if (lane->n_jobs == 0) {
            continue;
        }
        if (best == NULL || lane->now_ns < best->now_ns) {
            *ret_second_ns = best != NULL ? best->now_ns : NEVER;
            best = lane;
        } else if (lane->now_ns < *ret_second_ns) {
            *ret_second_ns = lane->now_ns;
        }
    }
    return best;
}

/* One thing after another, whatever comes first: a client's request, or a lane's step. */
static enum tw_status run_closed(struct sim *sim)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK) {
        uint64_t second_ns;
        struct lane *lane = first_lane(sim, &second_ns);
        const uint32_t client = first_client(sim);
        const bool has_more = sim->n_next < sim->set->workload->n_requests;
        const uint64_t ready_ns = has_more ? sim->clients[client] : NEVER;
        if (lane == NULL && ready_ns == NEVER) {
            break;
        }
        if (lane == NULL || (ready_ns != NEVER && ready_ns + sim->request_ns <= lane->now_ns)) {
            sim->clients[client] = NEVER;
            const uint32_t n_gone = sim->n_refused + sim->n_spilled;
            status = arrive(sim, sim->n_next++, ready_ns, client);
            if (sim->n_refused + sim->n_spilled > n_gone) {
                sim->clients[client] = ready_ns;
            }
            continue;
        }
        uint64_t until_ns = ready_ns != NEVER ? ready_ns + sim->request_ns : NEVER;
        until_ns = second_ns < until_ns ? second_ns + 1 : until_ns;
        const uint32_t n_jobs = lane->n_jobs;
        while (lane->n_jobs == n_jobs && lane->now_ns < until_ns && status == TW_OK) {
            uint32_t n = 0;
            if (!sim->set->step_by_step) {
                status = pass_steps(sim, lane, until_ns, &n);
            }
            if (n == 0 && status == TW_OK) {
                status = plan_step(sim, lane);
            }
        }
    }
    return status;
}

/* ---- what came of it ---- */

struct samples {
    double *ttft, *tpot, *latency, *queue;
    uint32_t n, n_tpot;
};

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
    return ((double)to_ns - (double)from_ns) / 1e9;
}

static bool is_good(const struct tw_plan_slo *slo, double ttft, double tpot, double latency)
{
    return (slo->ttft_s <= 0 || ttft <= slo->ttft_s) && (slo->tpot_s <= 0 || tpot <= slo->tpot_s) &&
           (slo->latency_s <= 0 || latency <= slo->latency_s);
}

static void take_sample(const struct sim *sim, uint32_t i, struct samples *samples,
                        struct tw_plan_result *result, struct tw_plan_outcome *outcomes)
{
    const struct job *job = &sim->jobs[i];
    const bool done = job->end_ns != NEVER;
    const double ttft = seconds(job->arrival_ns, job->first_ns);
    const double latency = seconds(job->arrival_ns, job->end_ns);
    const double queue = seconds(job->arrival_ns, job->start_ns);
    const double tpot =
        job->n_output > 1 ? seconds(job->first_ns, job->end_ns) / (job->n_output - 1) : 0;
    if (outcomes != NULL) {
        outcomes[i] = (struct tw_plan_outcome){.ttft_s = done ? ttft : -1,
                                               .tpot_s = done ? tpot : -1,
                                               .latency_s = done ? latency : -1,
                                               .queue_s = done ? queue : -1,
                                               .n_cached = job->n_cached,
                                               .n_preemptions = job->n_preemptions,
                                               .replica = job->lane / sim->set->plant->n_pipeline};
    }
    if (!done) {
        return;
    }
    result->n_completed++;
    result->input_tokens += job->n_input;
    result->output_tokens += job->n_output;
    result->cached_tokens += job->n_cached;
    result->n_good += is_good(&sim->set->slo, ttft, tpot, latency);
    result->queue_mean += queue;
    result->in_system_mean += latency;
    const uint32_t n = sim->set->workload->n_requests;
    const double place = (i + 0.5) / n;
    if (place >= sim->set->trim_share && place <= 1 - sim->set->trim_share) {
        samples->ttft[samples->n] = ttft;
        samples->latency[samples->n] = latency;
        samples->queue[samples->n] = queue;
        samples->n++;
        if (job->n_output > 1) {
            samples->tpot[samples->n_tpot++] = tpot;
        }
    }
}

static void judge(const struct sim *sim, struct samples *samples, struct tw_plan_result *result)
{
    const struct tw_plan_slo *slo = &sim->set->slo;
    const double p = slo->percentile > 0 ? slo->percentile : 95;
    result->at_percentile_ttft_s = tw_quantiles_at(samples->ttft, samples->n, p);
    result->at_percentile_tpot_s = tw_quantiles_at(samples->tpot, samples->n_tpot, p);
    result->at_percentile_latency_s = tw_quantiles_at(samples->latency, samples->n, p);
    result->meets_slo = result->n_completed > 0 && result->n_refused == 0 &&
                        is_good(slo, result->at_percentile_ttft_s, result->at_percentile_tpot_s,
                                result->at_percentile_latency_s);
    result->slo_share = result->n_completed > 0 ? (double)result->n_good / result->n_completed : 0;
}

static void add_lanes(const struct sim *sim, double end_s, struct tw_plan_result *result)
{
    double busy_s = 0, active_s = 0, pages_s = 0, rows = 0, steps = 0;
    for (uint32_t i = 0; i < sim->n_lanes; i++) {
        const struct lane *lane = &sim->lanes[i];
        const struct tw_scheduler_usage usage = tw_scheduler_usage(lane->scheduler);
        busy_s += (double)lane->busy_ns / 1e9;
        active_s += lane->active_s;
        pages_s += lane->kv_pages_s;
        rows += lane->rows_n;
        steps += (double)lane->n_decode_steps;
        result->n_steps += usage.n_steps;
        result->n_advanced_steps += lane->n_advanced;
        result->n_preemptions += usage.n_preemptions;
        result->n_evictions += usage.n_evictions;
        result->n_computed_tokens += usage.n_computed_tokens;
        const double share = (double)lane->kv_pages_most / sim->n_pages;
        result->kv_share_most = share > result->kv_share_most ? share : result->kv_share_most;
    }
    const double all_s = end_s * sim->n_lanes;
    result->busy_share = all_s > 0 ? busy_s / all_s : 0;
    result->decode_rows_mean = steps > 0 ? rows / steps : 0;
    result->kv_share_mean = all_s > 0 ? pages_s / all_s / sim->n_pages : 0;
    const double n_replicas = sim->set->plant->n_replicas;
    const double active = all_s > 0 ? active_s / all_s : 0;
    result->power_w =
        n_replicas * (sim->cost.idle_w + active * (sim->cost.busy_w - sim->cost.idle_w));
    result->energy_j = result->power_w * end_s;
}

static enum tw_status sum_up(const struct sim *sim, struct tw_plan_result *ret_result,
                             struct tw_plan_outcome *outcomes)
{
    const uint32_t n = sim->set->workload->n_requests;
    struct tw_plan_result result = {
        .n_requests = n, .n_spilled = sim->n_spilled, .n_refused = sim->n_refused};
    struct samples samples = {0};
    double *all = tw_mem_alloc(4 * (size_t)n, sizeof *all);
    if (all == NULL) {
        return tw_error_set(sim->error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a simulation's result");
    }
    samples.ttft = all;
    samples.tpot = all + n;
    samples.latency = all + 2 * (size_t)n;
    samples.queue = all + 3 * (size_t)n;
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < n; i++) {
        take_sample(sim, i, &samples, &result, outcomes);
        const struct job *job = &sim->jobs[i];
        last_ns = job->end_ns != NEVER && job->end_ns > last_ns ? job->end_ns : last_ns;
        if (job->is_spilled) {
            result.spilled_input_tokens += job->n_input;
            result.spilled_output_tokens += job->n_output;
        }
    }
    result.ttft_s = tw_quantiles_of(samples.ttft, samples.n);
    result.tpot_s = tw_quantiles_of(samples.tpot, samples.n_tpot);
    result.latency_s = tw_quantiles_of(samples.latency, samples.n);
    result.queue_s = tw_quantiles_of(samples.queue, samples.n);
    judge(sim, &samples, &result);
    tw_mem_free(all);
    const uint64_t first_ns = sim->set->n_clients > 0 || n == 0 ? 0 : sim->jobs[0].arrival_ns;
    const double span_s = last_ns > first_ns ? (double)(last_ns - first_ns) / 1e9 : 0;
    result.duration_s = span_s;
    if (span_s > 0) {
        result.queue_mean /= span_s;
        result.in_system_mean /= span_s;
        result.output_tokens_s = result.output_tokens / span_s;
        result.requests_s = result.n_completed / span_s;
        result.goodput_requests_s = result.n_good / span_s;
    }
    add_lanes(sim, span_s, &result);
    *ret_result = result;
    return TW_OK;
}

enum tw_status tw_simulate(const struct tw_simulation *simulation,
                           struct tw_plan_result *ret_result, struct tw_plan_outcome *ret_outcomes,
                           struct tw_error *error)
{
    struct sim sim = {.set = simulation, .error = error};
    enum tw_status status = set_up(&sim);
    if (status == TW_OK) {
        status = simulation->n_clients > 0 ? run_closed(&sim) : run_open(&sim);
    }
    if (status == TW_OK) {
        status = sum_up(&sim, ret_result, ret_outcomes);
    }
    tear_down(&sim);
    return status;
}
