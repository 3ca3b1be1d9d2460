/* seal_files.h: what this process has open, before it is sealed.
 *
 * A filter keeps new connections out; those that are there already it cannot see. So all are looked
 * at: by asking each descriptor, never by what a name says, but for kinds that have nothing else.
 *
 * Threads: descriptors that others open meanwhile may be missed. Errors: TW_ERR_USAGE for one that
 * may not be there, TW_ERR_IO, TW_ERR_LIMIT.
 */
#ifndef TW_SEAL_SEAL_FILES_H
#define TW_SEAL_SEAL_FILES_H

#include "base/status.h"
#include "seal/reach.h"

struct tw_seal_files {
    int numbers[TW_LIMIT_SEAL_FILES];
    size_t n_numbers;
};

enum tw_status tw_seal_files_list(struct tw_seal_files *ret_files, struct tw_error *error);

/* What a descriptor is, as the system shows it: "socket:[1234]", "/dev/null". */
void tw_seal_files_name(int fd, char ret_text[TW_REACH_TEXT_BYTES]);

/* Whether standard input, output and error are no sockets of a network. */
enum tw_status tw_seal_files_check_standard(struct tw_error *error);

/* Whether a sealed process may keep what is open: files, pipes and what waits; sockets that listen;
 * pairs of this process; connections to an address of reach (NULL: none); and the two that are kept
 * (-1: none). */
enum tw_status tw_seal_files_check(const struct tw_reach_list *reach, int kept_fd,
                                   int other_kept_fd, struct tw_error *error);

#endif
