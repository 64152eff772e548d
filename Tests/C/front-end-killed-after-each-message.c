/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end process is killed (SIGKILL) after each message of a full life. The back-end lives, says what happened, and
 * keeps no descriptor and no guest memory. It serves the next front-end from the beginning.
 */
#include "backend-rig.h"

#include <signal.h>
#include <sys/eventfd.h>

static int events[5], asked, steps_left;
static char why[300];

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    events[event->type]++;
    if (event->message != NULL) {
        snprintf(why, sizeof(why), "%s", event->message);
    }
}

/* On a kick the device asks for a mapping, and takes it back. */
static void on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    int file = *(int *)user_data;
    (void)queue;
    (void)message;
    if (event == VHUSHMEM_QUEUE_KICKED && vhushmem_backend_map(backend, 0, file, 0, 0, PAGE, 0, NULL) == 0) {
        asked += vhushmem_backend_unmap(backend, 0, 0, PAGE, NULL) == 0;
    }
}

/* ---- the front-end's process ---- */

static void step(void)
{
    if (steps_left-- == 0) {
        raise(SIGKILL);
    }
}

static void say(int main, uint32_t request, const void *payload, uint32_t size, int fd)
{
    message m;
    send_message(main, request, 0x9, payload, size, &fd, fd >= 0 ? 1 : 0);
    step();
    EQ(receive(main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    step();
}

static void serve(int channel, uint32_t request)
{
    message m;
    uint64_t done = 0;
    EQ(receive(channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    step();
    send_message(channel, request, 0x5, &done, 8, NULL, 0);
    step();
}

static void live(int main)
{
    uint64_t features = BACKEND_RIG_FEATURES | BIT(13) | BIT(15) | BIT(16), virtio = VIRTIO_DEFAULTS, zero = 0, status = 15;
    uint64_t ram[5] = {0, 0x100000, 4 * PAGE, 0x7f0000000000, 0}, addr[5] = {0, ram[3], ram[3] + 2 * PAGE, ram[3] + PAGE, 0};
    uint32_t num[2] = {0, 8}, one[2] = {0, 1}, none[2] = {0, 0};
    int pair[2], file = memfd_of(4 * PAGE, 0), kick = eventfd(0, 0), call = eventfd(0, 0);
    static const uint8_t zeros[4 * 4096];
    message m;
    CHECK(pwrite(file, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    say(main, GET_FEATURES, NULL, 0, -1);
    say(main, GET_PROTOCOL_FEATURES, NULL, 0, -1);
    send_message(main, SET_PROTOCOL_FEATURES, 0x1, &features, 8, NULL, 0);
    step();
    say(main, SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
    close(pair[1]);
    say(main, SET_OWNER, NULL, 0, -1);
    say(main, GET_SHMEM_CONFIG, NULL, 0, -1);
    say(main, SET_FEATURES, &virtio, 8, -1);
    say(main, ADD_MEM_REG, ram, sizeof(ram), file);
    say(main, SET_VRING_NUM, num, 8, -1);
    say(main, SET_VRING_BASE, none, 8, -1);
    say(main, SET_VRING_ADDR, addr, sizeof(addr), -1);
    say(main, SET_VRING_CALL, &zero, 8, call);
    say(main, SET_VRING_KICK, &zero, 8, kick);
    say(main, SET_VRING_ENABLE, one, 8, -1); /* the device looks into the queue unasked, and finds a reason to map */
    serve(pair[0], MAP);
    serve(pair[0], UNMAP);
    say(main, SET_STATUS, &status, 8, -1);
    say(main, SET_VRING_ENABLE, none, 8, -1);
    say(main, GET_VRING_BASE, none, 8, -1);
    say(main, REM_MEM_REG, ram, sizeof(ram), -1);
    say(main, RESET_DEVICE, NULL, 0, -1);
    CHECK(receive(main, &m, 0) <= 0);
    _exit(0);
}

/* ---- the device ---- */

static bool one_life(vhushmem_backend *backend, int steps)
{
    int pair[2], status;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    memset(events, 0, sizeof(events));
    why[0] = 0;
    asked = 0;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(pair[0]);
        steps_left = steps;
        live(pair[1]);
    }
    close(pair[1]);
    ok(vhushmem_backend_attach(backend, pair[0], &error));
    int64_t end = now_ms() + PATIENCE_MS;
    while (events[VHUSHMEM_BACKEND_DISCONNECT] == 0) {
        CHECK(now_ms() < end);
        if (wait_readable((int)ok(vhushmem_backend_get_fd(backend)), 10)) {
            vhushmem_backend_dispatch(backend);
        }
    }
    EQ(events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    CHECK(strlen(why) > 10);
    CHECK(!vhushmem_backend_is_negotiated(backend));
    EQ(vhushmem_backend_features(backend), 0);
    CHECK(vhushmem_backend_guest_memory(backend, 0x100000, 1) == NULL);
    err(vhushmem_backend_map(backend, 0, 0, 0, 0, PAGE, 0, &error), -ENOTCONN);
    CHECK(waitpid(child, &status, 0) == child);
    bool lived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    CHECK(lived || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    if (lived) {
        EQ(asked, 1);
        EQ(events[VHUSHMEM_BACKEND_RESET], 1);
    }
    return lived;
}

int main(void)
{
    int file = memfd_of(PAGE, 1), step = 0, every = under_valgrind() ? 7 : 1;
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(backend, on_event, NULL, NULL));
    ok(vhushmem_backend_set_handlers(backend, &handlers, &file, NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_get_fd(backend));
    CHECK(one_life(backend, 1000));
    char *fds = fds_now(), *maps = maps_now();
    while (!one_life(backend, step)) {
        step += every;
        CHECK(step < 200);
    }
    CHECK(step > 35);
    same(fds, fds_now());
    same(maps, maps_now());
    vhushmem_backend_free(backend);
    close(file);
    return 0;
}
