#include "backend/model_card.h"

#include "base/mem.h"
#include "model/arch.h"

static enum tw_status read_card(const struct tw_model_files *files, struct tw_model_card *card,
                                struct tw_error *error)
{
    enum tw_status status = tw_model_read_shape(files, &card->shape, error);
    if (status == TW_OK) {
        status = tw_arch_check_tensors(files, &card->shape, error);
    }
    if (status == TW_OK) {
        status = tw_model_files_pooling(files, &card->pooling, error);
    }
    if (status == TW_OK) {
        status = tw_model_files_tokenizer(files, &card->tokenizer, error);
    }
    if (status == TW_OK) {
        status = tw_token_trie_create(card->tokenizer, card->shape.n_vocab, &card->trie, error);
    }
    for (size_t i = 0; status == TW_OK && i < tw_model_files_count(files); i++) {
        card->weight_bytes += tw_model_files_tensor(files, i)->size_bytes;
    }
    if (status == TW_OK) {
        const struct tw_bytes source = tw_model_files_chat_template(files);
        card->chat_template = tw_mem_strndup(source.size_bytes > 0 ? (const char *)source.data : "",
                                             source.size_bytes);
        card->template_bytes = source.size_bytes;
        if (card->chat_template == NULL) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a template");
        }
    }
    return status;
}

enum tw_status tw_model_card_open(const char *path, struct tw_model_card *ret_card,
                                  struct tw_error *error)
{
    struct tw_model_files *files;
    struct tw_model_card card = {.weight_bytes = 0};
    enum tw_status status = tw_model_files_open(path, &files, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_card(files, &card, error);
    tw_model_files_close(files);
    if (status != TW_OK) {
        tw_model_card_close(&card);
        return status;
    }
    *ret_card = card;
    return TW_OK;
}

void tw_model_card_close(struct tw_model_card *card)
{
    tw_token_trie_free(card->trie);
    tw_tokenizer_free(card->tokenizer);
    tw_mem_free(card->chat_template);
    *card = (struct tw_model_card){.weight_bytes = 0};
}
