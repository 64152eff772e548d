/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connect that could not begin may be called again. If the handshake failed, or no back-end came, DISCONNECT was sent and
 * the front-end is over (-EBUSY). If a callback frees the front-end, connect returns -ECONNABORTED. A program whose loop
 * runs in another thread starts it there.
 */
/* tsan: yes (a loop in another thread) */
#include "rig.h"

#include <stdatomic.h>

static const char path[] = "connect.sock";
static int destroyed;

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void frees(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)user_data;
    EQ(event->type, VHUSHMEM_EVENT_READY);
    vhushmem_frontend_free(frontend);
}

static void cannot_begin(void)
{
    rig r = {0};
    unlink(path);
    r.frontend = some(vhushmem_frontend_new(path, NULL, &error));
    ok(vhushmem_frontend_set_callback(r.frontend, rig_event, &r, NULL));
    for (int i = 0; i < 2; i++) {
        err(vhushmem_frontend_connect(r.frontend, 30, &error), -ENOENT);
        EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    }
    vhushmem_frontend_free(r.frontend);
}

static void nobody_comes(void)
{
    rig r = {0};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
    r.frontend = some(vhushmem_frontend_new(path, &options, &error));
    ok(vhushmem_frontend_set_callback(r.frontend, rig_event, &r, NULL));
    err(vhushmem_frontend_connect(r.frontend, 30, &error), -ETIMEDOUT);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    err(vhushmem_frontend_connect(r.frontend, 30, &error), -EBUSY);
    err(vhushmem_frontend_start(r.frontend, &error), -EBUSY);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    vhushmem_frontend_free(r.frontend);
}

static void freed_in_ready(void)
{
    rig r = {0};
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_new(&r, NULL);
    ok(vhushmem_frontend_set_callback(r.frontend, frees, NULL, destroy));
    err(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error), -ECONNABORTED);
    EQ(destroyed, 1);
    peer_end(&r.peer);
}

static atomic_int readies;

static void counts_ready(vhushmem_frontend *frontend, const vhushmem_event *event, void *loop)
{
    (void)frontend;
    if (event->type == VHUSHMEM_EVENT_READY) {
        atomic_fetch_add(&readies, 1);
        g_main_loop_quit(loop);
    }
}

static void *run(void *loop)
{
    g_main_context_push_thread_default(g_main_loop_get_context(loop));
    g_main_loop_run(loop);
    g_main_context_pop_thread_default(g_main_loop_get_context(loop));
    return NULL;
}

static gboolean begins(gpointer frontend)
{
    ok(vhushmem_frontend_start(frontend, &error));
    return G_SOURCE_REMOVE;
}

static void loop_of_another_thread(void)
{
    rig r = {0};
    pthread_t thread;
    GMainContext *context = g_main_context_new();
    GMainLoop *loop = g_main_loop_new(context, FALSE);
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_new(&r, NULL);
    ok(vhushmem_frontend_set_callback(r.frontend, counts_ready, loop, NULL));
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, context);
    g_source_unref(source);
    CHECK(pthread_create(&thread, NULL, run, loop) == 0);
    while (!g_main_loop_is_running(loop)) {
        sched_yield();
    }
    g_main_context_invoke(context, begins, r.frontend);
    pthread_join(thread, NULL);
    EQ(atomic_load(&readies), 1);
    vhushmem_frontend_free(r.frontend);
    g_main_loop_unref(loop);
    g_main_context_unref(context);
    peer_end(&r.peer);
}

int main(void)
{
    cannot_begin();
    nobody_comes();
    freed_in_ready();
    loop_of_another_thread();
    return 0;
}
