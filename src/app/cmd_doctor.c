/* doctor: looks at a running server from outside, by what the kernel says of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/seal_report.h"

#define REPORT_BYTES ((size_t)1 << 20)
#define MOST_SHOWN   8

struct doctor_args {
    bool looks_at_seal, is_json;
};

static const struct tw_option options[] = {
    {.name = "sealed",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct doctor_args, looks_at_seal),
     .help = "Say whether a server is sealed: its filter, its sockets, and what it may reach. The "
             "exit code is 0 when it is, and 9 when it is not."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct doctor_args, is_json),
     .help = "Print JSON."},
};

static const struct tw_option_group group = {"What to look at", options,
                                             sizeof options / sizeof options[0]};

static enum tw_status find_only(pid_t *ret_pid, struct tw_error *error)
{
    pid_t pids[MOST_SHOWN];
    char list[MOST_SHOWN * 12] = "";
    const size_t n = tw_process_find("tokenworks", "serve", pids, MOST_SHOWN);
    if (n == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "no server runs here that can be seen: give its process number, or "
                            "the path of its admin socket");
    }
    for (size_t i = 0; i < n && i < MOST_SHOWN; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%d", i > 0 ? ", " : "", (int)pids[i]);
    }
    if (n > 1) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%zu servers run here: give the process number of one of %s", n, list);
    }
    *ret_pid = pids[0];
    return TW_OK;
}

/* A process number, or a path. */
static enum tw_status find(const struct tw_words *words, pid_t *ret_pid, struct tw_error *error)
{
    if (words->n_items == 0) {
        return find_only(ret_pid, error);
    }
    char *end;
    const long pid = strtol(words->items[0], &end, 10);
    if (*end == '\0' && pid > 0 && pid <= INT32_MAX) {
        *ret_pid = (pid_t)pid;
        return TW_OK;
    }
    return tw_process_of_socket(words->items[0], ret_pid, error);
}

static int report(const struct tw_process_state *state, bool is_json, struct tw_error *error)
{
    struct tw_buf out;
    tw_buf_init(&out, REPORT_BYTES);
    if (is_json) {
        tw_seal_report_json(state, &out);
    } else {
        tw_seal_report_table(state, &out);
    }
    enum tw_status status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    if (status == TW_OK && !tw_process_is_sealed(state)) {
        status = tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION, "process %d is not sealed",
                              (int)state->pid);
    }
    return status == TW_OK ? 0 : tw_command_fail(error);
}

int tw_cmd_doctor(int argc, char **argv)
{
    struct doctor_args args = {.looks_at_seal = false};
    const struct tw_command_spec spec = {
        .name = "doctor",
        .synopsis = "--sealed [PID|SOCKET] [--json]",
        .about = "Looks at a running server: the only one on this machine, one by its process\n"
                 "number, or the one behind an admin socket.",
        .most_words = 1,
        .uses = {{&group, &args}},
    };
    static struct tw_process_state state;
    struct tw_words words;
    struct tw_error error;
    pid_t pid = 0;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    enum tw_status status = TW_OK;
    if (!args.looks_at_seal) {
        status = tw_error_set(&error, TW_ERR_USAGE, TW_NO_POSITION,
                              "doctor has nothing to look at: give --sealed");
    }
    if (status == TW_OK) {
        status = find(&words, &pid, &error);
    }
    if (status == TW_OK) {
        status = tw_process_state_read(pid, &state, &error);
    }
    if (status != TW_OK) {
        return tw_command_fail(&error);
    }
    exit_code = report(&state, args.is_json, &error);
    tw_process_state_free(&state);
    return exit_code;
}
