/* SPDX-License-Identifier: BSD-3-Clause */
/* The DISCONNECT of a back-end has a negative errno besides its sentence, so that a program can distinguish a front-end that
   went away from one that spoke nonsense. Every other event has 0. */
#include "backend-rig.h"

static int ended, result;
static char why[300];

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    if (event->type != VHUSHMEM_BACKEND_DISCONNECT) {
        EQ(event->result, 0);
        CHECK(event->message == NULL);
        return;
    }
    ended++;
    result = event->result;
    snprintf(why, sizeof(why), "%s", event->message);
}

static void open_rig(backend_rig *r, bool is_negotiated)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .answer_timeout_ms = 20};
    ended = 0;
    backend_rig_new(r, 16 * PAGE, &options);
    ok(vhushmem_backend_set_callback(r->backend, on_event, NULL, NULL));
    if (is_negotiated) {
        backend_rig_shake_hands(r, BACKEND_RIG_FEATURES);
    }
}

static void closed_with(backend_rig *r, int wanted)
{
    pump_backend(r->backend);
    EQ(ended, 1);
    if (result != wanted) {
        fprintf(stderr, "%s\n", why);
    }
    EQ(result, wanted);
    backend_rig_close(r);
}

int main(void)
{
    backend_rig r;
    open_rig(&r, true);
    CHECK(shutdown(r.main, SHUT_RDWR) == 0);
    closed_with(&r, -ECONNRESET);

    open_rig(&r, false);
    CHECK(send(r.main, "twelve bytes and more", 21, 0) == 21); /* no header */
    closed_with(&r, -EPROTO);

    open_rig(&r, false);
    send_message(r.main, 4711, 0x1, NULL, 0, NULL, 0); /* a request that cannot be refused, since it asks for no answer */
    closed_with(&r, -EOPNOTSUPP);

    open_rig(&r, true);
    int file = memfd_of(PAGE, 1);
    err(vhushmem_backend_map(r.backend, 0, file, 0, 0, PAGE, 0, &error), -ETIMEDOUT); /* nobody answers */
    close(file);
    close(r.channel);
    r.channel = -1;
    backend_rig_close(&r);
    return 0;
}
