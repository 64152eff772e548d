/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A callback runs its own main loop. If the callback comes after the answer, the loop serves the device, and its events wait
 * until the callback has returned. In a listener, whose request is under way, the loop serves nothing more and sleeps.
 */
#include "rig.h"

#include <vhushmem/series.h>

#define TURNS_OF_A_LOOP_THAT_SLEEPS 20

static rig r;
static GMainContext *context;
static bool nests;
static int inner_turns;

static void ask(uint64_t page)
{
    VhostUserMMap m = mmap_of(0, 0, page * PAGE, PAGE, 0);
    int fd = memfd_of(PAGE, 1);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    close(fd);
}

static void answered(void)
{
    message answer;
    EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
    EQ(u64_of(&answer), 0);
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    rig_event(frontend, event, user_data);
    if (event->type == VHUSHMEM_EVENT_MAP && event->shm_offset == 0) {
        ask(1);
        while (vhushmem_region_mapping_count(r.region) < 2) {
            g_main_context_iteration(context, TRUE);
        }
        EQ(r.events[VHUSHMEM_EVENT_MAP], 1);
    }
}

static gboolean stop(void *user_data)
{
    *(bool *)user_data = true;
    return G_SOURCE_REMOVE;
}

static void on_section(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    if (!nests) {
        return;
    }
    nests = false;
    bool over = false;
    GSource *timeout = g_timeout_source_new(50);
    g_source_set_callback(timeout, stop, &over, NULL);
    g_source_attach(timeout, context);
    g_source_unref(timeout);
    while (!over) {
        g_main_context_iteration(context, TRUE);
        inner_turns++;
    }
    EQ(r.events[VHUSHMEM_EVENT_MAP], 2);
}

int main(void)
{
    MemoryListener listener = {.region_add = on_section};
    rig_open(&r, 16 * PAGE, NULL);
    context = g_main_context_new();
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, context);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, &r, NULL));

    ask(0);
    while (r.events[VHUSHMEM_EVENT_MAP] < 2) {
        g_main_context_iteration(context, TRUE);
    }
    answered();
    answered();

    memory_listener_register(&listener, virtio_shmem_memory_region(r.region));
    nests = true;
    ask(2);
    ask(3);
    while (r.events[VHUSHMEM_EVENT_MAP] < 4) {
        g_main_context_iteration(context, TRUE);
    }
    answered();
    answered();
    CHECK(inner_turns > 0 && inner_turns <= TURNS_OF_A_LOOP_THAT_SLEEPS);
    memory_listener_unregister(&listener);
    g_source_unref(source);
    g_main_context_unref(context);
    rig_close(&r);
    return 0;
}
