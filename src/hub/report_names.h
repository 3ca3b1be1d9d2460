/* report_names.h: the names in reports: holders by their numbers, with their paths.
 *
 *     acme / research / chat / ci         organisation, team, project, key
 *     acme / lea                          whose key it is, if it is somebody's
 *
 * All holders that ever were, open and closed, as the tables have them: the ledger names keys only,
 * and a key belongs to one project, team and organisation for ever.
 *
 * Ownership: its own until tw_report_names_free. Threads: it does not change once read.
 * Errors: those of db.h; TW_ERR_FORMAT for a holder without a place in the tree; TW_ERR_LIMIT
 * (TW_LIMIT_REPORT_BYTES).
 */
#ifndef TW_HUB_REPORT_NAMES_H
#define TW_HUB_REPORT_NAMES_H

#include <stdbool.h>

#include "base/arena.h"
#include "store/db.h"

/* In the order of the tree. */
enum tw_report_kind {
    TW_REPORT_ORG = 0,
    TW_REPORT_TEAM,
    TW_REPORT_PROJECT,
    TW_REPORT_KEY,
    TW_REPORT_KINDS
};

struct tw_report_user {
    int64_t id;
    const char *path; /* "acme/lea"; of one without an organisation "lea" */
};

struct tw_report_holder {
    int64_t id, parent_id;
    enum tw_report_kind kind;
    const char *name;
    const char *path;                  /* names from the top, divided by slashes */
    bool is_chosen;                    /* tw_report_names_choose */
    bool is_hidden;                    /* neither it nor anything below may be seen */
    const struct tw_report_user *user; /* of a key: whose it is; NULL: nobody's in particular */
    const struct tw_report_holder *above[TW_REPORT_KINDS]; /* itself too; NULL below it */
};

/* Who looks: what he may not see is not there. */
struct tw_report_viewer {
    bool (*may_see)(void *context, int64_t holder); /* NULL: he may see all */
    void *context;
};

struct tw_report_names {
    struct tw_arena arena;
    struct tw_report_holder *holders; /* [n], by id */
    size_t n;
    struct tw_report_user *users; /* [n_users], by id */
    size_t n_users;
};

enum tw_status tw_report_names_read(struct tw_db *db, struct tw_report_names *ret_names,
                                    struct tw_error *error);
/* All zero is allowed. */
void tw_report_names_free(struct tw_report_names *names);

/* NULL: there is none of that number. */
const struct tw_report_holder *tw_report_names_find(const struct tw_report_names *names,
                                                    int64_t id);
/* The same of a user. */
const struct tw_report_user *tw_report_names_find_user(const struct tw_report_names *names,
                                                       int64_t id);
/* Chooses the holders of a path ("acme/research"), closed ones with it, or the one of a number
 * ("#12"), and all below them that may be seen. NULL: all. TW_ERR_NOT_FOUND where there is none. */
enum tw_status tw_report_names_choose(struct tw_report_names *names, const char *path,
                                      const struct tw_report_viewer *viewer,
                                      struct tw_error *error);

#endif
