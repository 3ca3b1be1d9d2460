/* Any bytes as a GGUF file: what opens lies inside the bytes, and its shape and its tokenizer are
 * either read or refused. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "model/arch.h"
#include "model/gguf.h"
#include "model/model.h"
#include "text/tokenizer.h"

static void check_values(const struct tw_gguf *gguf)
{
    for (size_t i = 0; i < tw_gguf_n_values(gguf); i++) {
        const struct tw_gguf_value *value = tw_gguf_value(gguf, i);
        struct tw_gguf_items items = tw_gguf_value_items(value);
        struct tw_bytes text;
        double number;
        while (tw_gguf_next_string(&items, &text)) {
            size_t at = (size_t)((const uint8_t *)text.data - value->data);
            assert(at <= value->size_bytes && text.size_bytes <= value->size_bytes - at);
        }
        while (tw_gguf_next_double(&items, &number)) {
        }
        assert(items.n_left == 0 || value->type == TW_GGUF_BOOL);
    }
}

static void check_tensors(const struct tw_model_files *files, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < tw_model_files_count(files); i++) {
        const struct tw_tensor_view *view = tw_model_files_tensor(files, i);
        size_t at = (size_t)((const uint8_t *)view->data - data);
        assert(at <= size && view->size_bytes <= size - at);
        assert(tw_model_files_find(files, view->name) == view);
        uint64_t n_rows = view->shape[1] * view->shape[2] * view->shape[3];
        assert(n_rows * tw_dtype_row_bytes(view->dtype, (size_t)view->shape[0]) ==
               view->size_bytes);
    }
}

/* What the forward pass takes for granted. */
static void check_shape(const struct tw_model_shape *shape)
{
    assert(shape->n_layers > 0 && shape->n_layers <= TW_LIMIT_MODEL_LAYERS);
    assert(shape->n_heads > 0 && shape->n_heads <= TW_LIMIT_MODEL_HEADS);
    assert(shape->n_kv_heads > 0 && shape->n_heads % shape->n_kv_heads == 0);
    assert(shape->head_dim > 0 && shape->head_dim % 2 == 0);
    assert(shape->head_dim <= TW_LIMIT_MODEL_HEAD_DIM && shape->rope.n_dims == shape->head_dim);
    assert(shape->n_embed <= TW_LIMIT_MODEL_EMBED && shape->n_ffn <= TW_LIMIT_MODEL_FFN);
    assert(shape->n_vocab > 0 && shape->n_vocab <= TW_LIMIT_VOCAB_TOKENS);
    assert(shape->n_experts <= TW_LIMIT_MODEL_EXPERTS);
    assert(shape->n_experts_used <= shape->n_experts);
    assert(shape->n_experts_used <= TW_LIMIT_MODEL_EXPERTS_USED);
    assert((shape->n_experts == 0) == (shape->n_experts_used == 0));
    assert((shape->n_experts == 0) == (shape->n_expert_ffn == 0));
    assert(shape->rms_eps > 0 && shape->rope.freq_base >= 1 && shape->rope.factor > 0);
}

static void use(const struct tw_model_files *files)
{
    struct tw_model_shape shape;
    struct tw_tokenizer *tokenizer = NULL;
    if (tw_model_read_shape(files, &shape, NULL) == TW_OK) {
        float factors[TW_LIMIT_MODEL_HEAD_DIM / 2];
        check_shape(&shape);
        tw_arch_check_tensors(files, &shape, NULL);
        tw_arch_rope_factors(files, &shape, factors, NULL);
    }
    if (tw_model_files_tokenizer(files, &tokenizer, NULL) == TW_OK) {
        struct tw_token_list list = {0};
        tw_tokenizer_encode(tokenizer, "a 1\n", 4, TW_ENCODE_BOS_EOS, &list, NULL);
        for (size_t i = 0; i < list.n_tokens; i++) {
            assert((size_t)list.ids[i] < tw_tokenizer_size(tokenizer));
        }
        tw_token_list_free(&list);
        tw_tokenizer_free(tokenizer);
    }
    tw_model_files_chat_template(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open_memory(data, size, "fuzz.gguf", &files, &error) != TW_OK) {
        assert(strlen(error.text) > 0 && error.status != TW_ERR_MEMORY);
        return 0;
    }
    check_values(tw_model_files_gguf(files));
    check_tensors(files, data, size);
    use(files);
    tw_model_files_close(files);
    return 0;
}
