/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that does not know RESET_DEVICE is stopped instead: its queues stop, and the device can be started again. */
#include "virtqueue-rig.h"

static int resets;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    resets += event->type == VHUSHMEM_EVENT_RESET;
}

static void with(uint64_t without)
{
    queue_rig q;
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .protocol_features = (PROTOCOL_DEFAULTS | BIT(16)) & ~BIT(13) & ~without};
    queue_rig_open_with(&q, NULL, &options, NULL);
    ok(vhushmem_frontend_set_callback(q.frontend, on_event, NULL, NULL));
    resets = 0;
    for (int i = 1; i <= 2; i++) {
        queue_rig_start(&q, 16, 0, 0);
        WAIT_UNTIL(seen(&q.events[VHUSHMEM_QUEUE_STARTED]) == i);
        ok(vhushmem_frontend_reset(q.frontend, &error));
        CHECK(!vhushmem_frontend_is_started(q.frontend));
        int fd = (int)ok(vhushmem_frontend_get_fd(q.frontend));
        STEP_UNTIL(resets == i, wait_readable(fd, 10) ? (void)vhushmem_frontend_dispatch(q.frontend) : (void)0);
        EQ(seen(&q.events[VHUSHMEM_QUEUE_STOPPED]), i);
        CHECK(!vhushmem_backend_queue_is_running(q.backend, 0));
    }
    queue_rig_start(&q, 16, 0, 0);
    set_descriptor(&q, DESC, 0, BUFFERS, 8, 0, 0);
    offer(&q, 0);
    kick(&q);
    EQ(taken_back(&q, NULL), 0);
    queue_rig_close(&q);
}

int main(void)
{
    char *fds = fds_now();
    with(0);
    with(BIT(16)); /* nor a status */
    with(BIT(3));  /* nor acknowledgements */
    same(fds, fds_now());
    return 0;
}
