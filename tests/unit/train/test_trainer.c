/* What would break if a step did something else than its recipe says, or if a run that cannot go on
 * did. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_json_write.h"
#include "train/gradient.h"
#include "train/packing.h"
#include "train/trainer.h"
#include "train_fixture.h"

enum { CONTEXT = 32, MOST_ROWS = 140, N_ROWS_OF_DATA = 90 };

/* Every test runs in an empty folder of its own, as the working directory. */
static char folder[64];

static void put(const char *path, const char *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

/* prefix: how the markers of conversations begin; plain texts are learnt where it is not <|im_. */
static void put_data(const char *prefix)
{
    struct trained trained;
    struct tw_buf buf, rows;
    trained_init(&trained, "user\nassistant\nHow many? user\nassistant\nHow many?",
                 TW_BPE_LEAST_TOKENS + 12);
    tw_buf_init(&buf, 1 << 20);
    tw_buf_init(&rows, 1 << 20);
    tw_tokenizer_json_write(&trained.spec, &buf);
    assert_true(tw_buf_append(&buf, "", 1));
    for (char *at = buf.data; (at = strstr(at, "<|im_")) != NULL;) {
        memcpy(at, prefix, 5);
        at += 5;
    }
    put("tokenizer.json", buf.data, buf.size_bytes - 1);
    for (unsigned i = 0; i < N_ROWS_OF_DATA; i++) {
        tw_buf_append_format(&rows,
                             strcmp(prefix, "<|im_") == 0
                                 ? "{\"messages\":[{\"role\":\"user\",\"content\":\"%u?\"},"
                                   "{\"role\":\"assistant\",\"content\":\"%0*u\"}]}\n"
                                 : "{\"text\":\"%u: %0*u\"}\n",
                             i, (int)(i % 5), i * i);
    }
    put("data.jsonl", rows.data, rows.size_bytes);
    put("template.jinja", "{{ messages }}", 14);
    tw_buf_free(&rows);
    tw_buf_free(&buf);
    trained_free(&trained);
}

static int enter_folder(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/tokenworks-trainer-XXXXXX", 31);
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

struct world {
    struct tw_train_config *config;
    struct tw_device *device;
    struct tw_trainer *trainer;
};

static int embed = 32; /* what few tests vary */
static const char *out = "out";

static enum tw_status trainer_open(struct world *w, enum tw_trainer_purpose purpose,
                                   struct tw_error *error)
{
    w->trainer = NULL;
    return tw_trainer_open(w->config, w->device, purpose, &w->trainer, error);
}

/* clip and rows are what tests vary. */
static void world_open(struct world *w, double clip, unsigned rows_per_step)
{
    char text[1024];
    struct tw_error error;
    enum tw_cpu_level level;
    int n = snprintf(
        text, sizeof text,
        "model: {layers: 1, embed: %d, heads: 2, kv_heads: 1, head_dim: 16, ffn: 48, context: %d,\n"
        "        rope_base: 10000, tied_head: yes}\n"
        "data: {tokenizer: tokenizer.json, chat_template: template.jinja, train: [data.jsonl],\n"
        "       valid: [data.jsonl]}\n"
        "training: {seed: 3, steps: 5, warmup_steps: 2, rows_per_step: %u, learning_rate: 0.02,\n"
        "           final_learning_rate: 0.001, beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8,\n"
        "           weight_decay: 0.5, clip: %g, format: f32, valid_every: 2,\n"
        "           checkpoint_every: 0}\n"
        "output: {folder: %s}\n",
        embed, CONTEXT, rows_per_step, clip, out);
    assert_int_equal(tw_train_config_parse(text, (size_t)n, "recipe", &w->config, NULL), TW_OK);
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    assert_int_equal(tw_device_cpu_create(2, level, &w->device, NULL), TW_OK);
    if (trainer_open(w, TW_TRAINER_STEPS, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static void world_close(struct world *w)
{
    tw_trainer_close(w->trainer);
    tw_device_free(w->device);
    tw_train_config_free(w->config);
}

/* ---- a step, done again in double ---- */

/* Rows one after another, without the trainer's passes. */
struct batch {
    int32_t tokens[MOST_ROWS * CONTEXT];
    uint8_t is_target[MOST_ROWS * CONTEXT];
    uint32_t starts[MOST_ROWS * CONTEXT + 1];
    struct tw_train_batch of;
};

static void fill_batch(struct batch *b, struct tw_packing *packing, uint64_t first, uint64_t n)
{
    struct tw_packed_row row;
    assert_true(n <= MOST_ROWS);
    assert_int_equal(tw_packed_row_init(&row, CONTEXT, NULL), TW_OK);
    b->of = (struct tw_train_batch){
        .tokens = b->tokens, .is_target = b->is_target, .documents = {.starts = b->starts}};
    b->starts[0] = 0;
    for (uint64_t i = 0; i < n; i++) {
        tw_packing_row(packing, first + i, &row);
        memcpy(b->tokens + b->of.n_tokens, row.tokens, row.n_tokens * sizeof *row.tokens);
        memcpy(b->is_target + b->of.n_tokens, row.is_target, row.n_tokens);
        for (uint32_t d = 1; d <= row.n_documents; d++) {
            b->starts[++b->of.documents.n_documents] =
                (uint32_t)b->of.n_tokens + row.document_starts[d];
        }
        b->of.n_tokens += row.n_tokens;
    }
    tw_packed_row_free(&row);
}

/* A run beside the trainer's: its own rows and gradients, moments in double. */
struct shadow {
    struct tw_packing *packing;
    struct tw_gradient *gradient;
    struct batch batch;
    size_t n_values;
    double *weights, *m, *v;
    float *gradients;
};

static struct shadow *shadow_open(const struct world *w)
{
    const struct tw_parameters *p = tw_trainer_parameters(w->trainer);
    struct shadow *s = tw_mem_zalloc(1, sizeof *s);
    assert_non_null(s);
    s->n_values = p->n_values;
    s->weights = tw_mem_zalloc(3 * p->n_values, sizeof *s->weights);
    s->gradients = tw_mem_zalloc(p->n_values, sizeof *s->gradients);
    assert_true(s->weights != NULL && s->gradients != NULL);
    s->m = s->weights + p->n_values;
    s->v = s->m + p->n_values;
    assert_int_equal(tw_packing_create(tw_trainer_data(w->trainer), CONTEXT, 3, &s->packing, NULL),
                     TW_OK);
    assert_int_equal(
        tw_gradient_create(w->device, p, MOST_ROWS * CONTEXT, TW_GEMM_F32, &s->gradient, NULL),
        TW_OK);
    return s;
}

static void shadow_close(struct shadow *s)
{
    tw_packing_free(s->packing);
    tw_gradient_free(s->gradient);
    tw_mem_free(s->weights);
    tw_mem_free(s->gradients);
    tw_mem_free(s);
}

/* The mean gradient of a step's rows; returns the mean loss. */
static double shadow_gradient(struct shadow *s, const struct world *w, uint32_t step)
{
    uint64_t n_rows = w->config->training.rows_per_step;
    fill_batch(&s->batch, s->packing, step * n_rows, n_rows);
    memset(s->gradients, 0, s->n_values * sizeof *s->gradients);
    struct tw_train_loss loss = tw_gradient_add(s->gradient, tw_trainer_state(w->trainer)->weights,
                                                &s->batch.of, 1, s->gradients);
    for (size_t i = 0; i < s->n_values; i++) {
        s->gradients[i] = s->gradients[i] / (float)loss.n_targets;
    }
    return loss.sum / (double)loss.n_targets;
}

static double norm_of(const struct shadow *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n_values; i++) {
        sum += (double)s->gradients[i] * (double)s->gradients[i];
    }
    return sqrt(sum);
}

/* AdamW as the paper has it, from the trainer's weights to the shadow's. */
static void shadow_step(struct shadow *s, const struct world *w, uint32_t step)
{
    const struct tw_train_run_config *r = &w->config->training;
    const struct tw_parameters *p = tw_trainer_parameters(w->trainer);
    const float *from = tw_trainer_state(w->trainer)->weights;
    double norm = norm_of(s), scale = r->clip > 0 && norm > r->clip ? r->clip / norm : 1;
    double rate = tw_train_learning_rate(r, step);
    for (size_t t = 0; t < tw_parameters_count(p); t++) {
        struct tw_parameter tensor = tw_parameters_tensor(p, t);
        double decay = tensor.is_vector ? 0 : r->weight_decay;
        for (size_t k = 0; k < tensor.n_rows * tensor.n_columns; k++) {
            size_t i = tensor.offset + k;
            double g = scale * (double)s->gradients[i];
            s->m[i] = r->beta1 * s->m[i] + (1 - r->beta1) * g;
            s->v[i] = r->beta2 * s->v[i] + (1 - r->beta2) * g * g;
            double m = s->m[i] / (1 - pow(r->beta1, step + 1));
            double v = s->v[i] / (1 - pow(r->beta2, step + 1));
            s->weights[i] =
                (double)from[i] - rate * (m / (sqrt(v) + r->epsilon) + decay * (double)from[i]);
        }
    }
}

/* Gradients so small that rounding decides their sign move a weight by up to the learning rate
 * either way, so that not all weights need be near. */
static void check_weights(const struct shadow *s, const struct world *w)
{
    const float *got = tw_trainer_state(w->trainer)->weights;
    size_t n_off = 0;
    for (size_t i = 0; i < s->n_values; i++) {
        n_off += !(fabs((double)got[i] - s->weights[i]) <= 2e-5);
    }
    if (n_off > s->n_values / 200) {
        fail_msg("%zu of %zu weights are off", n_off, s->n_values);
    }
}

static bool is_near(double x, double want)
{
    return fabs(x - want) <= 2e-5 * fabs(want);
}

/* The last norm of each run is given to whoever wants to know what was clipped. */
static double check_steps(double clip, unsigned rows_per_step)
{
    struct world w = {0};
    struct tw_trainer_report report;
    world_open(&w, clip, rows_per_step);
    struct shadow *s = shadow_open(&w);
    for (uint32_t step = 0; step < 5; step++) {
        double loss = shadow_gradient(s, &w, step);
        shadow_step(s, &w, step);
        assert_int_equal(tw_trainer_step(w.trainer, &report, NULL), TW_OK);
        assert_int_equal(report.point.step, step);
        assert_int_equal(report.n_tokens, s->batch.of.n_tokens);
        assert_true(is_near((double)report.point.loss, loss));
        assert_true(is_near((double)report.point.gradient_norm, norm_of(s)));
        check_weights(s, &w);
        bool is_measured = step % 2 == 1 || step == 4;
        assert_int_equal(!isnan(report.point.valid_loss), is_measured);
    }
    assert_true(tw_trainer_is_done(w.trainer));
    shadow_close(s);
    world_close(&w);
    return (double)report.point.gradient_norm;
}

static void a_step_is_adamw_on_the_mean_gradient_of_its_rows(void **state)
{
    (void)state;
    put_data("<|im_");
    check_steps(0, 3);
}

static void a_gradient_longer_than_clip_is_shortened_to_it(void **state)
{
    (void)state;
    put_data("<|im_");
    assert_true(check_steps(0.01, 3) > 0.01);
}

static void a_gradient_shorter_than_clip_is_taken_as_it_is(void **state)
{
    (void)state;
    put_data("<|im_");
    assert_true(check_steps(1000, 3) < 1000);
}

/* 4,480 tokens: more than go through a forward pass together. */
static void rows_of_several_passes_weigh_as_if_it_were_one(void **state)
{
    (void)state;
    put_data("<|im_");
    assert_true(MOST_ROWS * CONTEXT > TW_LIMIT_TRAIN_PASS_TOKENS);
    check_steps(0, MOST_ROWS);
}

static void validation_is_the_mean_loss_of_all_its_documents(void **state)
{
    (void)state;
    struct world w = {0};
    struct tw_trainer_report report;
    struct tw_packing_epoch epoch;
    put_data("<|im_");
    world_open(&w, 0, 3);
    struct shadow *s = shadow_open(&w);
    tw_packing_epoch(s->packing, 0, &epoch);
    for (int step = 0; step < 2; step++) {
        assert_int_equal(tw_trainer_step(w.trainer, &report, NULL), TW_OK);
    }
    fill_batch(&s->batch, s->packing, 0, epoch.n_rows);
    struct tw_train_loss loss =
        tw_gradient_add(s->gradient, tw_trainer_state(w.trainer)->weights, &s->batch.of, 1, NULL);
    assert_true(is_near((double)report.point.valid_loss, loss.sum / (double)loss.n_targets));
    shadow_close(s);
    world_close(&w);
}

/* ---- what cannot go on ---- */

static void a_loss_that_is_no_number_ends_the_run_and_changes_nothing(void **state)
{
    (void)state;
    struct world w = {0};
    struct tw_trainer_report report;
    struct tw_error error;
    put_data("<|im_");
    world_open(&w, 1, 3);
    struct tw_train_state broken = *tw_trainer_state(w.trainer);
    size_t n_bytes = broken.n_values * sizeof(float);
    float *weights = tw_mem_alloc(broken.n_values, sizeof *weights);
    assert_non_null(weights);
    memcpy(weights, broken.weights, n_bytes);
    weights[tw_trainer_parameters(w.trainer)->final_norm] = NAN;
    broken.weights = weights;
    assert_int_equal(tw_checkpoint_write("out/checkpoint.tw", &broken, NULL), TW_OK);
    world_close(&w);
    world_open(&w, 1, 3);
    assert_int_equal(tw_trainer_step(w.trainer, &report, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "the loss of step 0 is no number"));
    assert_int_equal(tw_trainer_state(w.trainer)->n_history, 0);
    assert_memory_equal(tw_trainer_state(w.trainer)->weights, weights, n_bytes);
    tw_mem_free(weights);
    world_close(&w);
}

/* As a run has it whose step went too far, or as a checkpoint of somebody else may have it. */
static void weights_that_are_no_numbers_are_neither_kept_nor_exported(void **state)
{
    (void)state;
    struct world w = {0};
    struct tw_error error;
    struct tw_buf before, after;
    put_data("<|im_");
    world_open(&w, 1, 3);
    struct tw_train_state *inside = (struct tw_train_state *)(uintptr_t)tw_trainer_state(w.trainer);
    assert_int_equal(tw_trainer_save(w.trainer, NULL), TW_OK);
    assert_int_equal(tw_file_read("out/checkpoint.tw", 1 << 24, &before, NULL), TW_OK);
    inside->weights[tw_trainer_parameters(w.trainer)->final_norm] = INFINITY;
    assert_int_equal(tw_trainer_save(w.trainer, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "a weight after step 0 is no number"));
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_ERR_FORMAT);
    assert_false(tw_file_exists("out/model.safetensors"));
    assert_int_equal(tw_file_read("out/checkpoint.tw", 1 << 24, &after, NULL), TW_OK);
    assert_int_equal(before.size_bytes, after.size_bytes);
    assert_memory_equal(before.data, after.data, before.size_bytes);
    tw_buf_free(&before);
    tw_buf_free(&after);
    world_close(&w);
}

static void the_memory_that_is_said_has_the_data_in_it(void **state)
{
    (void)state;
    struct world w = {0};
    put_data("<|im_");
    world_open(&w, 0, 3);
    const struct tw_parameters *p = tw_trainer_parameters(w.trainer);
    struct tw_trainer_info info = tw_trainer_info(w.trainer);
    uint64_t rest = 16 * p->n_values + tw_gradient_bytes(p, TW_LIMIT_TRAIN_PASS_TOKENS, 2);
    assert_int_equal(info.memory_bytes - rest, 2 * 4 * info.data.n_tokens);
    world_close(&w);
}

static void one_run_at_a_time_takes_steps_into_a_folder(void **state)
{
    (void)state;
    struct world w = {0}, other;
    struct tw_error error;
    put_data("<|im_");
    world_open(&w, 1, 3);
    other = w;
    assert_int_equal(trainer_open(&other, TW_TRAINER_STEPS, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "'out' is in use by another run"));
    assert_int_equal(trainer_open(&other, TW_TRAINER_EXPORT, &error), TW_OK);
    tw_trainer_close(other.trainer);
    assert_int_equal(trainer_open(&other, TW_TRAINER_STEPS, &error), TW_ERR_USAGE);
    tw_trainer_close(w.trainer);
    assert_int_equal(trainer_open(&w, TW_TRAINER_STEPS, &error), TW_OK);
    world_close(&w);
}

/* With a width of one, a token more is lost in the rounding of the array of weights. */
static void a_checkpoint_belongs_to_its_size_of_vocabulary(void **state)
{
    (void)state;
    static const char more[] = "\"added_tokens\":[{\"id\":275,\"content\":\"<more>\","
                               "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                               "\"normalized\":false,\"special\":true},";
    struct world w = {0};
    struct tw_error error;
    struct tw_buf old, new;
    embed = 1;
    put_data("<|im_");
    world_open(&w, 1, 3);
    size_t n_values = tw_trainer_parameters(w.trainer)->n_values;
    assert_int_equal(tw_trainer_info(w.trainer).n_vocab, 275);
    assert_int_equal(tw_trainer_save(w.trainer, NULL), TW_OK);
    tw_trainer_close(w.trainer);
    assert_int_equal(tw_file_read("tokenizer.json", 1 << 20, &old, NULL), TW_OK);
    tw_buf_init(&new, 1 << 20);
    assert_true(tw_buf_append(&old, "", 1));
    char *list = strstr(old.data, "\"added_tokens\":[");
    assert_non_null(list);
    tw_buf_append(&new, old.data, (size_t)(list - old.data));
    tw_buf_append_text(&new, more);
    tw_buf_append_text(&new, list + strlen("\"added_tokens\":["));
    put("tokenizer.json", new.data, new.size_bytes);
    assert_int_equal(trainer_open(&w, TW_TRAINER_STEPS, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "belongs to another recipe"));
    unlink("out/checkpoint.tw");
    assert_int_equal(trainer_open(&w, TW_TRAINER_STEPS, &error), TW_OK);
    assert_int_equal(tw_trainer_info(w.trainer).n_vocab, 276);
    assert_int_equal(tw_trainer_parameters(w.trainer)->n_values, n_values);
    world_close(&w);
    tw_buf_free(&old);
    tw_buf_free(&new);
    embed = 32;
}

static void open_again(struct world *w, const char *new_start, const char *new_out,
                       struct tw_error *error, enum tw_status wanted)
{
    struct tw_train_config *old = w->config;
    char *path = strdup(new_start), *folder_path = strdup(new_out);
    char *saved_start = old->training.start, *saved_folder = old->output.folder;
    old->training.start = path;
    old->output.folder = folder_path;
    assert_int_equal(trainer_open(w, TW_TRAINER_STEPS, error), wanted);
    old->training.start = saved_start;
    old->output.folder = saved_folder;
    free(path);
    free(folder_path);
}

static void a_run_can_start_from_what_another_made(void **state)
{
    (void)state;
    struct world w = {0}, next;
    struct tw_error error;
    put_data("<|im_");
    world_open(&w, 1, 3);
    size_t n_bytes = tw_trainer_parameters(w.trainer)->n_values * sizeof(float);
    float *weights = malloc(n_bytes);
    assert_non_null(weights);
    for (int i = 0; i < 3; i++) {
        struct tw_trainer_report step;
        assert_int_equal(tw_trainer_step(w.trainer, &step, NULL), TW_OK);
    }
    memcpy(weights, tw_trainer_state(w.trainer)->weights, n_bytes);
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_OK);
    next = w;
    open_again(&next, "out", "next", &error, TW_OK);
    assert_memory_equal(tw_trainer_state(next.trainer)->weights, weights, n_bytes);
    assert_int_equal(tw_trainer_state(next.trainer)->n_history, 0);
    assert_int_equal(tw_trainer_save(next.trainer, NULL), TW_OK);
    tw_trainer_close(next.trainer);
    /* Its checkpoint is not one of a run that starts elsewhere. */
    next.trainer = NULL;
    free(next.config->output.folder);
    next.config->output.folder = strdup("next");
    assert_int_equal(trainer_open(&next, TW_TRAINER_STEPS, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "belongs to another recipe"));
    open_again(&next, "next", "next", &error, TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "is the model that the run starts from"));
    free(weights);
    world_close(&w);
}

static void a_run_does_not_start_from_another_kind_of_model(void **state)
{
    (void)state;
    struct world w = {0};
    struct tw_error error;
    put_data("<|im_");
    embed = 48;
    world_open(&w, 1, 3);
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_OK);
    world_close(&w);
    embed = 32;
    out = "other";
    world_open(&w, 1, 3);
    tw_trainer_close(w.trainer);
    open_again(&w, "out", "next", &error, TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "its embed is 48 and the recipe's 32"));
    open_again(&w, "nowhere", "next", &error, TW_ERR_NOT_FOUND);
    w.trainer = NULL;
    world_close(&w);
    /* The same sizes, other tokens. */
    out = "third";
    put_data("<|xy_");
    world_open(&w, 1, 3);
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_OK);
    tw_trainer_close(w.trainer);
    put_data("<|im_");
    open_again(&w, "third", "next", &error, TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "of its vocabulary is another"));
    w.trainer = NULL;
    world_close(&w);
    out = "out";
}

/* ---- what a run leaves ---- */

static void assert_same_file(const char *path, const struct tw_buf *want)
{
    struct tw_buf got;
    assert_int_equal(tw_file_read(path, 1 << 20, &got, NULL), TW_OK);
    assert_int_equal(got.size_bytes, want->size_bytes);
    assert_memory_equal(got.data, want->data, got.size_bytes);
    tw_buf_free(&got);
}

static void what_happens_to_the_files_of_a_run_meanwhile_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer.json", "template.jinja", "data.jsonl"};
    struct world w = {0};
    struct tw_buf tokenizer, config;
    put_data("<|im_");
    world_open(&w, 1, 3);
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_OK);
    assert_int_equal(tw_file_read("out/tokenizer.json", 1 << 20, &tokenizer, NULL), TW_OK);
    assert_int_equal(tw_file_read("out/tokenizer_config.json", 1 << 20, &config, NULL), TW_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put(names[i], "{}", 2);
    }
    assert_int_equal(tw_trainer_export(w.trainer, NULL), TW_OK);
    assert_same_file("out/tokenizer.json", &tokenizer);
    assert_same_file("out/tokenizer_config.json", &config);
    tw_buf_free(&tokenizer);
    tw_buf_free(&config);
    world_close(&w);
}

static void check_ends(const char *prefix, const char *eos, json_int_t n_ends)
{
    struct world w = {0};
    struct tw_error error;
    json_t *config = NULL, *generation = NULL;
    put_data(prefix);
    world_open(&w, 1, 3);
    if (tw_trainer_export(w.trainer, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    world_close(&w);
    assert_int_equal(tw_json_load("out/tokenizer_config.json", 1 << 20, &config, NULL), TW_OK);
    assert_int_equal(tw_json_load("out/generation_config.json", 1 << 20, &generation, NULL), TW_OK);
    const json_t *ends = json_object_get(generation, "eos_token_id");
    assert_string_equal(json_string_value(json_object_get(config, "eos_token")), eos);
    assert_string_equal(json_string_value(json_object_get(config, "pad_token")), "<|endoftext|>");
    assert_string_equal(json_string_value(json_object_get(config, "chat_template")),
                        "{{ messages }}");
    assert_int_equal(json_array_size(ends), n_ends);
    json_decref(config);
    json_decref(generation);
}

static void the_folder_says_what_ends_an_answer_and_carries_the_template(void **state)
{
    (void)state;
    check_ends("<|im_", "<|im_end|>", 2);
}

static void a_vocabulary_without_markers_ends_with_what_ends_its_texts(void **state)
{
    (void)state;
    check_ends("<|xx_", "<|endoftext|>", 1);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_step_is_adamw_on_the_mean_gradient_of_its_rows),
        IN_FOLDER(a_gradient_longer_than_clip_is_shortened_to_it),
        IN_FOLDER(a_gradient_shorter_than_clip_is_taken_as_it_is),
        IN_FOLDER(rows_of_several_passes_weigh_as_if_it_were_one),
        IN_FOLDER(validation_is_the_mean_loss_of_all_its_documents),
        IN_FOLDER(a_loss_that_is_no_number_ends_the_run_and_changes_nothing),
        IN_FOLDER(weights_that_are_no_numbers_are_neither_kept_nor_exported),
        IN_FOLDER(the_memory_that_is_said_has_the_data_in_it),
        IN_FOLDER(one_run_at_a_time_takes_steps_into_a_folder),
        IN_FOLDER(a_checkpoint_belongs_to_its_size_of_vocabulary),
        IN_FOLDER(a_run_can_start_from_what_another_made),
        IN_FOLDER(a_run_does_not_start_from_another_kind_of_model),
        IN_FOLDER(what_happens_to_the_files_of_a_run_meanwhile_changes_nothing),
        IN_FOLDER(the_folder_says_what_ends_an_answer_and_carries_the_template),
        IN_FOLDER(a_vocabulary_without_markers_ends_with_what_ends_its_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
