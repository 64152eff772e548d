/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end process is killed (SIGKILL) before and after each of its answers in a full life: handshake, start, map, unmap,
 * stop, reset. The front-end lives, reports what happened, keeps no mapping and no descriptor, and serves the next back-end.
 */
#include "device-rig.h"

#include <signal.h>

static struct {
    int events[VHUSHMEM_EVENT_CONFIG_CHANGE + 1];
    char why[300];
} told;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    told.events[event->type]++;
    if (event->type == VHUSHMEM_EVENT_DISCONNECT) {
        snprintf(told.why, sizeof(told.why), "%s", event->message);
    }
}

/* ---- the back-end's process ---- */

static int steps_left;

static void step(void)
{
    if (steps_left-- == 0) {
        raise(SIGKILL);
    }
}

static void ask(int channel, uint32_t request, VhostUserMMap m, int fd)
{
    message answer;
    send_message(channel, request, 0x9, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
    step();
    EQ(receive(channel, &answer, PATIENCE_MS), 1);
    EQ(u64_of(&answer), 0);
    step();
}

static void live(int main)
{
    uint64_t page = PAGE;
    int channel = -1, file = memfd_of(2 * page, 1);
    message m;
    peer p;
    peer_init(&p);
    peer_add_region(&p, 0, 16 * page);
    p.main = main;
    p.queues = 1;
    p.slots = 8;
    p.protocol_features = DEVICE_FEATURES;
    p.answer = device_answer;
    while (receive(main, &m, -1) > 0) {
        step();
        if (m.header.request == SET_BACKEND_REQ_FD) {
            channel = m.fds[0];
        }
        peer_reply(&p, &m);
        step();
        if (m.header.request == SET_STATUS && device_status == 15) {
            ask(channel, MAP, mmap_of(0, 0, 0, page, 1), file);
            ask(channel, UNMAP, mmap_of(0, 0, 0, page, 0), -1);
            ask(channel, MAP, mmap_of(0, page, 3 * page, page, 0), file);
        }
    }
    _exit(0);
}

/* ---- the VMM ---- */

static bool is_over(void) { return told.events[VHUSHMEM_EVENT_DISCONNECT] > 0; }

#define UNTIL(condition) PUMP_UNTIL(frontend, (condition) || is_over())

/* One life, whose back-end dies at this step. Returns whether it ended by itself. */
static bool one_life(int steps)
{
    int pair[2], file = memfd_of(4 * PAGE, 1), kick = eventfd(0, EFD_CLOEXEC), status;
    vhushmem_guest_memory ram = memory_of(0x100000, 0x4000, file, 0);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    memset(&told, 0, sizeof(told));
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(pair[0]);
        steps_left = steps;
        live(pair[1]);
    }
    close(pair[1]);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    vhushmem_device *device = vhushmem_device_ref(vhushmem_frontend_device(frontend));
    ok(vhushmem_frontend_set_callback(frontend, on_event, NULL, NULL));

    int rc = vhushmem_frontend_connect(frontend, PATIENCE_MS, &error);
    if (rc == 0) {
        ok(vhushmem_frontend_set_memory(frontend, &ram, 1, &error));
        rc = vhushmem_frontend_start_device(frontend, BIT(32), &queue, 1, &error);
    }
    if (rc == 0) {
        UNTIL(told.events[VHUSHMEM_EVENT_MAP] == 2);
        rc = vhushmem_frontend_stop_device(frontend, NULL, 0, &error);
        rc = rc < 0 ? rc : 0;
    }
    if (rc == 0) {
        rc = vhushmem_frontend_reset(frontend, &error);
    }
    if (rc == 0) {
        UNTIL(told.events[VHUSHMEM_EVENT_RESET] == 1);
        /* Nothing else is sent. This request also notices a back-end that died after its last answer. */
        rc = vhushmem_frontend_get_device_status(frontend, &error);
        rc = rc < 0 ? rc : 0;
    }
    bool lived = !is_over() && rc == 0;
    if (!lived) {
        /* A call that failed has a message, and the end was told, or is told now. */
        CHECK(rc >= 0 || (error != NULL && strlen(error->message) > 10));
        UNTIL(false);
        EQ(told.events[VHUSHMEM_EVENT_DISCONNECT], 1);
        CHECK(strlen(told.why) > 10);
        CHECK(!vhushmem_frontend_is_ready(frontend));
    }
    g_clear_error(&error);
    EQ(vhushmem_device_mapping_count(device), 0);
    vhushmem_frontend_free(frontend);
    vhushmem_device_unref(device);
    CHECK(waitpid(child, &status, 0) == child);
    /* It may have died in its last step, after its last answer. Nobody had to notice that. */
    bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    CHECK(ended ? lived : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(file);
    close(kick);
    return ended;
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    int step = 0, every = under_valgrind() ? 7 : 1;
    CHECK(one_life(1000)); /* the first life is undisturbed: it makes what the process makes once */
    g_free(maps);
    maps = maps_now();
    while (!one_life(step)) {
        step += every;
        CHECK(step < 200);
    }
    CHECK(step > 50); /* a full life has at least as many messages and answers */
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
