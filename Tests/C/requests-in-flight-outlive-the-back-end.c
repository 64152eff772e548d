/* SPDX-License-Identifier: BSD-3-Clause */
/* The front-end keeps the area that a back-end makes for its requests in flight, and gives it back at each start before the
   queues. */
#include "device-rig.h"

static int area_file;
static vhushmem_inflight told = {
    .struct_size = sizeof(told), .size = 0x1000, .offset = 0x2000, .num_queues = 2, .queue_size = 64};

static bool make_area(peer *p, const message *m)
{
    if (m->header.request != GET_INFLIGHT_FD) {
        return device_answer(p, m);
    }
    EQ(m->header.size, 24);
    uint8_t bytes[24] = {0};
    memcpy(bytes, &told.size, 20); /* the rest of the struct has the form of the wire */
    reply_with(p, m, bytes, told.fd >= 0 ? 24 : 20, told.fd >= 0 ? area_file : -1);
    return true;
}

static vhushmem_inflight seen;

static void take(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    EQ(reply->result, 0);
    EQ(reply->payload_size, sizeof(seen));
    memcpy(&seen, reply->payload, sizeof(seen));
    EQ(seen.fd, reply->fd);
    CHECK(fcntl(reply->fd, F_GETFD) >= 0);
}

int main(void)
{
    rig r;
    uint64_t word;
    int kick = eventfd(0, EFD_CLOEXEC);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    area_file = memfd_of(0x4000, 5);
    char *fds = fds_now();
    device_rig_open(&r, 2, DEVICE_FEATURES);
    r.peer.answer = make_area;
    ok(vhushmem_frontend_get_inflight(r.frontend, 2, 64, &area, &error));
    EQ(area.size, 0x1000);
    EQ(area.offset, 0x2000);
    EQ(pread(area.fd, &word, 8, 0x2008), 8);
    EQ(word, pattern(5, 0x2008));
    HEARD(&r, "31");
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    EQ(peer_heard(&r.peer, SET_INFLIGHT_FD, 0)->fd_count, 1);
    CHECK(memcmp(peer_heard(&r.peer, SET_INFLIGHT_FD, 0)->payload, &told.size, 20) == 0);
    HEARD(&r, "2 39 40 32 8 10 9 13 14 12 18 39");
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    ok(vhushmem_frontend_set_inflight(r.frontend, NULL, &error));
    device_rig_heard(&r);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    HEARD(&r, "2 39 40 8 10 9 13 14 12 18 39");
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    ok(vhushmem_frontend_set_inflight(r.frontend, &area, &error));
    close(area.fd);
    device_rig_heard(&r);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    HEARD(&r, "2 39 40 32 8 10 9 13 14 12 18 39");

    ok(vhushmem_frontend_get_inflight_async(r.frontend, 2, 64, take, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, seen.size == 0x1000);
    refused(vhushmem_frontend_get_inflight(r.frontend, 3, 64, &area, &error), -EINVAL, "3");
    refused(vhushmem_frontend_get_inflight(r.frontend, 0, 64, &area, &error), -EINVAL);
    refused(vhushmem_frontend_get_inflight(r.frontend, 1, 0, &area, &error), -EINVAL);
    area.size = 0;
    refused(vhushmem_frontend_set_inflight(r.frontend, &area, &error), -EINVAL);
    area.size = UINT64_MAX;
    refused(vhushmem_frontend_set_inflight(r.frontend, &area, &error), -EINVAL);
    area.size = 0x1000;
    area.fd = -1;
    refused(vhushmem_frontend_set_inflight(r.frontend, &area, &error), -EBADF);

    /* Nonsense is no area. */
    told.fd = -1;
    refused(vhushmem_frontend_get_inflight(r.frontend, 2, 64, &area, &error), -EIO);
    told.fd = 0;
    told.size = 0;
    refused(vhushmem_frontend_get_inflight(r.frontend, 2, 64, &area, &error), -EPROTO);
    told.size = UINT64_MAX;
    refused(vhushmem_frontend_get_inflight(r.frontend, 2, 64, &area, &error), -EPROTO);
    told.size = 0x1000;
    refused(vhushmem_frontend_get_inflight(r.frontend, 1, 64, &area, &error), -EPROTO);
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    rig_close(&r);
    same(fds, fds_now());
    close(kick);
    close(area_file);
    return 0;
}
