#include "app/model_inspect.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/printable.h"
#include "model/arch.h"
#include "model/model.h"
#include "text/chat_format.h"

enum { EXAMPLE_CONTEXT = 4096, NAME_COLUMNS = 32 };

struct format_count {
    size_t n_tensors;
    uint64_t n_elements;
    uint64_t n_bytes;
};

struct report {
    const struct tw_model_inspect_wish *wish;
    struct tw_model_files *files;
    struct tw_tokenizer *tokenizer;
    struct tw_model_shape shape;
    struct tw_bytes name; /* general.name; may be empty */
    enum tw_chat_kind chat_kind;
    bool has_template;
    struct format_count formats[TW_DTYPE_COUNT];
    struct format_count total;
    uint64_t n_used_elements; /* parameters that a token goes through */
    uint64_t step_bytes;  /* of weights that each decoded token reads, as they lie in the file */
    uint64_t kv_bytes[2]; /* of one position: f16, q8_0 */
    struct tw_pack_options pack;
    const char *pack_path;       /* of packed weights that fit; NULL: none */
    struct tw_error pack_reason; /* why one that is there does not */
};

static uint64_t elements_of(const struct tw_tensor_view *tensor)
{
    uint64_t n = 1;
    for (int i = 0; i < TW_TENSOR_DIMS; i++) {
        n *= tensor->shape[i];
    }
    return n;
}

static void count_tensor(struct format_count *count, const struct tw_tensor_view *tensor)
{
    count->n_tensors++;
    count->n_elements += elements_of(tensor);
    count->n_bytes += tensor->size_bytes;
}

/* Of a tensor of experts: those that a token takes. */
static uint64_t used_share(const struct report *report, const struct tw_tensor_view *tensor,
                           uint64_t n)
{
    const struct tw_model_shape *shape = &report->shape;
    return tensor->shape[2] > 1 && shape->n_experts != 0
               ? n / shape->n_experts * shape->n_experts_used
               : n;
}

/* The embedding is a table of which a token reads one row, unless it is the output head, too. */
static void count_tensors(struct report *report)
{
    size_t n = tw_model_files_count(report->files);
    for (size_t i = 0; i < n; i++) {
        const struct tw_tensor_view *tensor = tw_model_files_tensor(report->files, i);
        count_tensor(&report->formats[tensor->dtype], tensor);
        count_tensor(&report->total, tensor);
        if (report->shape.tied_head || strcmp(tensor->name, "token_embd.weight") != 0) {
            report->step_bytes += used_share(report, tensor, tensor->size_bytes);
        }
        report->n_used_elements += used_share(report, tensor, elements_of(tensor));
    }
}

/* A GGUF file with llama3 scaling does not name its factor: it is the largest divisor of a
 * frequency. */
static enum tw_status find_llama3_factor(struct report *report, struct tw_error *error)
{
    float factors[TW_LIMIT_MODEL_HEAD_DIM / 2];
    struct tw_rope_shape *rope = &report->shape.rope;
    enum tw_status status = tw_arch_rope_factors(report->files, &report->shape, factors, error);
    for (uint32_t i = 0; i < rope->n_dims / 2 && status == TW_OK; i++) {
        rope->factor = fmax(rope->factor, (double)factors[i]);
    }
    return status;
}

/* Which file a start on this machine would map. */
static enum tw_status find_pack(struct report *report, struct tw_error *error)
{
    struct tw_device *device = NULL;
    enum tw_status status =
        tw_pack_args_options(&report->wish->pack, report->wish->path, &report->pack, error);
    if (status == TW_OK) {
        status = tw_device_cpu_create(1, TW_CPU_REF, &device, error);
    }
    if (status == TW_OK) {
        report->pack_path = tw_pack_options_find(&report->pack, report->files,
                                                 tw_device_form(device), &report->pack_reason);
        tw_device_free(device);
    }
    return status;
}

static enum tw_status collect(struct report *report, struct tw_error *error)
{
    enum tw_status status = tw_model_files_open(report->wish->path, &report->files, error);
    if (status == TW_OK) {
        status = tw_model_read_shape(report->files, &report->shape, error);
    }
    if (status == TW_OK && report->shape.rope.scaling == TW_ROPE_SCALING_LLAMA3) {
        status = find_llama3_factor(report, error);
    }
    if (status == TW_OK) {
        status = tw_model_files_tokenizer(report->files, &report->tokenizer, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_bytes chat_template = tw_model_files_chat_template(report->files);
    report->has_template = chat_template.size_bytes > 0;
    report->chat_kind = tw_chat_format_detect(report->tokenizer, chat_template).kind;
    tw_model_files_string(report->files, "general.name", &report->name);
    count_tensors(report);
    status = find_pack(report, error);
    static const enum tw_dtype kv_types[] = {TW_DTYPE_F16, TW_DTYPE_Q8_0};
    for (int i = 0; i < 2; i++) {
        report->kv_bytes[i] = tw_kv_page_bytes(&report->shape, kv_types[i]) / TW_KV_PAGE_TOKENS;
    }
    return status;
}

static const char *scaling_name(enum tw_rope_scaling scaling)
{
    switch (scaling) {
    case TW_ROPE_SCALING_NONE:
        return "none";
    case TW_ROPE_SCALING_LINEAR:
        return "linear";
    case TW_ROPE_SCALING_YARN:
        return "yarn";
    case TW_ROPE_SCALING_LLAMA3:
        return "llama3";
    }
    return "";
}

static const char *source_name(const struct report *report)
{
    return tw_model_files_source(report->files) == TW_MODEL_GGUF ? "GGUF" : "Hugging Face folder";
}

static const char *chat_name(const struct report *report)
{
    return report->has_template                 ? "the model's own template"
           : report->chat_kind != TW_CHAT_PLAIN ? tw_chat_kind_name(report->chat_kind)
                                                : "none";
}

/* ---- text ---- */

/* "1.29 GB" in powers of 1000, as disks and memory bandwidths are given. */
static void append_size(struct tw_buf *out, uint64_t n_bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)n_bytes;
    size_t unit = 0;
    while (value >= 1000.0 && unit < 6) {
        value /= 1000.0;
        unit++;
    }
    tw_buf_append_format(out, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
}

static void append_size_row(struct tw_buf *out, const char *label, uint64_t n_bytes)
{
    tw_buf_append_format(out, "%-22s", label);
    append_size(out, n_bytes);
    tw_buf_append_text(out, "\n");
}

/* Names come from the file: a newline in one must not begin a line of its own. */
static void append_printable(struct tw_buf *out, const char *text, size_t text_bytes)
{
    size_t at = out->size_bytes;
    if (tw_buf_append(out, text, text_bytes)) {
        tw_printable_clean(out->data + at, text_bytes);
    }
}

static void append_shape(struct tw_buf *out, const struct report *report)
{
    const struct tw_model_shape *shape = &report->shape;
    if (report->name.size_bytes > 0) {
        tw_buf_append_format(out, "%-22s", "name");
        append_printable(out, report->name.data,
                         report->name.size_bytes < 200 ? report->name.size_bytes : 200);
        tw_buf_append_text(out, "\n");
    }
    tw_buf_append_format(out, "%-22s%s, from a %s\n", "architecture", shape->arch,
                         source_name(report));
    tw_buf_append_format(out, "%-22s%u layers, width %u, feed-forward %u\n", "shape",
                         shape->n_layers, shape->n_embed,
                         shape->n_experts != 0 ? shape->n_expert_ffn : shape->n_ffn);
    if (shape->n_experts != 0) {
        tw_buf_append_format(
            out, "%-22s%u in a layer, of which a token takes %u; %" PRIu64 " parameters in use\n",
            "experts", shape->n_experts, shape->n_experts_used, report->n_used_elements);
    }
    tw_buf_append_format(out, "%-22s%u heads of %u, %u key-value heads%s%s\n", "attention",
                         shape->n_heads, shape->head_dim, shape->n_kv_heads,
                         shape->has_qkv_bias ? ", biases" : "",
                         shape->has_qk_norm ? ", normed queries and keys" : "");
    tw_buf_append_format(out, "%-22sbase %.10g, scaling %s", "rotary positions",
                         shape->rope.freq_base, scaling_name(shape->rope.scaling));
    if (shape->rope.scaling != TW_ROPE_SCALING_NONE) {
        tw_buf_append_format(out, " by %.10g", shape->rope.factor);
    }
    tw_buf_append_format(out, "\n%-22s%u tokens\n", "context", shape->n_context_tokens);
}

/* Some models have none. */
static void append_marker(struct tw_buf *out, const char *name, tw_token token, const char *more)
{
    if (token >= 0) {
        tw_buf_append_format(out, ", %s %d%s", name, token, more);
    } else {
        tw_buf_append_format(out, ", no %s%s", name, more);
    }
}

static void append_tokenizer(struct tw_buf *out, const struct report *report)
{
    const struct tw_tokenizer *tokenizer = report->tokenizer;
    tw_buf_append_format(out, "%-22s%zu tokens", "tokenizer", tw_tokenizer_size(tokenizer));
    append_marker(out, "begin", tw_tokenizer_bos(tokenizer),
                  tw_tokenizer_adds_bos(tokenizer) ? " (added)" : "");
    append_marker(out, "end", tw_tokenizer_eos(tokenizer), "\n");
    tw_buf_append_format(out, "%-22s%s\n", "chat format", chat_name(report));
}

static void append_formats(struct tw_buf *out, const struct report *report)
{
    tw_buf_append_format(out, "%-22s%" PRIu64 " parameters in %zu tensors, ", "weights",
                         report->total.n_elements, report->total.n_tensors);
    append_size(out, report->total.n_bytes);
    tw_buf_append_format(out, "%s\n", report->shape.tied_head ? ", output head tied" : "");
    for (int i = 0; i < TW_DTYPE_COUNT; i++) {
        const struct format_count *count = &report->formats[i];
        if (count->n_tensors == 0) {
            continue;
        }
        tw_buf_append_format(out, "  %-20s%zu tensors, %" PRIu64 " parameters, ",
                             tw_dtype_traits((enum tw_dtype)i)->name, count->n_tensors,
                             count->n_elements);
        append_size(out, count->n_bytes);
        tw_buf_append_format(out, " (%.0f%%)\n",
                             100.0 * (double)count->n_bytes / (double)report->total.n_bytes);
    }
}

static void append_pack(struct tw_buf *out, const struct report *report)
{
    const char *why = report->pack_reason.text;
    tw_buf_append_format(out, "%-22s", "packed weights");
    if (report->pack_path != NULL) {
        append_printable(out, report->pack_path, strlen(report->pack_path));
    } else {
        tw_buf_append_format(out, "%s%s", why[0] != '\0' ? "none that fit: " : "none yet", why);
    }
    tw_buf_append_text(out, "\n");
}

static void append_costs(struct tw_buf *out, const struct report *report)
{
    uint64_t n_context = report->shape.n_context_tokens;
    uint64_t n_example = n_context < EXAMPLE_CONTEXT ? n_context : EXAMPLE_CONTEXT;
    append_size_row(out, "weights a token reads", report->step_bytes);
    append_size_row(out, "KV a token, f16", report->kv_bytes[0]);
    append_size_row(out, "KV a token, q8_0", report->kv_bytes[1]);
    tw_buf_append_format(out, "%-22s", "memory needed");
    append_size(out, report->total.n_bytes + n_example * report->kv_bytes[0]);
    tw_buf_append_format(out, " with %" PRIu64 " tokens of context", n_example);
    if (n_example < n_context) {
        tw_buf_append_format(out, ", ");
        append_size(out, report->total.n_bytes + n_context * report->kv_bytes[0]);
        tw_buf_append_format(out, " with all %" PRIu64, n_context);
    }
    tw_buf_append_format(out, " (KV f16)");
}

static void append_tensors(struct tw_buf *out, const struct report *report)
{
    for (size_t i = 0; i < tw_model_files_count(report->files); i++) {
        const struct tw_tensor_view *tensor = tw_model_files_tensor(report->files, i);
        size_t n = strlen(tensor->name);
        tw_buf_append_text(out, "\n");
        append_printable(out, tensor->name, n);
        tw_buf_append_format(
            out, "%*s %-7s [%" PRIu64 ", %" PRIu64, n < NAME_COLUMNS ? (int)(NAME_COLUMNS - n) : 0,
            "", tw_dtype_traits(tensor->dtype)->name, tensor->shape[0], tensor->shape[1]);
        if (tensor->shape[2] > 1) {
            tw_buf_append_format(out, ", %" PRIu64, tensor->shape[2]);
        }
        tw_buf_append_format(out, "] %zu bytes", tensor->size_bytes);
    }
}

static void append_text_report(struct tw_buf *out, const struct report *report)
{
    append_shape(out, report);
    append_tokenizer(out, report);
    append_formats(out, report);
    append_pack(out, report);
    append_costs(out, report);
    if (report->wish->tensors) {
        append_tensors(out, report);
    }
}

/* ---- JSON ---- */

static void put_shape(struct tw_json_writer *writer, const struct tw_model_shape *shape)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"n_layers", shape->n_layers},         {"n_embed", shape->n_embed},
        {"n_heads", shape->n_heads},           {"n_kv_heads", shape->n_kv_heads},
        {"head_dim", shape->head_dim},         {"n_ffn", shape->n_ffn},
        {"n_vocab", shape->n_vocab},           {"n_context_tokens", shape->n_context_tokens},
        {"n_experts", shape->n_experts},       {"n_experts_used", shape->n_experts_used},
        {"n_expert_ffn", shape->n_expert_ffn},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        tw_json_put_uint(writer, numbers[i].key, numbers[i].value);
    }
    tw_json_put_bool(writer, "has_qkv_bias", shape->has_qkv_bias);
    tw_json_put_bool(writer, "has_qk_norm", shape->has_qk_norm);
    tw_json_put_bool(writer, "tied_head", shape->tied_head);
    tw_json_key(writer, "rope_freq_base");
    tw_json_double(writer, shape->rope.freq_base);
    tw_json_put_text(writer, "rope_scaling", scaling_name(shape->rope.scaling));
    tw_json_key(writer, "rope_factor");
    tw_json_double(writer, shape->rope.factor);
}

static void put_formats(struct tw_json_writer *writer, const struct report *report)
{
    tw_json_key(writer, "formats");
    tw_json_object_begin(writer);
    for (int i = 0; i < TW_DTYPE_COUNT; i++) {
        const struct format_count *count = &report->formats[i];
        if (count->n_tensors != 0) {
            tw_json_key(writer, tw_dtype_traits((enum tw_dtype)i)->name);
            tw_json_object_begin(writer);
            tw_json_put_uint(writer, "n_tensors", count->n_tensors);
            tw_json_put_uint(writer, "n_parameters", count->n_elements);
            tw_json_put_uint(writer, "n_bytes", count->n_bytes);
            tw_json_object_end(writer);
        }
    }
    tw_json_object_end(writer);
}

static void put_tokenizer(struct tw_json_writer *writer, const struct report *report)
{
    const struct tw_tokenizer *tokenizer = report->tokenizer;
    tw_json_key(writer, "tokenizer");
    tw_json_object_begin(writer);
    tw_json_put_uint(writer, "n_tokens", tw_tokenizer_size(tokenizer));
    tw_json_key(writer, "begin");
    tw_json_int(writer, tw_tokenizer_bos(tokenizer));
    tw_json_key(writer, "end");
    tw_json_int(writer, tw_tokenizer_eos(tokenizer));
    tw_json_put_bool(writer, "adds_begin", tw_tokenizer_adds_bos(tokenizer));
    tw_json_object_end(writer);
    tw_json_put_text(writer, "chat_format", chat_name(report));
}

static void put_tensors(struct tw_json_writer *writer, const struct report *report)
{
    size_t n = tw_model_files_count(report->files);
    tw_json_key(writer, "tensors");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < n; i++) {
        const struct tw_tensor_view *tensor = tw_model_files_tensor(report->files, i);
        tw_json_object_begin(writer);
        tw_json_put_text(writer, "name", tensor->name);
        tw_json_put_text(writer, "type", tw_dtype_traits(tensor->dtype)->name);
        tw_json_key(writer, "shape");
        tw_json_array_begin(writer);
        tw_json_uint(writer, tensor->shape[0]);
        tw_json_uint(writer, tensor->shape[1]);
        if (tensor->shape[2] > 1) {
            tw_json_uint(writer, tensor->shape[2]);
        }
        tw_json_array_end(writer);
        tw_json_put_uint(writer, "n_bytes", tensor->size_bytes);
        tw_json_object_end(writer);
    }
    tw_json_array_end(writer);
}

static void append_json_report(struct tw_buf *out, const struct report *report)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "name");
    tw_json_string(&writer, report->name.data, report->name.size_bytes);
    tw_json_put_text(&writer, "architecture", report->shape.arch);
    tw_json_put_text(&writer, "source", source_name(report));
    put_shape(&writer, &report->shape);
    put_tokenizer(&writer, report);
    tw_json_put_uint(&writer, "n_parameters", report->total.n_elements);
    tw_json_put_uint(&writer, "n_parameters_a_token", report->n_used_elements);
    tw_json_put_uint(&writer, "n_tensors", report->total.n_tensors);
    tw_json_put_uint(&writer, "weight_bytes", report->total.n_bytes);
    put_formats(&writer, report);
    tw_json_put_uint(&writer, "weight_bytes_a_token", report->step_bytes);
    tw_json_put_uint(&writer, "kv_bytes_a_token_f16", report->kv_bytes[0]);
    tw_json_put_uint(&writer, "kv_bytes_a_token_q8_0", report->kv_bytes[1]);
    tw_json_key(&writer, "packed_weights");
    if (report->pack_path != NULL) {
        tw_json_string(&writer, report->pack_path, strlen(report->pack_path));
    } else {
        tw_json_null(&writer);
    }
    if (report->wish->tensors) {
        put_tensors(&writer, report);
    }
    tw_json_object_end(&writer);
}

enum tw_status tw_model_inspect(const struct tw_model_inspect_wish *wish, struct tw_buf *out,
                                struct tw_error *error)
{
    struct report report = {.wish = wish};
    enum tw_status status = collect(&report, error);
    if (status == TW_OK && wish->json) {
        append_json_report(out, &report);
    } else if (status == TW_OK) {
        append_text_report(out, &report);
    }
    tw_pack_options_free(&report.pack);
    if (report.tokenizer != NULL) {
        tw_tokenizer_free(report.tokenizer);
    }
    if (report.files != NULL) {
        tw_model_files_close(report.files);
    }
    return status;
}
