/* tiny_tokenizer.h: tokenizer.json files of both families, small enough to read.
 *
 * BPE: the 256 byte-level characters, then "he" "ll" "llo" "hello" "Ġhello" "12", then the added
 * tokens <|endoftext|> <|im_start|> <|im_end|> (special) and <tool> (not). SPM: <unk> <s> </s>, 256
 * bytes, mark and letters, then the merged "he" "ll" "llo" "hello" and "▁hello".
 */
#ifndef TW_TEST_TINY_TOKENIZER_H
#define TW_TEST_TINY_TOKENIZER_H

#include "base/json.h"

enum { TINY_BPE_TOKENS = 266, TINY_SPM_TOKENS = 270 };

/* pre_tokenizer: JSON text, or NULL for that of Qwen2. The caller frees what these return. */
json_t *tiny_bpe_json(const char *pre_tokenizer);
json_t *tiny_spm_json(void);

/* Into folder/tokenizer.json; takes the value over. */
void tiny_write_tokenizer(const char *folder, json_t *tokenizer);

#endif
