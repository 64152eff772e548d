/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After traces were turned on, they report existing front-ends and devices, until they are turned off: each message at a
 * front-end's end of the channel with its header, and each map with its result, in this order.
 */
#include "pair.h"

static struct {
    unsigned wire, maps;
    char order[64]; /* r: a request is received, m: a map is reported, s: an answer is sent */
} seen;

static void on_trace(const vhushmem_trace *trace, void *user_data)
{
    size_t at = strlen(seen.order);
    char what = 'm';
    (void)user_data;
    if (trace->category == VHUSHMEM_TRACE_WIRE) {
        CHECK(trace->is_channel == 1);
        CHECK(trace->request == VHOST_USER_BACKEND_SHMEM_MAP || trace->request == VHOST_USER_BACKEND_SHMEM_UNMAP);
        EQ(trace->size, trace->is_sent ? 8 : sizeof(VhostUserMMap));
        EQ(trace->flags, trace->is_sent ? 5 : 9);
        CHECK(strstr(trace->message, trace->is_sent ? "sends SHMEM_" : "receives SHMEM_") != NULL);
        what = trace->is_sent ? 's' : 'r';
        seen.wire++;
    } else {
        EQ(trace->category, VHUSHMEM_TRACE_MAPS);
        seen.maps++;
    }
    CHECK(at + 1 < sizeof(seen.order));
    seen.order[at] = what;
}

static int turns[2]; /* a pipe: one byte for each turn of the back-end */

static void ask(vhushmem_backend *backend)
{
    int file = memfd_of(PAGE, 1);
    char byte;
    vhushmem_set_debug(0, NULL, NULL, NULL);
    close(turns[1]);
    while (read(turns[0], &byte, 1) == 1) {
        ok(vhushmem_backend_map(backend, 0, file, 0, PAGE, PAGE, 0, &error));
        EQ(vhushmem_backend_map(backend, 0, file, 0, PAGE, PAGE, 0, NULL), -EEXIST);
        ok(vhushmem_backend_unmap(backend, 0, PAGE, PAGE, &error));
    }
}

static unsigned served;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend, (void)user_data;
    served += event->type == VHUSHMEM_EVENT_MAP || event->type == VHUSHMEM_EVENT_UNMAP;
}

static void turn(vhushmem_frontend *frontend)
{
    seen = (__typeof__(seen)){.wire = 0};
    served = 0;
    CHECK(write(turns[1], "", 1) == 1);
    PUMP_FRONTEND_UNTIL(frontend, served == 3);
}

int main(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && pipe(turns) == 0);
    pid_t child = back_end_process(pair[1], pair[0], 16 * PAGE, ask);
    close(turns[0]);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    ok(vhushmem_frontend_set_callback(frontend, on_event, NULL, NULL));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    for (int round = 0; round < 2; round++) {
        turn(frontend);
        EQ(seen.wire + seen.maps, 0);

        ok(vhushmem_set_debug(VHUSHMEM_TRACE_ALL, on_trace, NULL, NULL));
        turn(frontend);
        CHECK(strcmp(seen.order, "rmsrmsrms") == 0);
        ok(vhushmem_set_debug(VHUSHMEM_TRACE_WIRE, on_trace, NULL, NULL));
        turn(frontend);
        CHECK(strcmp(seen.order, "rsrsrs") == 0);
        ok(vhushmem_set_debug(VHUSHMEM_TRACE_MAPS, on_trace, NULL, NULL));
        turn(frontend);
        CHECK(strcmp(seen.order, "mmm") == 0);
        ok(vhushmem_set_debug(0, NULL, NULL, NULL));
    }
    close(turns[1]);
    vhushmem_frontend_free(frontend);
    ends_well(child);
    return 0;
}
