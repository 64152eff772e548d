/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end without a free descriptor to accept with waits a little between its tries, reports that once, and accepts in
   the end. */
#include "backend-rig.h"

#include <sys/resource.h>

static int warnings;

static GLogWriterOutput count_warnings(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user_data)
{
    (void)fields;
    (void)count;
    (void)user_data;
    warnings += (level & G_LOG_LEVEL_WARNING) != 0;
    return G_LOG_WRITER_HANDLED;
}

int main(void)
{
    if (under_valgrind()) {
        skip("valgrind has its own limit in place of RLIMIT_NOFILE");
    }
    char *directory = new_directory();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    g_log_set_writer_func(count_warnings, NULL, NULL);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(backend, address.sun_path, &error));
    int fd = (int)ok(vhushmem_backend_get_fd(backend));
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(peer, (struct sockaddr *)&address, sizeof(address)) == 0);

    struct rlimit all, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &all) == 0);
    none = all;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int wakeups = 0;
    for (int64_t end = now_ms() + 300; now_ms() < end;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        /* poll(2) takes at most RLIMIT_NOFILE entries, and this is one. */
        if (poll(&p, 1, 20) > 0) {
            wakeups++;
            ok(vhushmem_backend_dispatch(backend));
        }
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
    CHECK(wakeups >= 1 && wakeups < 20);
    EQ(warnings, 1);

    send_message(peer, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    for (int64_t end = now_ms() + PATIENCE_MS; !wait_readable(peer, 0);) {
        CHECK(now_ms() < end);
        if (wait_readable(fd, 20)) {
            ok(vhushmem_backend_dispatch(backend));
        }
    }
    vhushmem_backend_free(backend);
    close(peer);
    remove_directory(directory);
    return 0;
}
