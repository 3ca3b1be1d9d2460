#include "hub/hub_schema.h"

#include "hub/audit_log.h"

/* clang-format off */
static const char *const STEPS[] = {
    "CREATE TABLE books ("
    " id %I PRIMARY KEY CHECK (id = 1),"
    " log TEXT NOT NULL,"           /* of the audit records: random, hexadecimal */
    " currency TEXT NOT NULL,"
    " created_ns %I NOT NULL,"
    " last_ns %I NOT NULL,"
    " next_id %I NOT NULL,"         /* of holders, persons, prices, budgets, accounts, files */
    " next_entry %I NOT NULL,"
    " next_request %I NOT NULL,"
    " writer %I NOT NULL) %S;"

    "CREATE TABLE person ("
    " id %I PRIMARY KEY,"
    " org %I NOT NULL,"             /* holder.id; 0: of the whole installation */
    " name TEXT NOT NULL,"
    " created_ns %I NOT NULL,"
    " closed_ns %I) %S;"

    "CREATE TABLE person_role ("
    " person %I NOT NULL REFERENCES person(id),"
    " role TEXT NOT NULL,"
    " scope %I NOT NULL,"           /* holder.id; 0: everything */
    " PRIMARY KEY (person, role, scope)) %S;"

    "CREATE TABLE holder ("
    " id %I PRIMARY KEY,"
    " kind TEXT NOT NULL CHECK (kind IN ('org', 'team', 'project', 'key')),"
    " parent %I NOT NULL,"          /* 0 of an organisation */
    " name TEXT NOT NULL,"
    " created_ns %I NOT NULL,"
    " closed_ns %I,"                /* of a key: revoked */
    " weight %I NOT NULL DEFAULT 1,"
    " class TEXT NOT NULL DEFAULT 'normal',"
    " models TEXT,"                 /* names, a line each; NULL: all */
    " max_context_tokens %I NOT NULL DEFAULT 0,"
    " default_answer_tokens %I NOT NULL DEFAULT 0,"
    " requests_per_minute %I NOT NULL DEFAULT 0,"
    " tokens_per_minute %I NOT NULL DEFAULT 0,"
    " concurrent_requests %I NOT NULL DEFAULT 0,"
    " may_use_special %I NOT NULL DEFAULT 0) %S;"
    "CREATE INDEX holder_parent ON holder(parent);"

    "CREATE TABLE secret ("         /* a key being rotated has several */
    " id %I PRIMARY KEY,"
    " holder %I NOT NULL,"          /* holder.id of a key; 0: a person's */
    " person %I NOT NULL,"          /* person.id; 0: nobody's in particular */
    " shown TEXT NOT NULL,"         /* the beginning, by which people know it */
    " hash %B NOT NULL UNIQUE,"
    " created_ns %I NOT NULL,"
    " expires_ns %I,"
    " revoked_ns %I) %S;"

    "CREATE TABLE price ("
    " id %I PRIMARY KEY,"
    " project %I NOT NULL,"         /* holder.id; 0: everybody */
    " model TEXT NOT NULL,"         /* or '*' */
    " class TEXT NOT NULL,"
    " input_nano %I NOT NULL,"      /* a million tokens */
    " cached_nano %I NOT NULL,"
    " output_nano %I NOT NULL,"
    " valid_from_ns %I NOT NULL,"
    " created_ns %I NOT NULL) %S;"

    "CREATE TABLE budget ("
    " id %I PRIMARY KEY,"
    " holder %I NOT NULL REFERENCES holder(id),"
    " name TEXT NOT NULL,"
    " unit TEXT NOT NULL CHECK (unit IN ('money', 'tokens')),"
    " limit_value %I NOT NULL,"     /* nano-units or tokens */
    " is_hard %I NOT NULL,"
    " period TEXT NOT NULL,"
    " zone TEXT NOT NULL,"
    " rolls_over %I NOT NULL,"
    " since_entry %I NOT NULL,"     /* the first that counts */
    " until_entry %I,"              /* the first that does not; NULL: open */
    " created_ns %I NOT NULL) %S;"
    "CREATE INDEX budget_holder ON budget(holder);"

    "CREATE TABLE budget_window ("
    " budget %I NOT NULL REFERENCES budget(id),"
    " starts_s %I NOT NULL,"
    " ends_s %I NOT NULL,"
    " carried %I NOT NULL,"
    " spent %I NOT NULL,"
    " reserved %I NOT NULL,"
    " was_crossed %I NOT NULL DEFAULT 0," /* a soft limit: once said */
    " PRIMARY KEY (budget, starts_s)) %S;"

    "CREATE TABLE account ("
    " id %I PRIMARY KEY,"
    " kind TEXT NOT NULL CHECK (kind IN ('held', 'usage', 'obligations', 'revenue')),"
    " project %I NOT NULL,"         /* holder.id; 0 of obligations and revenue */
    " debit_nano %I NOT NULL,"
    " credit_nano %I NOT NULL,"
    " debit_tokens %I NOT NULL,"
    " credit_tokens %I NOT NULL,"
    " UNIQUE (kind, project)) %S;"

    "CREATE TABLE entry ("
    " id %I PRIMARY KEY,"
    " at_ns %I NOT NULL,"
    " kind TEXT NOT NULL CHECK (kind IN ('reserve', 'release', 'settle')),"
    " request %I NOT NULL,"
    " debit %I NOT NULL,"
    " credit %I NOT NULL,"
    " amount_nano %I NOT NULL CHECK (amount_nano >= 0),"
    " tokens %I NOT NULL CHECK (tokens >= 0),"
    " api_key %I NOT NULL,"         /* holder.id */
    " reserve_entry %I NOT NULL,"   /* its own, or that of what it ends */
    " reserved_ns %I NOT NULL,"
    " model TEXT NOT NULL,"
    " class TEXT NOT NULL,"
    " price %I NOT NULL,"           /* version; 0: none, free */
    " input_tokens %I NOT NULL,"    /* of these, without the cached */
    " cached_tokens %I NOT NULL,"
    " output_tokens %I NOT NULL) %S;"
    "CREATE INDEX entry_at ON entry(at_ns);"

    "CREATE TABLE reservation ("
    " request %I PRIMARY KEY,"
    " entry %I NOT NULL,"
    " api_key %I NOT NULL,"
    " model TEXT NOT NULL,"
    " class TEXT NOT NULL,"
    " price %I NOT NULL,"
    " prompt_tokens %I NOT NULL,"
    " output_tokens %I NOT NULL,"   /* of all answers together, at most */
    " amount_nano %I NOT NULL,"
    " reserved_ns %I NOT NULL,"
    " watermark_tokens %I NOT NULL,"
    " hub %I NOT NULL,"             /* books.writer of whoever has it */
    " client_id TEXT NOT NULL) %S;", /* what the client knows it by */

    TW_AUDIT_LOG_TABLES,

    "CREATE TABLE hub_process ("    /* who may have open reservations */
    " id %I PRIMARY KEY,"           /* reservation.hub */
    " seen_ns %I NOT NULL) %S;",    /* when it wrote last; 0: it left */

    "ALTER TABLE holder ADD COLUMN stores_content %I NOT NULL DEFAULT 0;"
    "ALTER TABLE holder ADD COLUMN keep_content_ns %I NOT NULL DEFAULT 0;" /* 0: no end */

    "CREATE TABLE content ("        /* what was asked and answered, where a project stores it */
    " request %I PRIMARY KEY,"      /* entry.request */
    " client_id TEXT NOT NULL,"
    " org %I NOT NULL,"
    " team %I NOT NULL,"
    " project %I NOT NULL,"
    " erasures %I NOT NULL,"        /* there were so many when its key was made */
    " at_ns %I NOT NULL,"
    " ended_ns %I,"                 /* NULL: it is there */
    " ended TEXT,"                  /* erased, expired */
    " subject %B,"                  /* of subject_keys.h; NULL behind its end, as is the next */
    " sealed %B) %S;"
    "CREATE INDEX content_client ON content(client_id);"
    "CREATE INDEX content_subject ON content(subject) WHERE ended_ns IS NULL;"
    "CREATE INDEX content_age ON content(project, at_ns) WHERE ended_ns IS NULL;"

    "CREATE TABLE erasure ("
    " number %I PRIMARY KEY,"       /* from 1 */
    " subject %B NOT NULL,"
    " scope %I NOT NULL,"           /* holder.id; 0: everything */
    " at_ns %I NOT NULL,"
    " is_done %I NOT NULL) %S;"     /* no content of it is left in rows */

    "CREATE TABLE legal_hold ("
    " id %I PRIMARY KEY,"
    " subject %B NOT NULL,"
    " scope %I NOT NULL,"
    " reason TEXT NOT NULL,"
    " since_ns %I NOT NULL,"
    " released_ns %I) %S;"
    "CREATE INDEX legal_hold_subject ON legal_hold(subject);",

    "ALTER TABLE books ADD COLUMN next_change %I NOT NULL DEFAULT 1;"
    "CREATE TABLE directory_change (" /* what memory has to read again */
    " number %I PRIMARY KEY,"       /* from 1; old ones are gone */
    " item %I NOT NULL,"            /* enum tw_directory_item */
    " id %I NOT NULL) %S;",         /* of its row */

    "ALTER TABLE books ADD COLUMN n_dead %I NOT NULL DEFAULT 0;" /* times that a hub lost requests */
    "CREATE TABLE rate ("           /* of who has such limits; as rate_limit.h counts */
    " holder %I PRIMARY KEY,"
    " requests_level %I NOT NULL,"
    " requests_at_ns %I NOT NULL,"
    " tokens_level %I NOT NULL,"
    " tokens_at_ns %I NOT NULL,"
    " running %I NOT NULL) %S;",    /* -1: to be counted again */

    "CREATE TABLE batch_file ("     /* requests, or what came of them */
    " id %I PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE,"   /* what clients know it by: random */
    " project %I NOT NULL,"
    " purpose TEXT NOT NULL,"
    " filename TEXT NOT NULL,"
    " n_bytes %I NOT NULL,"
    " n_lines %I NOT NULL,"
    " created_ns %I NOT NULL,"
    " expires_ns %I NOT NULL,"
    " is_ready %I NOT NULL,"        /* all of it is there */
    " ended_ns %I) %S;"             /* nobody sees it any more, and its lines go */
    "CREATE INDEX batch_file_project ON batch_file(project, id);"

    "CREATE TABLE batch_line ("
    " file %I NOT NULL,"
    " line %I NOT NULL,"            /* from 1; of a result that of its request */
    " project %I NOT NULL,"
    " subject %B NOT NULL,"         /* of subject_keys.h: with whose key it is sealed */
    " sealed %B NOT NULL,"
    " PRIMARY KEY (file, line)) %S;"

    "CREATE TABLE batch ("
    " id %I PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE,"
    " project %I NOT NULL,"
    " api_key %I NOT NULL,"
    " status TEXT NOT NULL,"
    " endpoint TEXT NOT NULL,"
    " data_class TEXT NOT NULL,"
    " input %I NOT NULL,"           /* batch_file.id, as the next two */
    " output %I NOT NULL,"
    " errors %I NOT NULL,"
    " metadata TEXT NOT NULL,"
    " faults TEXT NOT NULL,"
    " created_ns %I NOT NULL,"
    " expires_ns %I NOT NULL,"
    " started_ns %I NOT NULL,"      /* 0: not yet, as the next three */
    " finalizing_ns %I NOT NULL,"
    " ended_ns %I NOT NULL,"
    " cancelling_ns %I NOT NULL,"
    " n_total %I NOT NULL,"
    " n_completed %I NOT NULL,"
    " n_failed %I NOT NULL,"
    " prompt_tokens %I NOT NULL,"
    " cached_tokens %I NOT NULL,"
    " answer_tokens %I NOT NULL,"
    " output_bytes %I NOT NULL,"
    " error_bytes %I NOT NULL,"
    " hub %I NOT NULL) %S;"         /* books.writer of whoever works on it; 0: nobody */
    "CREATE INDEX batch_project ON batch(project, id);"
    "CREATE INDEX batch_open ON batch(id) WHERE ended_ns = 0;",

    "CREATE TABLE approved ("       /* of approval.h: what is in force */
    " name TEXT PRIMARY KEY,"       /* two-people, policy, models */
    " value TEXT NOT NULL,"         /* 1 or 0; digests, hexadecimal */
    " at_ns %I NOT NULL) %S;"
    "CREATE TABLE proposal ("
    " id %I PRIMARY KEY,"
    " command TEXT NOT NULL,"       /* JSON, as it will be done */
    " digest TEXT NOT NULL,"        /* of that */
    " person %I NOT NULL REFERENCES person(id),"
    " at_ns %I NOT NULL,"
    " expires_ns %I NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected')),"
    " decided_by %I,"               /* person.id; 0: whoever has the machine */
    " decided_ns %I) %S;",

    /* Files and batches have numbers of books.next_id, which no other one ever had. */
    "UPDATE books SET next_id = 1 + (SELECT MAX(n.id) FROM (SELECT next_id - 1 AS id FROM books"
    " UNION ALL SELECT id FROM batch_file UNION ALL SELECT id FROM batch"
    " UNION ALL SELECT input FROM batch UNION ALL SELECT output FROM batch"
    " UNION ALL SELECT errors FROM batch) n);"
    "ALTER TABLE batch_file ADD COLUMN data_class TEXT NOT NULL DEFAULT '';" /* its client's; '' */
    "ALTER TABLE batch ADD COLUMN amount_nano %I NOT NULL DEFAULT 0;",       /* what was paid */
};
/* clang-format on */

enum tw_status tw_hub_schema_migrate(struct tw_db *db, struct tw_error *error)
{
    return tw_db_migrate(db, STEPS, sizeof STEPS / sizeof *STEPS, error);
}
