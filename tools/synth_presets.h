/* synth_presets.h: the shapes that synth_model can write.
 *
 * The big ones are those of published models. The small ones exist to run every branch of the
 * forward pass in a second: ratios of query to key heads of 1, 2, 4 and 7, head sizes 8, 64 and
 * 128, rows that 256 does not divide, tied and untied heads, each kind of rope scaling. One has a
 * whole vocabulary and a long context above hardly any layers, for clients that send a lot.
 *
 * Threads: any. Nothing here allocates.
 */
#ifndef TW_TOOLS_SYNTH_PRESETS_H
#define TW_TOOLS_SYNTH_PRESETS_H

#include "model/shape.h"

enum synth_words {
    SYNTH_WORDS_QWEN,   /* byte-level BPE, ChatML specials */
    SYNTH_WORDS_LLAMA3, /* byte-level BPE, Llama 3 specials */
    SYNTH_WORDS_SPM     /* SentencePiece with byte fallback */
};

struct synth_preset {
    const char *name;
    enum synth_words words;
    struct tw_model_shape shape;
    /* Standard deviation of an ordinary channel of the embedding. Small presets keep it near
     * sqrt(rms_eps), so that a wrong epsilon shows in the logits. */
    double residual_scale;
};

/* NULL for a name we do not have. */
const struct synth_preset *synth_preset_find(const char *name);

/* The i-th preset, NULL behind the last. */
const struct synth_preset *synth_preset_at(int i);

#endif
