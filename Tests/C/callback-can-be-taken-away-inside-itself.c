/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback may replace or remove itself. Its user_data is destroyed once, after it has returned. */
#include "rig.h"

static int called, destroyed;
static bool inside;

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void second(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)user_data;
    EQ(event->type, VHUSHMEM_EVENT_UNMAP);
    ok(vhushmem_frontend_set_callback(frontend, NULL, NULL, NULL));
    called += 10;
}

static void first(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    CHECK(!inside);
    inside = true;
    EQ(event->type, VHUSHMEM_EVENT_MAP);
    ok(vhushmem_frontend_set_callback(frontend, second, user_data, destroy));
    called++;
    inside = false;
}

int main(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    ok(vhushmem_frontend_set_callback(r.frontend, first, NULL, destroy));
    int fd = memfd_of(PAGE, 1);
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    ok(rig_answer(&r, MAP));
    EQ(called, 1);
    EQ(destroyed, 1);
    send_message(r.channel, UNMAP, 0x9, &m, sizeof(m), NULL, 0);
    ok(rig_answer(&r, UNMAP));
    EQ(called, 11);
    EQ(destroyed, 2);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    ok(rig_answer(&r, MAP));
    EQ(called, 11);
    close(fd);
    rig_close(&r);
    EQ(destroyed, 2);
    return 0;
}
