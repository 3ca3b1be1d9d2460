/* model_card.h: what is known of a model without its weights: enough to prepare requests for it.
 *
 *     tw_model_card_open (the files are read and closed again) -> ... -> tw_model_card_close
 *
 * It stays while the weights come and go, so that a request is read, checked and made into tokens
 * whether or not its model is in memory.
 * Ownership: everything is the card's. Threads: any, read-only once it is open.
 * Errors: those of model/tensors.h.
 */
#ifndef TW_BACKEND_MODEL_CARD_H
#define TW_BACKEND_MODEL_CARD_H

#include "model/model.h"
#include "text/token_trie.h"

struct tw_model_card {
    struct tw_model_shape shape;
    enum tw_pooling pooling;
    struct tw_tokenizer *tokenizer;
    struct tw_token_trie *trie;
    char *chat_template; /* "" where there is none */
    size_t template_bytes;
    uint64_t weight_bytes; /* of its tensors; in memory they take as much, give or take a little */
};

enum tw_status tw_model_card_open(const char *path, struct tw_model_card *ret_card,
                                  struct tw_error *error);
/* Of a card that is zeros: nothing. */
void tw_model_card_close(struct tw_model_card *card);

#endif
