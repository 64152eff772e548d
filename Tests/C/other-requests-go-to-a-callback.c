/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end's other requests go to a callback. A change of the configuration is an event, and its callback can read the
 * configuration.
 */
#include "device-rig.h"

enum { CONFIG_CHANGE = 2, VRING_HOST_NOTIFIER = 3, VRING_CALL = 4 };

static rig r;
static int calls, config_changes;
static uint8_t config_seen;

static int take(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    uint8_t byte;
    CHECK(frontend == r.frontend && user_data == &r);
    calls++;
    EQ(request->nfds, request->request == VRING_HOST_NOTIFIER ? 1 : 0);
    /* The back-end may wait for this answer before it answers anything. */
    err(vhushmem_frontend_get_config(frontend, 0, &byte, 1, &error), -EDEADLK);
    return request->request == VRING_CALL ? -EINVAL : 0;
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)user_data;
    if (event->type == VHUSHMEM_EVENT_CONFIG_CHANGE) {
        config_changes++;
        ok(vhushmem_frontend_get_config(frontend, 0, &config_seen, 1, &error));
    }
}

static int64_t ask(uint32_t request, const void *payload, uint32_t size, const int *fds, int nfds)
{
    message m;
    send_message(r.channel, request, 0x9, payload, size, fds, nfds);
    pump(r.frontend);
    EQ(receive(r.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    return (int64_t)u64_of(&m);
}

int main(void)
{
    uint8_t area[24] = {0};
    int fd = memfd_of(PAGE, 1);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, NULL, NULL));
    EQ(ask(VRING_HOST_NOTIFIER, area, sizeof(area), &fd, 1), -EOPNOTSUPP);
    ok(vhushmem_frontend_set_request_callback(r.frontend, take, &r, NULL));
    EQ(ask(VRING_HOST_NOTIFIER, area, sizeof(area), &fd, 1), 0);
    EQ(ask(VRING_CALL, area, 8, NULL, 0), -EINVAL);
    EQ(calls, 2);

    device_config[0] = 42;
    EQ(ask(CONFIG_CHANGE, NULL, 0, NULL, 0), 0);
    EQ(config_changes, 1);
    EQ(config_seen, 42);
    EQ(ask(CONFIG_CHANGE, area, 1, NULL, 0), -EINVAL);
    EQ(ask(CONFIG_CHANGE, NULL, 0, &fd, 1), -EINVAL);
    EQ(calls, 2);
    EQ(config_changes, 1);
    /* A program that hears no events has not heard of it. */
    ok(vhushmem_frontend_set_callback(r.frontend, NULL, NULL, NULL));
    EQ(ask(CONFIG_CHANGE, NULL, 0, NULL, 0), -EOPNOTSUPP);
    rig_close(&r);
    device_rig_open(&r, 1, PROTOCOL_DEFAULTS & ~BIT(VHOST_USER_PROTOCOL_F_CONFIG));
    EQ(ask(CONFIG_CHANGE, NULL, 0, NULL, 0), -EOPNOTSUPP);
    rig_close(&r);
    close(fd);
    return 0;
}
