/* suggest.h: the word that somebody meant who wrote another one.
 *
 * By the letters to change (Levenshtein's distance), few for short words; a word that begins with
 * what was written is a likely one, too. Threads: any. Errors: none.
 */
#ifndef TW_BASE_SUGGEST_H
#define TW_BASE_SUGGEST_H

/* The candidate most like word, or NULL when none is like it. candidates ends with NULL. */
const char *tw_suggest_word(const char *word, const char *const *candidates);

#endif
