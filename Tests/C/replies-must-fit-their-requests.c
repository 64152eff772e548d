/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reply to SET_DEVICE_STATE_FD says whether a descriptor comes with it; a reply to GET_VRING_BASE names its queue. A reply
 * that contradicts itself, or belongs to something else, is refused. A descriptor with any other reply, or with an
 * acknowledgement, ends the connection.
 */
#include "device-rig.h"

static uint64_t state_value;
static bool has_descriptor;
static int file;
static uint32_t queue, base;

static bool odd_answer(peer *p, const message *m)
{
    if (m->header.request == SET_DEVICE_STATE_FD) {
        reply_with(p, m, &state_value, sizeof(state_value), has_descriptor ? file : -1);
        return true;
    }
    if (m->header.request == GET_VRING_BASE) {
        uint32_t words[2] = {queue, base};
        reply_with(p, m, words, sizeof(words), -1);
        return true;
    }
    return device_answer(p, m);
}

static int transfer(rig *r)
{
    int ends[2], use = -1;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    int result = vhushmem_frontend_set_device_state_fd(r->frontend, VHUSHMEM_STATE_SAVE, ends[1], &use, &error);
    if (result < 0) {
        close(ends[1]);
    }
    EQ(use >= 0, result == 0 && has_descriptor);
    if (use >= 0) {
        close(use);
    }
    close(ends[0]);
    return result;
}

static void state(void)
{
    enum { NONE = 0x100 };
    rig r;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.answer = odd_answer;
    file = memfd_of(PAGE, 1);
    char *fds = fds_now();
    for (int says = 0; says < 2; says++) {
        for (int has = 0; has < 2; has++) {
            state_value = says ? 0 : NONE;
            has_descriptor = has;
            if (says == has) {
                ok(transfer(&r));
            } else {
                refused(transfer(&r), -EPROTO, "SET_DEVICE_STATE_FD");
            }
        }
    }
    same(fds, fds_now());
    close(file);
    rig_close(&r);
}

static void vring_base(uint32_t replied_queue, uint32_t replied_base, bool is_right)
{
    rig r;
    uint16_t stopped = 0;
    int kick = eventfd(0, EFD_CLOEXEC);
    vhushmem_queue one = queue_of(64, 0, 0x10000, kick);
    queue = replied_queue;
    base = replied_base;
    device_rig_open(&r, 2, PROTOCOL_DEFAULTS);
    r.peer.answer = odd_answer;
    ok(vhushmem_frontend_start_device(r.frontend, 0, &one, 1, &error));
    if (is_right) {
        EQ(vhushmem_frontend_stop_device(r.frontend, &stopped, 1, &error), 1);
        EQ(stopped, replied_base);
    } else {
        refused(vhushmem_frontend_stop_device(r.frontend, &stopped, 1, &error), -EPROTO, "GET_VRING_BASE");
    }
    close(kick);
    rig_close(&r);
}

static uint32_t brings;

static bool bring(peer *p, const message *m)
{
    uint64_t value = 0;
    if (m->header.request != brings) {
        return device_answer(p, m);
    }
    reply_with(p, m, &value, sizeof(value), file);
    return true;
}

static void descriptors(uint32_t request)
{
    rig r;
    file = memfd_of(PAGE, 1);
    char *fds = fds_now();
    device_rig_open(&r, 1, DEVICE_FEATURES);
    brings = request;
    r.peer.answer = bring;
    if (request == GET_STATUS) {
        refused(vhushmem_frontend_get_device_status(r.frontend, &error), -EPROTO, "GET_STATUS", "1 file descriptors");
    } else {
        refused(vhushmem_frontend_set_device_status(r.frontend, 1, &error), -EPROTO, "SET_STATUS", "1 file descriptors");
    }
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    rig_close(&r);
    same(fds, fds_now());
    close(file);
}

int main(void)
{
    state();
    descriptors(GET_STATUS);
    descriptors(SET_STATUS);
    vring_base(0, 5, true);
    vring_base(1, 5, false);
    vring_base(0x80000000, 5, false);
    vring_base(0, 0x10000, false);
    return 0;
}
