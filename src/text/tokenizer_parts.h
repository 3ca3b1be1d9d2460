/* tokenizer_parts.h: what a tokenizer is made of, for the files that make it and encode with it.
 *
 * Nothing in it changes after creation but `wholeness`, a cache whose entries any thread may fill
 * with the one value they can have, and the set of end tokens (see tokenizer.h).
 */
#ifndef TW_TEXT_TOKENIZER_PARTS_H
#define TW_TEXT_TOKENIZER_PARTS_H

#include "text/added.h"
#include "text/merges.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

/* Whether a word that is a token comes out of merging as just that token: found out the first time
 * it is met. Threads may find it out twice, and find the same. */
enum tw_wholeness { TW_WHOLE_UNKNOWN = 0, TW_WHOLE_YES, TW_WHOLE_NO };

struct tw_tokenizer {
    struct tw_vocab vocab;
    struct tw_merges merges;
    uint8_t *wholeness;                   /* [n_tokens] enum tw_wholeness, by atomic access only */
    struct tw_added_set added;            /* looked for in the raw text */
    struct tw_added_set added_normalised; /* looked for in the normalised text */
    struct tw_normalise_step normalise[TW_LIMIT_TOKENIZER_STEPS];
    size_t n_normalise;
    struct tw_pretokenize_step cuts[TW_LIMIT_TOKENIZER_STEPS];
    struct tw_pattern *patterns[TW_LIMIT_TOKENIZER_STEPS]; /* of the cuts; NULL where none */
    size_t n_cuts;
    struct tw_arena arena; /* texts of steps and added tokens */
    tw_token bos, eos, unknown;
    bool add_bos, add_eos, add_space_prefix, ignore_merges, fuse_unknown;
    tw_token ends[TW_LIMIT_END_TOKENS];
    size_t n_ends;
};

#endif
