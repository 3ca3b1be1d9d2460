/* Sockets of the file system: private from the beginning, and nobody's who is still there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

static char folder[] = "/tmp/tw_local_XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/socket", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int connect_to(const char *address_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, address_path, strlen(address_path));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void a_socket_is_for_its_owner_alone_and_is_replaced_when_nobody_listens(void **state)
{
    (void)state;
    struct tw_error error;
    struct stat is;
    int fd = -1, other = -1;
    assert_int_equal(tw_http_listen_local(path, &fd, &error), TW_OK);
    assert_int_equal(stat(path, &is), 0);
    assert_true(S_ISSOCK(is.st_mode));
    assert_int_equal(is.st_mode & 0777, 0600);
    assert_int_equal(tw_http_listen_local(path, &other, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "another process listens"));
    close(fd); /* as a process that was killed leaves it */
    assert_int_equal(tw_http_listen_local(path, &fd, &error), TW_OK);
    close(connect_to(path));
    close(fd);
    unlink(path);
}

static void what_is_no_socket_stays(void **state)
{
    (void)state;
    struct tw_error error;
    int fd = -1;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("somebody's", file);
    fclose(file);
    assert_int_equal(tw_http_listen_local(path, &fd, &error), TW_ERR_IO);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(tw_http_listen_local(longer, &fd, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_http_listen_local("", &fd, &error), TW_ERR_LIMIT);
}

/* Answers with the client's user. */
static void tell(void *context, struct tw_http_request *request)
{
    uint32_t uid = 0;
    char text[32] = "unknown";
    (void)context;
    if (tw_http_peer_user(request, &uid)) {
        snprintf(text, sizeof text, "user %u", (unsigned)uid);
    }
    tw_http_answer(request, 200, NULL, 0, text, strlen(text));
    tw_http_release(request);
}

static void ask(int fd, const char *expected)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    char answer[2048] = "";
    size_t n = 0;
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    for (ssize_t got = 1; got > 0 && n<sizeof answer - 1; n += got> 0 ? (size_t)got : 0) {
        got = read(fd, answer + n, sizeof answer - 1 - n);
    }
    close(fd);
    if (strstr(answer, expected) == NULL) {
        fail_msg("'%s' is not in %s", expected, answer);
    }
}

static void a_server_knows_the_user_of_a_local_client_and_of_no_other(void **state)
{
    (void)state;
    struct tw_http_config config = tw_http_defaults();
    struct tw_http_server *local = NULL, *other = NULL;
    struct tw_error error;
    char expected[32];
    config.handler = tell;
    config.port = 0;
    config.max_connections = 4;
    assert_int_equal(tw_http_server_start(&config, &other, &error), TW_OK);
    assert_int_equal(tw_http_listen_local(path, &config.listen_fd, &error), TW_OK);
    assert_int_equal(tw_http_server_start(&config, &local, &error), TW_OK);
    snprintf(expected, sizeof expected, "user %u", (unsigned)geteuid());
    ask(connect_to(path), expected);
    struct sockaddr_in in4 = {.sin_family = AF_INET,
                              .sin_port = htons(tw_http_server_port(other)),
                              .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&in4, sizeof in4), 0);
    ask(fd, "unknown");
    tw_http_server_stop(local);
    tw_http_server_stop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_is_for_its_owner_alone_and_is_replaced_when_nobody_listens),
        cmocka_unit_test(what_is_no_socket_stays),
        cmocka_unit_test(a_server_knows_the_user_of_a_local_client_and_of_no_other),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
