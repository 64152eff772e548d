/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program's first callback receives the events that came before it, in order. Beyond a bound the oldest are dropped. A
 * callback that was removed gets none.
 */
#include "rig.h"

#define MOST_THAT_WAIT 1024

static rig r;
static int told, first, last;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    if (told++ == 0) {
        first = (int)event->type;
    }
    last = (int)event->type;
}

static void ask(uint32_t request, int fd)
{
    message answer;
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, request, 0x9, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
    vhushmem_frontend_dispatch(r.frontend);
    EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
    EQ(u64_of(&answer), 0);
}

/* A front-end that was never given a callback, and a back-end that asked for this many mappings. */
static void open_without_callback(int requests)
{
    int pair[2];
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    peer_start(&r.peer, pair[1]);
    r.wire = true;
    r.frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    r.device = some(vhushmem_frontend_device(r.frontend));
    ok(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error));
    rig_connected(&r);
    int fd = memfd_of(PAGE, 1);
    for (int i = 0; i < requests; i++) {
        ask(MAP, fd);
        ask(UNMAP, -1);
    }
    close(fd);
}

int main(void)
{
    told = 0;
    open_without_callback(1);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, NULL, NULL));
    CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), PATIENCE_MS));
    PUMP_UNTIL(r.frontend, told == 3);
    EQ(first, VHUSHMEM_EVENT_READY);
    EQ(last, VHUSHMEM_EVENT_UNMAP);
    CHECK(!wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), 0));
    rig_close(&r);

    told = 0;
    open_without_callback(MOST_THAT_WAIT);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, NULL, NULL));
    pump(r.frontend);
    EQ(told, MOST_THAT_WAIT);
    EQ(first, VHUSHMEM_EVENT_MAP);
    rig_close(&r);

    /* A callback that was removed hears nothing, and the events of that time are not kept for the next. */
    told = 0;
    open_without_callback(1);
    ok(vhushmem_frontend_set_callback(r.frontend, NULL, NULL, NULL));
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, NULL, NULL));
    pump(r.frontend);
    EQ(told, 0);
    rig_close(&r);
    return 0;
}
