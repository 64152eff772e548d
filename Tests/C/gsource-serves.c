/* SPDX-License-Identifier: BSD-3-Clause */
/* A GSource serves a front-end from start to disconnect in a context of the caller's choice, and removes itself at the end. */
/* tsan: yes (another thread speaks to the front-end) */
#include "rig.h"

typedef struct job {
    rig *rig;
    int done;
} job;

static void *back_end(void *user_data)
{
    job *j = user_data;
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    for (int i = 0; i < 200; i++) {
        message answer;
        VhostUserMMap m = mmap_of(0, 0, (uint64_t)(i % 16) * page, page, 0);
        send_message(j->rig->channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
        EQ(receive(j->rig->channel, &answer, PATIENCE_MS), 1);
        EQ(u64_of(&answer), 0);
        shows(j->rig->region, m.shm_offset, page, 1, 0);
        send_message(j->rig->channel, UNMAP, 0x9, &m, sizeof(m), NULL, 0);
        EQ(receive(j->rig->channel, &answer, PATIENCE_MS), 1);
        EQ(u64_of(&answer), 0);
    }
    close(fd);
    __atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
    peer_hang_up(&j->rig->peer);
    return NULL;
}

static void serves(bool before_start)
{
    rig r;
    GMainContext *context = g_main_context_new();
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_new(&r, NULL);
    if (!before_start) {
        ok(vhushmem_frontend_start(r.frontend, &error));
    }
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, context);
    if (before_start) {
        ok(vhushmem_frontend_start(r.frontend, &error));
    }
    while (r.events[VHUSHMEM_EVENT_READY] == 0) {
        g_main_context_iteration(context, TRUE);
    }
    rig_connected(&r);
    job j = {&r, 0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, back_end, &j) == 0);
    while (r.events[VHUSHMEM_EVENT_DISCONNECT] == 0) {
        g_main_context_iteration(context, TRUE);
    }
    pthread_join(thread, NULL);
    EQ(j.done, 1);
    EQ(r.events[VHUSHMEM_EVENT_MAP], 200);
    EQ(r.events[VHUSHMEM_EVENT_UNMAP], 200);
    while (g_main_context_iteration(context, FALSE)) {}
    CHECK(g_source_is_destroyed(source));
    g_source_unref(source);
    g_main_context_unref(context);
    rig_close(&r);
}

int main(void)
{
    serves(false);
    serves(true);

    /* A freed front-end takes its source along. A destroyed source leaves the front-end alone. */
    rig r;
    GMainContext *context = g_main_context_new();
    rig_open(&r, 16 * PAGE, NULL);
    GSource *gone = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(gone, context);
    g_source_destroy(gone);
    g_source_unref(gone);
    rig_still_works(&r);
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, context);
    rig_close(&r);
    CHECK(g_source_is_destroyed(source));
    g_main_context_iteration(context, FALSE);
    g_source_unref(source);
    g_main_context_unref(context);
    return 0;
}
