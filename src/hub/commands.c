#include "hub/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "hub/approval.h"
#include "hub/change.h"
#include "hub/report.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define MOST_WORDS    32

static const char *const CLASSES[] = {"normal", "high", "idle", NULL};
static const char *const ROLES[] = {"owner", "finance", "auditor", "operator", "member", NULL};
static const char *const UNITS[] = {"money", "tokens", NULL};
static const char *const PERIODS[] = {"day", "week", "month", "total", NULL};
static const char *const PRICE_CLASSES[] = {"standard", "batch", NULL};

/* ---- fields that several commands have ---- */

#define PATH_OF(n, words, sentence)                                                                \
    {                                                                                              \
        .name = "path", .kind = TW_FIELD_PATH, .is_word = true, .is_required = true,               \
        .value = words, .help = sentence, .least = n, .most = n                                    \
    }
#define BELOW(sentence)                                                                            \
    {                                                                                              \
        .name = "path", .kind = TW_FIELD_PATH, .is_word = true, .value = "PATH", .help = sentence, \
        .least = 1, .most = 4                                                                      \
    }
#define CLOSED_TOO                                                                                 \
    {                                                                                              \
        .name = "all", .kind = TW_FIELD_FLAG, .help = "Show what was closed as well."              \
    }
#define PAGE                                                                                       \
    {.name = "after",                                                                              \
     .kind = TW_FIELD_INTEGER,                                                                     \
     .value = "NUMBER",                                                                            \
     .least = 0,                                                                                   \
     .most = INT64_MAX,                                                                            \
     .help = "Only what stands behind this number: 'next' of the answer before."},                 \
    {                                                                                              \
        .name = "most", .kind = TW_FIELD_INTEGER, .value = "N", .least = 1,                        \
        .most = TW_LIMIT_HUB_ROWS,                                                                 \
        .help = "So many rows in one answer. Default: 1000, and on a command line all."            \
    }
#define RENAME                                                                                     \
    {                                                                                              \
        .name = "name", .kind = TW_FIELD_NAME, .value = "NAME", .help = "Give it another name."    \
    }
#define NUMBER(id, words, bound, sentence)                                                         \
    {                                                                                              \
        .name = id, .kind = TW_FIELD_INTEGER, .value = words, .help = sentence, .least = 0,        \
        .most = bound                                                                              \
    }
#define TOKENS(id, bound, sentence)                                                                \
    {                                                                                              \
        .name = id, .kind = TW_FIELD_TOKENS, .value = "N", .help = sentence, .least = 0,           \
        .most = bound                                                                              \
    }
#define RATES                                                                                      \
    NUMBER("rpm", "N", TW_LIMIT_HUB_RATE, "Requests a minute; 0: no limit of its own."),           \
        TOKENS("tpm", TW_LIMIT_HUB_RATE, "Tokens a minute; 0: no limit of its own."),              \
        NUMBER("concurrent", "N", TW_LIMIT_HUB_CONCURRENT,                                         \
               "Requests at the same time; 0: no limit of its own.")
#define MODELS                                                                                     \
    {                                                                                              \
        .name = "models", .kind = TW_FIELD_LIST, .value = "NAMES",                                 \
        .help = "Models that may be used, with commas or given several times; '*': all."           \
    }
#define TREE_SETTINGS                                                                              \
    MODELS,                                                                                        \
        TOKENS("max_context", TW_LIMIT_MODEL_CONTEXT_TOKENS,                                       \
               "Tokens of prompt and answer together; 0: no limit of its own."),                   \
        RATES
#define PROJECT_SETTINGS                                                                           \
    {.name = "weight",                                                                             \
     .kind = TW_FIELD_INTEGER,                                                                     \
     .value = "N",                                                                                 \
     .least = 1,                                                                                   \
     .most = TW_LIMIT_TENANT_WEIGHT,                                                               \
     .help = "Its part of the machine beside other projects. Default: 1."},                        \
        {.name = "class",                                                                          \
         .kind = TW_FIELD_CHOICE,                                                                  \
         .value = "CLASS",                                                                         \
         .choices = CLASSES,                                                                       \
         .help = "normal, high (before the others) or idle (when nobody else asks)."},             \
        TOKENS("default_tokens", TW_LIMIT_MODEL_CONTEXT_TOKENS,                                    \
               "Tokens of an answer where a request does not say; 0: what the context has room "   \
               "for."),                                                                            \
        {.name = "store_content",                                                                  \
         .kind = TW_FIELD_FLAG,                                                                    \
         .help = "Whether what is asked and answered is stored, encrypted with a key per person. " \
                 "Default: no."},                                                                  \
        {.name = "keep_content",                                                                   \
         .kind = TW_FIELD_DURATION,                                                                \
         .value = "TIME",                                                                          \
         .help = "How long it is kept, like 30d; 0: until it is erased. Default: 0."},             \
        TREE_SETTINGS

static const struct tw_field org_new[] = {PATH_OF(1, "ORG", "The new organisation's name."),
                                          TREE_SETTINGS};
static const struct tw_field org_list[] = {CLOSED_TOO, PAGE};
static const struct tw_field org_set[] = {PATH_OF(1, "ORG", "Which organisation."), RENAME,
                                          TREE_SETTINGS};
static const struct tw_field org_close[] = {PATH_OF(1, "ORG", "Which organisation.")};

static const struct tw_field team_new[] = {
    PATH_OF(2, "ORG/TEAM", "The organisation, and the new team's name."), TREE_SETTINGS};
static const struct tw_field tree_list[] = {BELOW("Only what lies below it."), CLOSED_TOO, PAGE};
static const struct tw_field team_set[] = {PATH_OF(2, "ORG/TEAM", "Which team."), RENAME,
                                           TREE_SETTINGS};
static const struct tw_field team_close[] = {PATH_OF(2, "ORG/TEAM", "Which team.")};

static const struct tw_field project_new[] = {
    PATH_OF(3, "ORG/TEAM/PROJECT", "The team, and the new project's name."), PROJECT_SETTINGS};
static const struct tw_field project_set[] = {PATH_OF(3, "ORG/TEAM/PROJECT", "Which project."),
                                              RENAME, PROJECT_SETTINGS};
static const struct tw_field project_close[] = {PATH_OF(3, "ORG/TEAM/PROJECT", "Which project.")};

#define PERSON(sentence)                                                                           \
    {                                                                                              \
        .name = "path", .kind = TW_FIELD_PATH, .is_word = true, .is_required = true,               \
        .value = "[ORG/]USER", .help = sentence, .least = 1, .most = 2                             \
    }
#define ROLE_AND_SCOPE                                                                             \
    {.name = "role",                                                                               \
     .kind = TW_FIELD_CHOICE,                                                                      \
     .is_required = true,                                                                          \
     .value = "ROLE",                                                                              \
     .choices = ROLES,                                                                             \
     .help = "owner, finance, auditor, operator or member."},                                      \
    {                                                                                              \
        .name = "scope", .kind = TW_FIELD_PATH, .value = "PATH", .least = 1, .most = 3,            \
        .help = "The organisation, team or project that it holds for. Default: the user's "        \
                "organisation, or everything for a user without one."                              \
    }

static const struct tw_field user_new[] = {
    PERSON("The organisation, if it belongs to one, and the new user's name.")};
static const struct tw_field user_list[] = {{.name = "path",
                                             .kind = TW_FIELD_PATH,
                                             .is_word = true,
                                             .value = "ORG",
                                             .least = 1,
                                             .most = 1,
                                             .help = "Only the users of this organisation."},
                                            CLOSED_TOO,
                                            PAGE};
static const struct tw_field user_role[] = {PERSON("Which user."), ROLE_AND_SCOPE};
static const struct tw_field user_one[] = {PERSON("Which user.")};

#define EXPIRES                                                                                    \
    {                                                                                              \
        .name = "expires", .kind = TW_FIELD_WHEN, .value = "WHEN", .least = 1,                     \
        .help = "The end of its secret: a date, an instant, '+90d' or 'never'. Default: never."    \
    }
#define SPECIAL                                                                                    \
    {                                                                                              \
        .name = "special", .kind = TW_FIELD_FLAG,                                                  \
        .help = "Whether special tokens are taken as such in a completion's prompt. Default: no."  \
    }

static const struct tw_field key_new[] = {
    PATH_OF(4, "ORG/TEAM/PROJECT/KEY", "The project, and the new key's name."),
    {.name = "user",
     .kind = TW_FIELD_PATH,
     .value = "[ORG/]USER",
     .least = 1,
     .most = 2,
     .help = "Whose it is. Default: nobody's in particular."},
    EXPIRES,
    SPECIAL,
    TREE_SETTINGS};
static const struct tw_field key_set[] = {PATH_OF(4, "ORG/TEAM/PROJECT/KEY", "Which key."), RENAME,
                                          EXPIRES, SPECIAL, TREE_SETTINGS};
static const struct tw_field key_rotate[] = {
    PATH_OF(4, "ORG/TEAM/PROJECT/KEY", "Which key."),
    {.name = "overlap",
     .kind = TW_FIELD_DURATION,
     .value = "TIME",
     .help = "How long the old secret stays good: 30m, 24h, 7d, or 0. Default: 24h."},
    EXPIRES};
static const struct tw_field key_one[] = {PATH_OF(4, "ORG/TEAM/PROJECT/KEY", "Which key.")};

#define HOLDER(sentence)                                                                           \
    {                                                                                              \
        .name = "path", .kind = TW_FIELD_PATH, .is_word = true, .is_required = true,               \
        .value = "PATH", .help = sentence, .least = 1, .most = 4                                   \
    }
#define BUDGET_NAME                                                                                \
    {                                                                                              \
        .name = "name", .kind = TW_FIELD_NAME, .value = "NAME",                                    \
        .help = "Which of its budgets. Default: main."                                             \
    }

static const struct tw_field budget_set[] = {
    HOLDER("The organisation, team, project or key whose budget it is."),
    BUDGET_NAME,
    {.name = "limit",
     .kind = TW_FIELD_LIMIT,
     .value = "LIMIT",
     .help = "What may be used in a period: an amount like 250.00, or tokens like 20M. A new "
             "budget needs one."},
    {.name = "unit",
     .kind = TW_FIELD_CHOICE,
     .value = "UNIT",
     .choices = UNITS,
     .help = "What is counted: money or tokens. Default: money."},
    {.name = "period",
     .kind = TW_FIELD_CHOICE,
     .value = "PERIOD",
     .choices = PERIODS,
     .help = "day, week, month or total. Default: month."},
    {.name = "zone",
     .kind = TW_FIELD_TEXT,
     .value = "ZONE",
     .help = "The time zone in which periods begin, like Europe/Berlin. Default: UTC."},
    {.name = "soft",
     .kind = TW_FIELD_FLAG,
     .help = "Whether crossing the limit is recorded only, and refuses nobody. Default: no."},
    {.name = "rollover",
     .kind = TW_FIELD_FLAG,
     .help = "Whether what is left goes into the next period. Default: no."}};
static const struct tw_field budget_close[] = {
    HOLDER("The organisation, team, project or key whose budget it is."), BUDGET_NAME};

#define PRICE(id, need, sentence)                                                                  \
    {                                                                                              \
        .name = id, .kind = TW_FIELD_AMOUNT, .is_required = need, .value = "AMOUNT",               \
        .help = sentence, .least = 0, .most = TW_LIMIT_HUB_LIMIT_NANO                              \
    }

static const struct tw_field price_set[] = {
    {.name = "model",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .is_required = true,
     .value = "MODEL",
     .help = "The name that clients ask for; '*': all that have no own price."},
    PRICE("input", true, "For a million tokens of prompts."),
    PRICE("cached", false,
          "For a million tokens of prompts that were there already. Default: as "
          "input."),
    PRICE("output", true, "For a million tokens of answers."),
    {.name = "class",
     .kind = TW_FIELD_CHOICE,
     .value = "CLASS",
     .choices = PRICE_CLASSES,
     .help = "standard or batch. Default: standard."},
    {.name = "project",
     .kind = TW_FIELD_PATH,
     .value = "ORG/TEAM/PROJECT",
     .least = 3,
     .most = 3,
     .help = "For this project alone. Default: for all."},
    {.name = "from",
     .kind = TW_FIELD_WHEN,
     .value = "WHEN",
     .help = "Since when it holds: now or later. Default: now."}};
static const struct tw_field price_list[] = {
    {.name = "model",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .value = "MODEL",
     .help = "Only prices of this model."},
    {.name = "all", .kind = TW_FIELD_FLAG, .help = "Show those that others have replaced, too."},
    PAGE};

#define SINCE_UNTIL                                                                                \
    {.name = "since",                                                                              \
     .kind = TW_FIELD_WHEN,                                                                        \
     .value = "WHEN",                                                                              \
     .help = "From this date or instant on. Default: the beginning."},                             \
    {                                                                                              \
        .name = "until", .kind = TW_FIELD_WHEN, .value = "WHEN",                                   \
        .help = "Before this date or instant. Default: now."                                       \
    }
#define MOST_ROWS                                                                                  \
    {                                                                                              \
        .name = "most", .kind = TW_FIELD_INTEGER, .value = "N", .least = 1,                        \
        .most = TW_LIMIT_HUB_ROWS, .help = "So many of the latest ones. Default: 100."             \
    }

static const struct tw_field ledger_list[] = {BELOW("Only entries of it."), SINCE_UNTIL, MOST_ROWS};
static const struct tw_field audit_list[] = {
    {.name = "kind",
     .kind = TW_FIELD_TEXT,
     .value = "KIND",
     .help = "Only records of this kind, like config.changed."},
    {.name = "class",
     .kind = TW_FIELD_TEXT,
     .value = "CLASS",
     .help = "Only requests of this class of data."},
    {.name = "zone",
     .kind = TW_FIELD_TEXT,
     .value = "ZONE",
     .help = "Only requests that ran in this zone."},
    SINCE_UNTIL,
    MOST_ROWS};

#define INTO_FILE                                                                                  \
    {                                                                                              \
        .name = "out", .kind = TW_FIELD_TEXT, .value = "FILE",                                     \
        .help = "Where it is written to. Default: standard output."                                \
    }

static const struct tw_field audit_verify[] = {
    {.name = "file",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .value = "FILE",
     .help = "What 'audit export' wrote. Without it: the log of the books."},
    {.name = "checkpoint",
     .kind = TW_FIELD_TEXT,
     .value = "FILE",
     .help = "What 'audit checkpoint' wrote at some time: the log must go at least so far."},
    {.name = "key",
     .kind = TW_FIELD_TEXT,
     .value = "FILE",
     .help = "The public key of the log. Default: audit-key.pub beside the books."}};
static const struct tw_field audit_checkpoint[] = {INTO_FILE};
static const struct tw_field audit_export[] = {INTO_FILE, SINCE_UNTIL};

static const char *const SUBJECT_KINDS[] = {"user", "person", "project", NULL};

#define SUBJECT                                                                                    \
    {.name = "subject",                                                                            \
     .kind = TW_FIELD_TEXT,                                                                        \
     .is_word = true,                                                                              \
     .is_required = true,                                                                          \
     .value = "SUBJECT",                                                                           \
     .help = "Whom it is about: the text by which requests name somebody ('safety_identifier' or " \
             "'user')."},                                                                          \
        {.name = "kind",                                                                           \
         .kind = TW_FIELD_CHOICE,                                                                  \
         .value = "KIND",                                                                          \
         .choices = SUBJECT_KINDS,                                                                 \
         .help = "user; or, of requests that name nobody: person (SUBJECT is [ORG/]USER, whose "   \
                 "key they came with, or his number) or project (a path, or a number). Default: "  \
                 "user."},                                                                         \
    {                                                                                              \
        .name = "in", .kind = TW_FIELD_PATH, .value = "PATH", .least = 1, .most = 3,               \
        .help = "Only what came through this organisation, team or project. Default: all."         \
    }

static const struct tw_field subject_one[] = {SUBJECT};
static const struct tw_field subject_hold[] = {
    SUBJECT,
    {.name = "reason",
     .kind = TW_FIELD_TEXT,
     .is_required = true,
     .value = "TEXT",
     .help = "Why, for the record: a file number rather than a name."}};
static const struct tw_field subject_list[] = {
    {.name = "all", .kind = TW_FIELD_FLAG, .help = "Show holds that were released as well."}};
static const struct tw_field subject_export[] = {
    SUBJECT,
    {.name = "after",
     .kind = TW_FIELD_INTEGER,
     .value = "SEQ",
     .least = 0,
     .most = INT64_MAX,
     .help = "Only what stands behind this record of the audit log. Default: all."}};
static const struct tw_field audit_replay[] = {
    {.name = "request",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .is_required = true,
     .value = "REQUEST",
     .help = "Its number in the ledger, or the id that its client was told."},
    {.name = "model",
     .kind = TW_FIELD_TEXT,
     .is_required = true,
     .value = "FILE",
     .help = "The model that answered: a .gguf file or a Hugging Face folder."},
    {.name = "threads",
     .kind = TW_FIELD_INTEGER,
     .value = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."}};
static const struct tw_field audit_register[] = {BELOW("Only projects of it."), CLOSED_TOO, PAGE};
static const struct tw_field content_show[] = {
    {.name = "request",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .is_required = true,
     .value = "REQUEST",
     .help = "Its number in the ledger, or the id that its client was told."}};

static const char *const APPROVED[] = {"policy", "models", NULL};
#define PROPOSAL                                                                                   \
    {                                                                                              \
        .name = "proposal", .kind = TW_FIELD_INTEGER, .is_word = true, .is_required = true,        \
        .value = "PROPOSAL", .least = 1, .most = INT64_MAX, .help = "Its number."                  \
    }

static const struct tw_field approval_set[] = {
    {.name = "two_people",
     .kind = TW_FIELD_FLAG,
     .is_required = true,
     .help = "Whether a change of prices, of the policy or of the models needs two users."}};
static const struct tw_field approval_use[] = {
    {.name = "what",
     .kind = TW_FIELD_CHOICE,
     .is_word = true,
     .is_required = true,
     .value = "WHAT",
     .choices = APPROVED,
     .help = "policy or models."},
    {.name = "digest",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .is_required = true,
     .value = "DIGEST",
     .help =
         "64 hexadecimal digits: the version of the policy, by 'policy check --json', or what a "
         "server that does not start says."}};
static const struct tw_field approval_one[] = {PROPOSAL};
static const struct tw_field approval_list[] = {
    {.name = "all", .kind = TW_FIELD_FLAG, .help = "Show those that were decided as well."}};

/* ---- reports ---- */

static const char *const USAGE_FORMATS[] = {"table", "csv", "json", "focus", NULL};
static const char *const INVOICE_FORMATS[] = {"text", "json", NULL};

#define BILLING                                                                                    \
    {.name = "zone",                                                                               \
     .kind = TW_FIELD_TEXT,                                                                        \
     .value = "ZONE",                                                                              \
     .help = "Whose days and months count, like Europe/Berlin. Default: UTC."},                    \
        {.name = "provider",                                                                       \
         .kind = TW_FIELD_TEXT,                                                                    \
         .value = "NAME",                                                                          \
         .help = "Who offers the service and bills for it. Default: tokenworks."},                 \
    {                                                                                              \
        .name = "width", .kind = TW_FIELD_INTEGER, .value = "N", .least = 0,                       \
        .most = TW_LIMIT_REPORT_COLUMNS,                                                           \
        .help =                                                                                    \
            "Characters of a line of a table; 0: as many as it needs. Default: the terminal's."    \
    }

static const struct tw_field usage_show[] = {
    {.name = "by",
     .kind = TW_FIELD_TEXT,
     .value = "WHAT",
     .help = "A row for each of: org, team, project, key, user, model, class, price, hour, day, "
             "week, month; several with commas. Default: project."},
    {.name = "period",
     .kind = TW_FIELD_TEXT,
     .value = "PERIOD",
     .help = "2026, 2026-11, 2026-11-15, 2026-11-01..2026-11-15, today, yesterday, this- or last- "
             "with week, month or year, all. Default: this-month."},
    {.name = "in",
     .kind = TW_FIELD_TEXT,
     .value = "PATH",
     .help = "Only this organisation, team, project or key, like acme/research. Default: all that "
             "may be seen."},
    {.name = "model", .kind = TW_FIELD_TEXT, .value = "NAME", .help = "Only this model."},
    {.name = "format",
     .kind = TW_FIELD_CHOICE,
     .value = "FORMAT",
     .choices = USAGE_FORMATS,
     .help = "table, csv, json, or focus (FOCUS 1.2 as CSV). Default: table."},
    BILLING};
static const struct tw_field usage_invoice[] = {
    {.name = "org",
     .kind = TW_FIELD_TEXT,
     .is_required = true,
     .value = "NAME",
     .help = "The organisation that is to pay."},
    {.name = "month",
     .kind = TW_FIELD_TEXT,
     .value = "MONTH",
     .help = "2026-11, this-month or last-month. Default: last-month."},
    {.name = "format",
     .kind = TW_FIELD_CHOICE,
     .value = "FORMAT",
     .choices = INVOICE_FORMATS,
     .help = "text or json. Default: text."},
    BILLING};

static const struct tw_field backend_one[] = {
    {.name = "name",
     .kind = TW_FIELD_TEXT,
     .is_word = true,
     .is_required = true,
     .value = "NAME",
     .help = "A backend of the configuration file, or one of its servers, NAME@ADDRESS."}};

/* ---- the commands ---- */

static const struct tw_hub_group groups[] = {
    {"org", "organisations: the top of the tree", "An organisation has teams and users.", NULL},
    {"team", "teams of an organisation", "A team has projects.", NULL},
    {"project", "projects of a team", "A project has keys, a part of the machine, and limits.",
     NULL},
    {"user", "who may run the hub, and with which role",
     "A user is a person who gives commands. Roles hold for everything, or for an organisation, a "
     "team or a project with all below: owner (all of it; not the limits of the scope itself), "
     "finance (budgets, prices, reports), auditor (sees all, changes nothing), operator (keys and "
     "settings), member (sees).",
     NULL},
    {"key", "keys, by which programs ask for tokens",
     "A key belongs to a project. Its secret is shown once, when it is made; the books have a hash "
     "of it.",
     NULL},
    {"budget", "what may be used in a period",
     "A request needs room in each budget on its path: those of its key, project, team and "
     "organisation.",
     NULL},
    {"price", "what tokens cost",
     "Prices are versions: never changed, only followed by later ones. A request is charged at "
     "the version that held when it began: the most special one, a project's before that of all, "
     "a model's before '*'.",
     NULL},
    {"approval", "what two people have to agree on",
     "Where it is asked for, prices, the policy and the models of a server are changed by two "
     "users: "
     "one gives the command, which makes a proposal, and another one approves it. So are roles and "
     "secrets of users, and the end of this.",
     NULL},
    {"usage", "what was used and what it cost",
     "Sums of the ledger's settlements, to the unit. Without a verb it is 'show'.", "show"},
    {"ledger", "the entries of the books", "Two entries of the same amounts for each event.", NULL},
    {"subject", "those whom requests are about",
     "What is stored of requests is encrypted with a key for each person in each project. Erasing "
     "the keys erases all of it, in every copy of the books.",
     NULL},
    {"content", "what was asked and answered", "Only where a project stores it.", NULL},
    {"audit", "the record of requests and changes",
     "Each record carries the hash of the one before it; checkpoints are signed.", NULL},
    {"backend", "other servers that a running server asks",
     "They stand in the server's configuration file; docs/backends.md says how. These commands are "
     "for a server that runs.",
     NULL},
    {NULL, NULL, NULL, NULL},
};

#define NO            0
#define IN            TW_REACH_WITHIN
#define UP            TW_REACH_ABOVE
#define F(fields)     fields, COUNT(fields)
#define CHANGE(about) about, TW_COMMAND_CHANGE
#define READS         TW_OBJECT_EACH, TW_COMMAND_LIST

/* clang-format off */
static const struct tw_hub_verb verbs[] = {
    /*                                                                                     owner fin. aud. oper. member */
    {"org", "create", "make an organisation", "Makes an organisation.",
     F(org_new), CHANGE(TW_OBJECT_PARENT),                                                {IN, NO, NO, NO, NO}, tw_change_create_holder},
    {"org", "list", "show organisations", "Shows organisations with their settings.",
     F(org_list), READS,                                                                  {IN, IN, IN, IN, IN}, tw_change_list_holders},
    {"org", "set", "change an organisation", "Changes what is given and keeps the rest.",
     F(org_set), CHANGE(TW_OBJECT_PATH),                                                  {UP, NO, NO, UP, NO}, tw_change_set_holder},
    {"org", "close", "end an organisation", "Ends it with all its teams, projects and keys. What it used stays in the books.",
     F(org_close), CHANGE(TW_OBJECT_PATH),                                                {UP, NO, NO, NO, NO}, tw_change_close_holder},

    {"team", "create", "make a team", "Makes a team of an organisation.",
     F(team_new), CHANGE(TW_OBJECT_PARENT),                                               {IN, NO, NO, IN, NO}, tw_change_create_holder},
    {"team", "list", "show teams", "Shows teams with their settings.",
     F(tree_list), READS,                                                                 {IN, IN, IN, IN, IN}, tw_change_list_holders},
    {"team", "set", "change a team", "Changes what is given and keeps the rest.",
     F(team_set), CHANGE(TW_OBJECT_PATH),                                                 {UP, NO, NO, UP, NO}, tw_change_set_holder},
    {"team", "close", "end a team", "Ends it with all its projects and keys. What it used stays in the books.",
     F(team_close), CHANGE(TW_OBJECT_PATH),                                               {UP, NO, NO, NO, NO}, tw_change_close_holder},

    {"project", "create", "make a project", "Makes a project of a team.",
     F(project_new), CHANGE(TW_OBJECT_PARENT),                                            {IN, NO, NO, IN, NO}, tw_change_create_holder},
    {"project", "list", "show projects", "Shows projects with their settings.",
     F(tree_list), READS,                                                                 {IN, IN, IN, IN, IN}, tw_change_list_holders},
    {"project", "set", "change a project", "Changes what is given and keeps the rest.",
     F(project_set), CHANGE(TW_OBJECT_PATH),                                              {UP, NO, NO, UP, NO}, tw_change_set_holder},
    {"project", "close", "end a project", "Ends it with all its keys. What it used stays in the books.",
     F(project_close), CHANGE(TW_OBJECT_PATH),                                            {UP, NO, NO, NO, NO}, tw_change_close_holder},

    {"user", "create", "make a user", "Makes a user, who has no role yet and no secret.",
     F(user_new), CHANGE(TW_OBJECT_PARENT),                                               {IN, NO, NO, NO, NO}, tw_change_create_person},
    {"user", "list", "show users and their roles", "Shows users with their roles.",
     F(user_list), READS,                                                                 {IN, NO, IN, NO, NO}, tw_change_list_persons},
    {"user", "grant", "give a user a role", "Gives a user a role for a part of the tree.",
     F(user_role), CHANGE(TW_OBJECT_SCOPE),                                               {IN, NO, NO, NO, NO}, tw_change_grant_role},
    {"user", "withdraw", "take a role from a user", "Takes a role away.",
     F(user_role), CHANGE(TW_OBJECT_SCOPE),                                               {IN, NO, NO, NO, NO}, tw_change_withdraw_role},
    {"user", "secret", "make a user's secret", "Makes the secret by which the user is known to the admin API, and shows it once. One made before ends at once.",
     F(user_one), CHANGE(TW_OBJECT_PERSON),                                               {IN, NO, NO, NO, NO}, tw_change_make_person_secret},
    {"user", "close", "end a user", "Ends a user: the secret and all roles.",
     F(user_one), CHANGE(TW_OBJECT_PERSON),                                               {IN, NO, NO, NO, NO}, tw_change_close_person},

    {"key", "create", "make a key", "Makes a key of a project and shows its secret once.",
     F(key_new), CHANGE(TW_OBJECT_PARENT),                                                {IN, NO, NO, IN, NO}, tw_change_create_key},
    {"key", "list", "show keys", "Shows keys with the beginnings of their secrets.",
     F(tree_list), READS,                                                                 {IN, IN, IN, IN, IN}, tw_change_list_keys},
    {"key", "set", "change a key", "Changes what is given and keeps the rest.",
     F(key_set), CHANGE(TW_OBJECT_PATH),                                                  {IN, NO, NO, IN, NO}, tw_change_set_key},
    {"key", "rotate", "give a key a new secret", "Makes a new secret and shows it once. The old one stays good for a while.",
     F(key_rotate), CHANGE(TW_OBJECT_PATH),                                               {IN, NO, NO, IN, NO}, tw_change_rotate_key},
    {"key", "revoke", "end a key", "Ends a key at once: nothing more is admitted, and what runs is stopped.",
     F(key_one), CHANGE(TW_OBJECT_PATH),                                                  {IN, NO, NO, IN, NO}, tw_change_revoke_key},

    {"budget", "set", "make or change a budget", "Makes a budget, or changes what is given of one. A new limit counts what was used already; a new unit, period or zone begins to count anew.",
     F(budget_set), CHANGE(TW_OBJECT_PATH),                                               {UP, IN, NO, NO, NO}, tw_change_set_budget},
    {"budget", "list", "show budgets and what is left of them", "Shows what each budget allows in the present period, what was spent, what running requests have reserved, and what is left.",
     F(tree_list), READS,                                                                 {IN, IN, IN, IN, IN}, tw_change_list_budgets},
    {"budget", "close", "end a budget", "Ends a budget: it bounds nothing any more.",
     F(budget_close), CHANGE(TW_OBJECT_PATH),                                             {UP, IN, NO, NO, NO}, tw_change_close_budget},

    {"price", "set", "add a price", "Adds the price that holds from now or a later date on.",
     F(price_set), CHANGE(TW_OBJECT_ALL),                                                 {IN, IN, NO, NO, NO}, tw_change_add_price},
    {"price", "list", "show prices", "Shows the prices that hold, and those to come.",
     F(price_list), READS,                                                                {IN, IN, IN, IN, IN}, tw_change_list_prices},

    {"approval", "set", "say whether two people are needed", "Says whether a change of prices, of the policy or of the models needs two users. It can be asked for once two users are owner of everything and have a secret; to end it needs two.",
     F(approval_set), CHANGE(TW_OBJECT_ALL),                                              {IN, NO, NO, NO, NO}, tw_change_set_approval},
    {"approval", "use", "say which policy or models are approved", "Says which policy, or which models, a server with these books may start with, where two people are needed.",
     F(approval_use), CHANGE(TW_OBJECT_ALL),                                              {IN, NO, NO, NO, NO}, tw_change_use},
    {"approval", "list", "show proposals", "Shows the proposals that are open, and what is approved.",
     F(approval_list), TW_OBJECT_ALL, TW_COMMAND_LIST,                                    {IN, IN, IN, NO, NO}, tw_change_list_approvals},
    {"approval", "approve", "do what somebody else proposed", "Does what a proposal says, by the roles of who approves. Whoever proposed it cannot.",
     F(approval_one), CHANGE(TW_OBJECT_ALL),                                              {IN, IN, NO, NO, NO}, tw_change_approve},
    {"approval", "reject", "end a proposal", "Ends a proposal, one's own or somebody else's.",
     F(approval_one), CHANGE(TW_OBJECT_ALL),                                              {IN, IN, NO, NO, NO}, tw_change_reject},

    {"usage", "show", "show what was used and what it cost", "Shows what was used and what it cost, from the entries of the ledger.",
     F(usage_show), TW_OBJECT_EACH, TW_COMMAND_REPORT,                                    {IN, IN, IN, NO, IN}, tw_report_show_usage},
    {"usage", "invoice", "show what an organisation has to pay", "Shows what an organisation has to pay for a month: a line for each project, model, direction and price version. The total is the sum of the ledger's entries, to the last digit.",
     F(usage_invoice), TW_OBJECT_EACH, TW_COMMAND_REPORT,                                 {IN, IN, IN, NO, NO}, tw_report_show_invoice},

    {"ledger", "check", "recompute the books", "Recomputes all that the books keep as sums from their entries, and says what differs.",
     NULL, 0, TW_OBJECT_ALL, TW_COMMAND_REPORT,                                           {IN, IN, IN, NO, NO}, tw_report_check_ledger},
    {"ledger", "list", "show entries", "Shows the latest entries of the ledger.",
     F(ledger_list), TW_OBJECT_EACH, TW_COMMAND_REPORT,                                   {IN, IN, IN, NO, NO}, tw_report_list_entries},

    {"subject", "erase", "erase all content of somebody", "Erases the keys of all that is stored of somebody, and with them the content and the salts of its commitments; what was charged stays. Prints a certificate. Refused under a legal hold.",
     F(subject_one), CHANGE(TW_OBJECT_IN),                                                {IN, NO, NO, NO, NO}, tw_change_erase_subject},
    {"subject", "hold", "keep content of somebody from being erased", "Begins a legal hold: nothing of it is erased or expires until it is released.",
     F(subject_hold), CHANGE(TW_OBJECT_IN),                                               {IN, NO, NO, NO, NO}, tw_change_hold_subject},
    {"subject", "release", "end a legal hold", "Ends the legal holds of that scope.",
     F(subject_one), CHANGE(TW_OBJECT_IN),                                                {IN, NO, NO, NO, NO}, tw_change_release_subject},
    {"subject", "list", "show legal holds and erasures", "Shows legal holds and erasures only: there is no list of the people who asked. Whom they are about is shown as the keyed hash that records have.",
     F(subject_list), TW_OBJECT_ALL, TW_COMMAND_REPORT,                                   {IN, NO, IN, NO, NO}, tw_report_list_subjects},
    {"subject", "export", "write all that is known of somebody", "Writes the records of all requests about somebody, with their content where it is stored, and their lines in files of batches, as lines of JSON. It is put on record. The admin API gives it in pages: 'next' goes into 'after' of the next one.",
     F(subject_export), TW_OBJECT_IN, TW_COMMAND_REPORT,                                  {NO, NO, IN, NO, NO}, tw_report_export_subject},

    {"content", "show", "show what was asked and answered", "Decrypts the stored content of a request and checks it against the commitment in the audit log. It is put on record.",
     F(content_show), TW_OBJECT_EACH, TW_COMMAND_REPORT,                                  {NO, NO, IN, NO, NO}, tw_report_show_content},

    {"backend", "list", "show other servers and how they stand", "Shows each of them: zone, whether it answers and takes requests, its breaker, what runs and waits there, and how fast it was.",
     NULL, 0, TW_OBJECT_ALL, TW_COMMAND_REPORT,                                           {IN, NO, IN, IN, NO}, tw_report_of_server},
    {"backend", "drain", "give a server no new requests", "What it answers goes on. It stays so until 'backend resume', or until the server that asks it ends.",
     F(backend_one), TW_OBJECT_ALL, TW_COMMAND_REPORT,                                    {IN, NO, NO, IN, NO}, tw_report_of_server},
    {"backend", "resume", "give a drained server requests again", "Ends what 'backend drain' began.",
     F(backend_one), TW_OBJECT_ALL, TW_COMMAND_REPORT,                                    {IN, NO, NO, IN, NO}, tw_report_of_server},
    {"backend", "reload", "read backends and policy again", "Reads the backends of the configuration file and the policy again, as SIGHUP does. A file that is wrong changes nothing, and the answer says why.",
     NULL, 0, TW_OBJECT_ALL, TW_COMMAND_REPORT,                                           {IN, NO, NO, IN, NO}, tw_report_of_server},

    {"audit", "register", "show what is stored of whom, and for how long", "Shows for each project what is stored of requests, how long, which models process it, and who may read it.",
     F(audit_register), READS,                                                            {IN, NO, IN, NO, NO}, tw_report_register},
    {"audit", "list", "show records", "Shows the latest records of the audit log.",
     F(audit_list), TW_OBJECT_ALL, TW_COMMAND_REPORT,                                     {IN, NO, IN, NO, NO}, tw_report_list_records},
    {"audit", "verify", "check that nobody changed the log", "Computes every hash of the log again and checks every signature, without a server. It finds any change, removal or move of what a checkpoint covers; with a checkpoint that was kept elsewhere also an end that was cut off.",
     F(audit_verify), TW_OBJECT_ALL, TW_COMMAND_LOCAL,                                    {NO, NO, NO, NO, NO}, NULL},
    {"audit", "checkpoint", "print the last signature of the log", "Prints the last signed checkpoint, to be kept where whoever has the books cannot change it.",
     F(audit_checkpoint), TW_OBJECT_ALL, TW_COMMAND_LOCAL,                                {NO, NO, NO, NO, NO}, NULL},
    {"audit", "export", "write the log as lines of JSON", "Writes records and checkpoints as lines of JSON, which 'audit verify FILE' checks without the books.",
     F(audit_export), TW_OBJECT_ALL, TW_COMMAND_LOCAL,                                    {NO, NO, NO, NO, NO}, NULL},
    {"audit", "replay", "answer a stored request again and compare", "Decrypts a stored request, answers it again with the model on this machine, and says whether the answers are the same, byte by byte; or 'not comparable', and why. To read it is put on record.",
     F(audit_replay), TW_OBJECT_ALL, TW_COMMAND_LOCAL,                                    {NO, NO, NO, NO, NO}, NULL},
};
/* clang-format on */

const struct tw_hub_group *tw_commands_group(size_t i)
{
    return groups[i].name != NULL ? &groups[i] : NULL;
}

const struct tw_hub_verb *tw_commands_verb(size_t i)
{
    return i < COUNT(verbs) ? &verbs[i] : NULL;
}

const struct tw_hub_group *tw_commands_find_group(const char *name)
{
    const struct tw_hub_group *group = groups;
    while (group->name != NULL && strcmp(group->name, name) != 0) {
        group++;
    }
    return group->name != NULL ? group : NULL;
}

static void unknown_group(const char *name, struct tw_error *error)
{
    const char *names[MOST_WORDS] = {NULL};
    for (size_t i = 0; groups[i].name != NULL && i + 1 < MOST_WORDS; i++) {
        names[i] = groups[i].name;
    }
    const char *guess = tw_suggest_word(name, names);
    tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                 "there is nothing called '%.60s' in the hub%s%s%s", name,
                 guess != NULL ? "; did you mean '" : "", guess != NULL ? guess : "",
                 guess != NULL ? "'?" : "");
}

static void unknown_verb(const char *group, const char *name, struct tw_error *error)
{
    const char *names[MOST_WORDS] = {NULL};
    char all[200] = "";
    size_t n = 0, used = 0;
    for (size_t i = 0; i < COUNT(verbs) && n + 1 < MOST_WORDS; i++) {
        if (strcmp(verbs[i].group, group) == 0) {
            const int written =
                snprintf(all + used, sizeof all - used, "%s%s", n > 0 ? ", " : "", verbs[i].verb);
            used += written > 0 && (size_t)written < sizeof all - used ? (size_t)written : 0;
            names[n++] = verbs[i].verb;
        }
    }
    const char *guess = tw_suggest_word(name, names);
    if (guess != NULL) {
        tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                     "'%s' has no '%.60s'; did you mean '%s %s'?", group, name, group, guess);
    } else {
        tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "'%s' has no '%.60s'; there are %s",
                     group, name, all);
    }
}

const struct tw_hub_verb *tw_commands_find(const char *group, const char *verb,
                                           struct tw_error *error)
{
    for (size_t i = 0; i < COUNT(verbs); i++) {
        if (strcmp(verbs[i].group, group) == 0 && strcmp(verbs[i].verb, verb) == 0) {
            return &verbs[i];
        }
    }
    if (tw_commands_find_group(group) == NULL) {
        unknown_group(group, error);
    } else {
        unknown_verb(group, verb, error);
    }
    return NULL;
}

const struct tw_field *tw_commands_field(const struct tw_hub_verb *verb, const char *name)
{
    for (size_t i = 0; i < verb->n_fields; i++) {
        if (strcmp(verb->fields[i].name, name) == 0) {
            return &verb->fields[i];
        }
    }
    return NULL;
}

bool tw_commands_may(const struct tw_hub_verb *verb, enum tw_role role,
                     const struct tw_holder *scope, const struct tw_holder *object)
{
    const struct tw_holder *first = object;
    switch ((enum tw_reach)verb->reach[role]) {
    case TW_REACH_NONE:
        return false;
    case TW_REACH_WITHIN:
        break;
    case TW_REACH_ABOVE:
        if (object == NULL) {
            return scope == NULL;
        }
        first = object->parent;
        break;
    }
    if (scope == NULL) {
        return true;
    }
    while (first != NULL && first != scope) {
        first = first->parent;
    }
    return first == scope;
}
