/* The descriptors of a process are links such as "socket:[1234]"; what a socket with that number is
 * stands in one of the tables of /proc/PID/net, each a line of head and a line a socket. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "seal/process_state.h"

#define PATH_BYTES   64
#define MOST_FIELDS  12
#define TCP_LISTEN   "0A"
#define LOCAL_WAITS  UINT32_C(0x10000) /* a flag of the table of unix: it listens */
#define LOOPBACK_NET 127

enum form { INET, LOCAL, PLAIN };

static const struct table {
    const char *name;
    enum form form;
    size_t inode_field; /* from 0 */
} tables[] = {
    {"tcp", INET, 9},  {"tcp6", INET, 9},    {"unix", LOCAL, 6},
    {"udp", INET, 9},  {"udp6", INET, 9},    {"raw", INET, 9},
    {"raw6", INET, 9}, {"packet", PLAIN, 8}, {"netlink", PLAIN, 9},
};

#define N_TABLES (sizeof tables / sizeof tables[0])

/* The texts of all tables, each ending with a zero byte; size 0: it is not there. */
struct texts {
    struct tw_buf of[N_TABLES];
};

/* ---- a line ---- */

/* The fields of one line, which is cut up. */
static size_t split(char *line, char *ret_fields[MOST_FIELDS])
{
    size_t n = 0;
    char *at = line;
    while (n < MOST_FIELDS) {
        at += strspn(at, " ");
        if (*at == '\0') {
            break;
        }
        ret_fields[n++] = at;
        at += strcspn(at, " ");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    return n;
}

/* "0100007F:1F90": words of 32 bits as the machine has them, and the port. */
static bool read_address(const char *text, union tw_reach_socket_address *ret_address)
{
    const char *colon = strchr(text, ':');
    const size_t n_digits = colon != NULL ? (size_t)(colon - text) : 0;
    uint32_t words[4] = {0};
    if (n_digits != 8 && n_digits != 32) {
        return false;
    }
    for (size_t i = 0; i < n_digits / 8; i++) {
        char word[9];
        memcpy(word, text + i * 8, 8);
        word[8] = '\0';
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    memset(ret_address, 0, sizeof *ret_address);
    const in_port_t port = htons((uint16_t)strtoul(colon + 1, NULL, 16));
    if (n_digits == 8) {
        ret_address->in4 = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = words[0]};
    } else {
        ret_address->in6.sin6_family = AF_INET6;
        ret_address->in6.sin6_port = port;
        memcpy(&ret_address->in6.sin6_addr, words, sizeof words);
    }
    return true;
}

static bool is_loopback(const union tw_reach_socket_address *address)
{
    if (address->any.sa_family == AF_INET) {
        return ntohl(address->in4.sin_addr.s_addr) >> 24 == LOOPBACK_NET;
    }
    const uint8_t *bytes = address->in6.sin6_addr.s6_addr;
    return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr) && bytes[12] == LOOPBACK_NET);
}

static void take_inet(char *const *fields, const struct table *table,
                      struct tw_process_socket *socket)
{
    union tw_reach_socket_address own, peer;
    const bool is_tcp = strncmp(table->name, "tcp", 3) == 0;
    if (!read_address(fields[1], &own) || !read_address(fields[2], &peer)) {
        return;
    }
    const bool listens = is_tcp && strcmp(fields[3], TCP_LISTEN) == 0;
    tw_reach_format(&own, sizeof own, socket->own);
    socket->kind = listens ? TW_SOCKET_LISTENS : is_tcp ? TW_SOCKET_CONNECTED : TW_SOCKET_OTHER;
    socket->is_loopback = is_loopback(listens ? &own : &peer);
    if (!listens) {
        tw_reach_format(&peer, sizeof peer, socket->peer);
    }
}

static void take_local(char *const *fields, size_t n_fields, struct tw_process_socket *socket)
{
    const bool listens = (strtoul(fields[3], NULL, 16) & LOCAL_WAITS) != 0;
    socket->kind = listens ? TW_SOCKET_LISTENS : TW_SOCKET_LOCAL;
    socket->is_loopback = true;
    if (n_fields > 7) {
        snprintf(socket->own, sizeof socket->own, "unix:%s", fields[7]);
    }
}

/* Looks for the socket in one table. */
static bool find_in(const struct table *table, const char *text, const char *inode,
                    struct tw_process_socket *socket)
{
    char *fields[MOST_FIELDS];
    for (const char *at = strchr(text, '\n'); at != NULL && at[1] != '\0'; at = strchr(at, '\n')) {
        char line[512];
        at++;
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        const size_t n_fields = split(line, fields);
        if (n_fields <= table->inode_field || strcmp(fields[table->inode_field], inode) != 0) {
            continue;
        }
        socket->table = table->name;
        if (table->form == INET) {
            take_inet(fields, table, socket);
        } else if (table->form == LOCAL) {
            take_local(fields, n_fields, socket);
        }
        return true;
    }
    return false;
}

/* ---- all of a process ---- */

static void load_tables(pid_t pid, struct texts *texts)
{
    for (size_t i = 0; i < N_TABLES; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, tables[i].name);
        if (tw_file_load(path, TW_LIMIT_SEAL_PROC_BYTES, &texts->of[i], NULL) != TW_OK) {
            tw_buf_init(&texts->of[i], 1); /* a kernel without that family */
            continue;
        }
        texts->of[i].bound_bytes++;
        if (!tw_buf_append(&texts->of[i], "", 1)) {
            tw_buf_free(&texts->of[i]);
        }
    }
}

static void free_tables(struct texts *texts)
{
    for (size_t i = 0; i < N_TABLES; i++) {
        tw_buf_free(&texts->of[i]);
    }
}

/* Sockets that are not connected, or no more, are in no table; the kernel still has their family
 * for whoever asks. */
static bool is_idle(pid_t pid, int fd)
{
    static const char *const families[] = {"TCP", "TCPv6", "UNIX", "UNIX-STREAM"};
    char path[PATH_BYTES], family[32] = "";
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    if (getxattr(path, "system.sockprotoname", family, sizeof family - 1) <= 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(family, families[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_socket(const struct texts *texts, int fd, const char *inode,
                       struct tw_process_state *state)
{
    struct tw_process_socket *sockets =
        tw_mem_realloc(state->sockets, state->n_sockets + 1, sizeof *sockets);
    if (sockets == NULL) {
        return false;
    }
    struct tw_process_socket *socket = &sockets[state->n_sockets++];
    state->sockets = sockets;
    *socket = (struct tw_process_socket){.fd = fd, .kind = TW_SOCKET_OTHER, .table = "socket"};
    for (size_t i = 0; i < N_TABLES; i++) {
        if (texts->of[i].size_bytes > 0 && find_in(&tables[i], texts->of[i].data, inode, socket)) {
            return true;
        }
    }
    socket->kind = is_idle(state->pid, fd) ? TW_SOCKET_IDLE : TW_SOCKET_OTHER;
    return true;
}

/* A connection whose own end is the port of one that listens has come in. */
static void tell_accepted(struct tw_process_state *state)
{
    for (size_t i = 0; i < state->n_sockets; i++) {
        struct tw_process_socket *socket = &state->sockets[i];
        const char *port = strrchr(socket->own, ':');
        for (size_t k = 0; socket->kind == TW_SOCKET_CONNECTED && k < state->n_sockets; k++) {
            const struct tw_process_socket *door = &state->sockets[k];
            const char *door_port = strrchr(door->own, ':');
            if (door->kind == TW_SOCKET_LISTENS && strncmp(door->table, "tcp", 3) == 0 &&
                port != NULL && door_port != NULL && strcmp(port, door_port) == 0) {
                socket->kind = TW_SOCKET_ACCEPTED;
            }
        }
    }
}

static bool add_file(int folder_fd, const char *name, const struct texts *texts,
                     struct tw_process_state *state)
{
    static const char prefix[] = "socket:[";
    char text[PATH_BYTES];
    const ssize_t n = readlinkat(folder_fd, name, text, sizeof text - 1);
    if (n <= 0) {
        return true; /* closed meanwhile */
    }
    text[n] = '\0';
    if (strncmp(text, prefix, sizeof prefix - 1) != 0) {
        state->n_files++;
        return true;
    }
    text[n - 1] = '\0'; /* the bracket */
    return add_socket(texts, (int)strtol(name, NULL, 10), text + sizeof prefix - 1, state);
}

enum tw_status tw_process_sockets_read(pid_t pid, struct tw_process_state *ret_state,
                                       struct tw_error *error)
{
    char path[PATH_BYTES];
    struct texts texts;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return tw_error_set(error, errno == ENOENT ? TW_ERR_NOT_FOUND : TW_ERR_DENIED,
                            TW_NO_POSITION,
                            "cannot see what process %d has open: %s; ask as its user, or as root",
                            (int)pid, strerror(errno));
    }
    load_tables(pid, &texts);
    ret_state->pid = pid;
    bool ok = true;
    for (const struct dirent *entry = readdir(folder); ok && entry != NULL;
         entry = readdir(folder)) {
        ok = entry->d_name[0] == '.' || add_file(dirfd(folder), entry->d_name, &texts, ret_state);
    }
    closedir(folder);
    free_tables(&texts);
    tell_accepted(ret_state);
    return ok ? TW_OK : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for sockets");
}
