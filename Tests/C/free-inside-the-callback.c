/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end may be freed inside its callback, at any event. No further event comes, and destroy runs once. */
#include "peer.h"

typedef struct witness {
    uint32_t at;
    int freed, destroyed;
} witness;

static void free_it(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    witness *w = user_data;
    EQ(w->freed, 0);
    if (event->type == w->at) {
        vhushmem_frontend_free(frontend);
        w->freed++;
        CHECK(event->type == w->at); /* the event's pointers are valid until the callback returns */
    }
}

static void destroy(void *user_data) { ((witness *)user_data)->destroyed++; }

static void freed_at(uint32_t at, bool by_source)
{
    char *fds = fds_now();
    int pair[2], fd = memfd_of(PAGE, 1);
    witness w = {.at = at};
    peer p;
    peer_init(&p);
    peer_add_region(&p, 0, 16 * PAGE);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    peer_start(&p, pair[1]);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    ok(vhushmem_frontend_set_callback(frontend, free_it, &w, destroy));
    vhushmem_frontend_connect(frontend, PATIENCE_MS, NULL);
    if (at != VHUSHMEM_EVENT_READY) {
        VhostUserMMap m = {.len = PAGE};
        if (at == VHUSHMEM_EVENT_MAP || at == VHUSHMEM_EVENT_UNMAP) {
            send_message(p.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
            send_message(p.channel, UNMAP, 0x9, &m, sizeof(m), NULL, 0);
            send_message(p.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
        } else if (at == VHUSHMEM_EVENT_OTHER_REQUEST) {
            send_message(p.channel, 77, 0x9, &m, sizeof(m), &fd, 1);
        } else if (at == VHUSHMEM_EVENT_RESET) {
            ok(vhushmem_frontend_reset(frontend, &error));
        } else if (at == VHUSHMEM_EVENT_CHANNEL_LOST) {
            shutdown(p.channel, SHUT_RDWR);
        } else {
            peer_hang_up(&p);
        }
        GMainContext *context = g_main_context_new();
        GSource *source = NULL;
        if (by_source && w.freed == 0) {
            source = some(vhushmem_frontend_source_new(frontend));
            g_source_attach(source, context);
        }
        while (w.freed == 0) {
            if (by_source) {
                g_main_context_iteration(context, TRUE);
            } else if (wait_readable((int)ok(vhushmem_frontend_get_fd(frontend)), PATIENCE_MS)) {
                vhushmem_frontend_dispatch(frontend);
            }
        }
        if (source != NULL) {
            CHECK(g_source_is_destroyed(source));
            while (g_main_context_iteration(context, FALSE)) {}
            g_source_unref(source);
        }
        g_main_context_unref(context);
    }
    EQ(w.freed, 1);
    EQ(w.destroyed, 1);
    peer_end(&p);
    close(fd);
    same(fds, fds_now());
}

int main(void)
{
    for (uint32_t at = VHUSHMEM_EVENT_READY; at <= VHUSHMEM_EVENT_DISCONNECT; at++) {
        freed_at(at, false);
        freed_at(at, true);
    }
    return 0;
}
