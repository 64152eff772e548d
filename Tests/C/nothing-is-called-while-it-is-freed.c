/* SPDX-License-Identifier: BSD-3-Clause */
/* While a front-end is freed, the `destroy` of a callback may dispatch it. That calls no other callback. */
#include "rig.h"

static rig r;
static int requests, destroyed;

static int take(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    (void)frontend;
    (void)request;
    (void)user_data;
    requests++;
    return 0;
}

static void quiet(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)event;
    (void)user_data;
}

static void dispatch(void *user_data)
{
    destroyed++;
    while (g_main_context_iteration(user_data, FALSE)) {}
}

int main(void)
{
    rig_open(&r, 16 * PAGE, NULL);
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, NULL);
    g_source_unref(source);
    ok(vhushmem_frontend_set_request_callback(r.frontend, take, NULL, dispatch));
    ok(vhushmem_frontend_set_callback(r.frontend, quiet, NULL, dispatch));
    send_message(r.channel, 1, 0x1, NULL, 0, NULL, 0);
    rig_close(&r);
    EQ(destroyed, 2);
    EQ(requests, 0);
    return 0;
}
