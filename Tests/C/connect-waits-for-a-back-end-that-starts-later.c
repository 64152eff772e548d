/* SPDX-License-Identifier: BSD-3-Clause */
/* tsan: yes (a peer in a thread of its own) */
/* The device process listens a moment after the VMM has begun to connect. That is no failure while there is time. */
#include "device-rig.h"

#include <sys/un.h>

static char *path;
static peer late;

static void *begin_later(void *user_data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)user_data;
    usleep(100000);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 1) == 0);
    peer_start(&late, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    close(listener);
    return NULL;
}

int main(void)
{
    char *directory = new_directory();
    path = g_strdup_printf("%s/socket", directory);
    pthread_t thread;
    peer_init(&late);
    peer_add_region(&late, 0, 16 * PAGE);
    CHECK(pthread_create(&thread, NULL, begin_later, NULL) == 0);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, NULL, &error));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    CHECK(vhushmem_frontend_is_ready(frontend));
    pthread_join(thread, NULL);
    vhushmem_frontend_free(frontend);
    peer_end(&late);
    unlink(path);
    rmdir(directory);
    g_free(path);
    g_free(directory);
    return 0;
}
