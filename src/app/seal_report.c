#include "app/seal_report.h"

#include <string.h>

#include "base/json.h"

static const char *const kind_names[TW_SOCKET_KIND_COUNT] = {
    [TW_SOCKET_LISTENS] = "listening",  [TW_SOCKET_ACCEPTED] = "accepted",
    [TW_SOCKET_CONNECTED] = "outgoing", [TW_SOCKET_LOCAL] = "local",
    [TW_SOCKET_IDLE] = "idle",          [TW_SOCKET_OTHER] = "other",
};

static size_t count(const struct tw_process_state *state, enum tw_process_socket_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < state->n_sockets; i++) {
        n += state->sockets[i].kind == kind;
    }
    return n;
}

/* Sockets that several threads have each as a descriptor of their own are one line. */
static bool is_repeated(const struct tw_process_state *state, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (state->sockets[k].kind == state->sockets[i].kind &&
            strcmp(state->sockets[k].own, state->sockets[i].own) == 0 &&
            strcmp(state->sockets[k].peer, state->sockets[i].peer) == 0 &&
            state->sockets[i].own[0] != '\0') {
            return true;
        }
    }
    return false;
}

static const char *mode_of(const struct tw_process_state *state)
{
    return !tw_process_is_sealed(state) ? "no" : state->broker_pid != 0 ? "broker" : "process";
}

/* ---- lines ---- */

static void put_listeners(const struct tw_process_state *state, struct tw_buf *out)
{
    for (size_t i = 0; i < state->n_sockets; i++) {
        const struct tw_process_socket *socket = &state->sockets[i];
        if (socket->kind == TW_SOCKET_LISTENS && !is_repeated(state, i)) {
            tw_buf_append_format(out, "listens     %s (%s)\n", socket->own,
                                 socket->is_loopback ? "this machine only" : "other machines, too");
        }
    }
}

static void put_outgoing(const struct tw_process_state *state, struct tw_buf *out)
{
    for (size_t i = 0; i < state->n_sockets; i++) {
        const struct tw_process_socket *socket = &state->sockets[i];
        if (socket->kind == TW_SOCKET_CONNECTED) {
            tw_buf_append_format(out, "connected   to %s\n", socket->peer);
        } else if (socket->kind == TW_SOCKET_OTHER) {
            tw_buf_append_format(out, "other       a socket of %s, descriptor %d %s\n",
                                 socket->table, socket->fd, socket->own);
        }
    }
}

static void put_reach(const struct tw_process_state *state, struct tw_buf *out)
{
    if (!tw_process_is_sealed(state)) {
        tw_buf_append_text(out, "may reach   whatever this machine reaches\n");
    } else if (state->broker_pid == 0) {
        tw_buf_append_text(out, "may reach   nothing\n");
    }
    for (size_t i = 0; state->broker_pid != 0 && i < state->reach.n_items; i++) {
        tw_buf_append_format(out, "may reach   %s\n", state->reach.items[i].text);
    }
}

void tw_seal_report_table(const struct tw_process_state *state, struct tw_buf *out)
{
    tw_buf_append_format(out, "process     %d (%s)\n", (int)state->pid, state->name);
    tw_buf_append_format(out, "filter      on %zu of %zu threads%s\n", state->n_filtered,
                         state->n_threads, state->n_filters > 1 ? ", more than one" : "");
    tw_buf_append_format(out, "statement   %s\n",
                         !state->has_statement    ? "none: a filter would not be ours"
                         : state->has_all_filters ? "the filter is ours, and refused what was tried"
                                                  : "more filters than the kernel knows of");
    tw_buf_append_format(out, "no new privileges on %zu of %zu threads\n",
                         state->n_without_privileges, state->n_threads);
    if (state->broker_pid != 0) {
        tw_buf_append_format(out, "broker      process %d, %s\n", (int)state->broker_pid,
                             state->is_broker_sealed ? "sealed itself" : "not sealed");
    }
    put_listeners(state, out);
    tw_buf_append_format(out, "clients     %zu connections\n", count(state, TW_SOCKET_ACCEPTED));
    put_outgoing(state, out);
    put_reach(state, out);
    tw_buf_append_format(out, "sealed      %s", mode_of(state));
}

/* ---- JSON ---- */

static void put_key(struct tw_json_writer *writer, const char *key, size_t value)
{
    tw_json_key(writer, key);
    tw_json_uint(writer, value);
}

static void put_sockets(struct tw_json_writer *writer, const struct tw_process_state *state)
{
    tw_json_key(writer, "sockets");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < state->n_sockets; i++) {
        const struct tw_process_socket *socket = &state->sockets[i];
        tw_json_object_begin(writer);
        put_key(writer, "descriptor", (size_t)socket->fd);
        tw_json_key(writer, "kind");
        tw_json_text(writer, kind_names[socket->kind]);
        tw_json_key(writer, "family");
        tw_json_text(writer, socket->table);
        tw_json_key(writer, "address");
        tw_json_text(writer, socket->own);
        tw_json_key(writer, "peer");
        tw_json_text(writer, socket->peer);
        tw_json_key(writer, "loopback");
        tw_json_bool(writer, socket->is_loopback);
        tw_json_object_end(writer);
    }
    tw_json_array_end(writer);
}

void tw_seal_report_json(const struct tw_process_state *state, struct tw_buf *out)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    put_key(&writer, "pid", (size_t)state->pid);
    tw_json_key(&writer, "name");
    tw_json_text(&writer, state->name);
    tw_json_key(&writer, "sealed");
    tw_json_text(&writer, mode_of(state));
    put_key(&writer, "threads", state->n_threads);
    put_key(&writer, "threads_with_filter", state->n_filtered);
    put_key(&writer, "threads_without_new_privileges", state->n_without_privileges);
    put_key(&writer, "filters", state->n_filters);
    put_key(&writer, "files", state->n_files);
    put_key(&writer, "broker_pid", (size_t)state->broker_pid);
    tw_json_key(&writer, "statement");
    tw_json_bool(&writer, state->has_statement && state->has_all_filters);
    tw_json_key(&writer, "may_reach");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < state->reach.n_items; i++) {
        tw_json_text(&writer, state->reach.items[i].text);
    }
    tw_json_array_end(&writer);
    put_sockets(&writer, state);
    tw_json_object_end(&writer);
}
