/* SPDX-License-Identifier: BSD-3-Clause */
/* A source of the library calls the function of g_source_set_callback after each dispatch. The function may remove the
   source. */
#include "rig.h"

static int calls;
static gboolean answer = G_SOURCE_CONTINUE;

static gboolean called(gpointer user_data)
{
    rig *r = user_data;
    calls++;
    CHECK(wait_readable(r->channel, 0)); /* it was dispatched, so the answer is there */
    return answer;
}

static void maps_once(rig *r, int fd, uint64_t offset)
{
    message reply;
    VhostUserMMap m = mmap_of(0, 0, offset, PAGE, 0);
    int before = calls;
    send_message(r->channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    while (calls == before) {
        g_main_context_iteration(NULL, TRUE);
    }
    EQ(receive(r->channel, &reply, PATIENCE_MS), 1);
    EQ(u64_of(&reply), 0);
}

int main(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    pump(r.frontend);
    int fd = memfd_of(PAGE, 1);
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_set_callback(source, called, &r, NULL);
    g_source_attach(source, NULL);
    maps_once(&r, fd, 0);
    maps_once(&r, fd, PAGE);
    CHECK(!g_source_is_destroyed(source));
    answer = G_SOURCE_REMOVE;
    maps_once(&r, fd, 2 * PAGE);
    CHECK(g_source_is_destroyed(source));
    g_source_unref(source);
    ok(wire_map(&r, 0, fd, 0, 3 * PAGE, PAGE, 0)); /* the front-end still works */
    close(fd);
    rig_close(&r);
    return 0;
}
