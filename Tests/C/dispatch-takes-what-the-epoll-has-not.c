/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The epoll of a back-end does not have everything: the kernel has no room for one more descriptor, or the front-end comes in
 * this very turn. Then the back-end serves its front-end nevertheless, with each kind of loop.
 */
#include "backend-rig.h"

#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/un.h>

static bool is_full;

/* Takes the place of the C library's function. This system has no room for sockets. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    static int (*real)(int, int, int, struct epoll_event *);
    int type;
    socklen_t size = sizeof(type);
    if (is_full && operation == EPOLL_CTL_ADD && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "epoll_ctl");
    }
    return real(epoll, operation, fd, event);
}

static void turn_dispatch(backend_rig *r, GMainContext *context)
{
    (void)context;
    CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(r->backend)), PATIENCE_MS));
    ok(vhushmem_backend_dispatch(r->backend));
}

static void turn_poll(backend_rig *r, GMainContext *context)
{
    (void)context;
    ok(vhushmem_backend_poll(r->backend, -1));
}

static void turn_source(backend_rig *r, GMainContext *context)
{
    (void)r;
    g_main_context_iteration(context, TRUE);
}

static void answered(backend_rig *r)
{
    message m;
    EQ(receive(r->main, &m, 0), 1);
    EQ(m.header.request, GET_FEATURES);
}

/* Each turn waits, so a loop that serves nothing ends by the harness's alarm, or here. */
static void full(void (*turn)(backend_rig *r, GMainContext *context), bool has_source)
{
    backend_rig r;
    GMainContext *context = g_main_context_new();
    GSource *source = NULL;
    is_full = true;
    backend_rig_new(&r, PAGE, NULL);
    if (has_source) {
        source = some(vhushmem_backend_source_new(r.backend));
        g_source_attach(source, context);
    }
    send_message(r.main, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    for (int turns = 0; !wait_readable(r.main, 0); turns++) {
        CHECK(turns < 50);
        turn(&r, context);
    }
    answered(&r);
    backend_rig_close(&r);
    if (source != NULL) {
        g_source_unref(source);
    }
    g_main_context_unref(context);
    is_full = false;
}

static struct sockaddr_un name;

/* A back-end that listens, with a descriptor. */
static void open_listener(backend_rig *r)
{
    memset(r, 0, sizeof(*r));
    r->channel = -1;
    r->backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(r->backend, name.sun_path, &error));
    ok(vhushmem_backend_get_fd(r->backend));
}

/* A front-end connects, and has said something. */
static void come(backend_rig *r)
{
    r->main = (int)ok(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EQ(connect(r->main, (struct sockaddr *)&name, sizeof(name)), 0);
    send_message(r->main, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
}

/* The first front-end, and those that come after it. */
static void front_end_that_comes_now(void)
{
    backend_rig r;
    open_listener(&r);
    for (int n = 0; n < 4; n++) {
        come(&r);
        EQ(n % 2 == 0 ? vhushmem_backend_dispatch(r.backend) : vhushmem_backend_poll(r.backend, -1), 1);
        answered(&r);
        if (n < 3) {
            close(r.main);
            pump_backend(r.backend);
        }
    }
    backend_rig_close(&r);
}

int main(void)
{
    char *directory = new_directory();
    name.sun_family = AF_UNIX;
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", directory);
    full(turn_dispatch, false);
    full(turn_poll, false);
    full(turn_source, true);
    front_end_that_comes_now();
    remove_directory(directory);
    return 0;
}
