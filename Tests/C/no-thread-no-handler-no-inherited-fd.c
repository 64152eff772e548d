/* SPDX-License-Identifier: BSD-3-Clause */
/* The library starts no thread until a peer sends a descriptor whose close may wait. It installs no signal handler, and none
   of its descriptors survives an exec. */
#include "rig.h"

#include <signal.h>

static int thread_count(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

int main(void)
{
    struct sigaction before[65], after;
    char *fds = fds_now();
    for (int s = 1; s < 65; s++) {
        memset(&before[s], 0, sizeof(before[s]));
        sigaction(s, NULL, &before[s]);
    }
    sigset_t mask_before, mask_after;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    int threads = thread_count();

    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    GMainContext *context = g_main_context_new();
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_get_fd(backend));
    rig_still_works(&r);

    EQ(thread_count(), threads + 1); /* the peer's thread */
    /* The close of a socket may wait, so a thread does it, and ends. */
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    refused(wire_map(&r, 0, pair[0], 0, 0, PAGE, 0), -ENODEV);
    close(pair[0]);
    char byte;
    EQ(recv(pair[1], &byte, 1, 0), 0);
    close(pair[1]);
    STEP_UNTIL(thread_count() == threads + 1, usleep(1000));
    for (int s = 1; s < 65; s++) {
        memset(&after, 0, sizeof(after));
        sigaction(s, NULL, &after);
        CHECK(after.sa_handler == before[s].sa_handler);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int s = 1; s < 65; s++) {
        EQ(sigismember(&mask_before, s), sigismember(&mask_after, s));
    }
    int checked = 0;
    for (int fd = 0; fd < 1000; fd++) {
        char line[32];
        snprintf(line, sizeof(line), "\n%d ", fd);
        if (fcntl(fd, F_GETFD) >= 0 && fd > 2 && strstr(fds, line) == NULL) {
            if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC)) {
                FAIL("descriptor %d has no FD_CLOEXEC", fd);
            }
            checked++;
        }
    }
    CHECK(checked > 3);
    g_free(fds);
    g_source_unref(source);
    g_main_context_unref(context);
    vhushmem_backend_free(backend);
    rig_close(&r);
    return 0;
}
