#include "text/lines.h"

static bool is_blank(struct tw_bytes line)
{
    size_t i = 0;
    while (i < line.size_bytes &&
           (line.data[i] == ' ' || line.data[i] == '\t' || line.data[i] == '\r')) {
        i++;
    }
    return i == line.size_bytes;
}

bool tw_lines_next(struct tw_lines *lines, struct tw_bytes *ret_line)
{
    while (lines->at < lines->text.size_bytes) {
        const char *begin = lines->text.data + lines->at;
        size_t left = lines->text.size_bytes - lines->at;
        const char *newline = memchr(begin, '\n', left);
        size_t n = newline != NULL ? (size_t)(newline - begin) : left;
        lines->at += newline != NULL ? n + 1 : n;
        lines->number++;
        struct tw_bytes line = {begin, n};
        if (!is_blank(line)) {
            *ret_line = line;
            return true;
        }
    }
    return false;
}
