/* lines.h: the lines of a text in which something stands, such as the rows of a JSONL file.
 *
 *     struct tw_lines lines = {.text = text};
 *     for (struct tw_bytes line; tw_lines_next(&lines, &line);) ...
 *
 * A line ends with a newline or with the text, and is given without it. Lines of spaces, tabs and
 * carriage returns alone are passed over, and counted.
 *
 * Ownership: lines point into the text. Threads: one for each walk. Errors: none.
 */
#ifndef TW_TEXT_LINES_H
#define TW_TEXT_LINES_H

#include "text/bytes.h"

struct tw_lines {
    struct tw_bytes text;
    size_t at;       /* where the next line begins, or the end of the text */
    uint64_t number; /* of the line given last, from 1 */
};

/* False when there are no more; ret_line is then as it was. */
bool tw_lines_next(struct tw_lines *lines, struct tw_bytes *ret_line);

#endif
