/* SPDX-License-Identifier: BSD-3-Clause */
/* 200 devices with back-ends that all map and unmap at once, on one GMainLoop. All are served, and nothing is left. */
/* tsan: yes (a thread for each device) */
/* valgrind: no (it runs one of 201 threads at a time; AddressSanitizer runs the test) */
#include "peer.h"

#include <sys/resource.h>

#define DEVICES 200

static int rounds, ready, over, finished;
static GMainLoop *loop;
static peer peers[DEVICES];
static vhushmem_frontend *frontends[DEVICES];
static int file;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    ready += event->type == VHUSHMEM_EVENT_READY;
    over += event->type == VHUSHMEM_EVENT_DISCONNECT;
}

static void ask(int channel, uint32_t request, const VhostUserMMap *map)
{
    message m;
    send_message(channel, request, 0x9, map, sizeof(*map), &file, request == MAP ? 1 : 0);
    EQ(receive(channel, &m, PATIENCE_MS), 1);
    EQ(u64_of(&m), 0);
}

static void *work(void *user_data)
{
    int channel = peers[(intptr_t)user_data].channel;
    for (int i = 0; i < rounds; i++) {
        VhostUserMMap map = {.shm_offset = (uint64_t)(i % 16) * PAGE, .len = PAGE};
        ask(channel, MAP, &map);
        ask(channel, UNMAP, &map);
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_RELEASE);
    return NULL;
}

int main(void)
{
    struct rlimit files;
    pthread_t threads[DEVICES];
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    if (files.rlim_cur < 16 * DEVICES) {
        skip("there are too few descriptors for 200 devices");
    }
    char *fds = fds_now();
    rounds = steps(100);
    file = memfd_of(PAGE, 1);
    loop = g_main_loop_new(NULL, FALSE);
    for (intptr_t i = 0; i < DEVICES; i++) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        peer_init(&peers[i]);
        peer_add_region(&peers[i], 0, 16 * PAGE);
        peer_start(&peers[i], pair[1]);
        frontends[i] = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
        ok(vhushmem_frontend_set_callback(frontends[i], on_event, NULL, NULL));
        GSource *source = vhushmem_frontend_source_new(frontends[i]);
        g_source_attach(source, NULL);
        g_source_unref(source);
        ok(vhushmem_frontend_start(frontends[i], &error));
    }
    while (ready < DEVICES) {
        g_main_context_iteration(NULL, TRUE);
        EQ(over, 0);
    }
    int64_t begun = now_ms();
    for (intptr_t i = 0; i < DEVICES; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    }
    while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < DEVICES) {
        if (!g_main_context_iteration(NULL, FALSE)) {
            usleep(100);
        }
    }
    int64_t took = MAX(now_ms() - begun, 1);
    printf("note: %d requests in %d ms\n", 2 * rounds * DEVICES, (int)took);
    for (int i = 0; i < DEVICES; i++) {
        pthread_join(threads[i], NULL);
        EQ(vhushmem_device_mapping_count(vhushmem_frontend_device(frontends[i])), 0);
        vhushmem_frontend_free(frontends[i]);
        peer_end(&peers[i]);
    }
    EQ(over, 0);
    g_main_loop_unref(loop);
    close(file);
    while (g_main_context_iteration(NULL, FALSE)) {}
    int left = 0;
    for (char *a = fds_now(), *line = strtok(a, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        left += strstr(fds, line) == NULL && strstr(line, "eventfd") == NULL; /* an eventfd of GLib stays */
    }
    EQ(left, 0);
    g_free(fds);
    return 0;
}
