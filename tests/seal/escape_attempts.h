/* escape_attempts.h: ways out of a sealed process, for tests to try from inside.
 *
 * Each gives the error that it met, or 0 where it got out. None does harm when it does.
 */
#ifndef TW_TESTS_ESCAPE_ATTEMPTS_H
#define TW_TESTS_ESCAPE_ATTEMPTS_H

#include <stddef.h>

struct escape_attempt {
    const char *name;
    int (*run)(void);
};

/* Ends with a row without name. */
extern const struct escape_attempt escape_attempts[];

/* Those that end the process: calls of the x32 and of the i386 ABI. */
extern const struct escape_attempt fatal_attempts[];

/* The process whose memory an attempt tries to write; 0: the parent. */
extern int escape_victim;

#endif
