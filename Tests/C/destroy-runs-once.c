/* SPDX-License-Identifier: BSD-3-Clause */
/* destroy runs exactly once: when the callback is replaced, when it is taken away, and when its object is freed. */
#include "harness.h"

static int destroyed, called;

static void destroy(void *user_data)
{
    CHECK(user_data == &destroyed);
    destroyed++;
}

static void front_end_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend, (void)event, (void)user_data;
    called++;
}

static void back_end_event(vhushmem_backend *backend, vhushmem_backend_event event, const char *message, void *user_data)
{
    (void)backend, (void)event, (void)message, (void)user_data;
    called++;
}

static void front_end(void)
{
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/tmp/nobody", NULL, &error));
    destroyed = 0;
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    EQ(destroyed, 0);
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    EQ(destroyed, 1);
    ok(vhushmem_frontend_set_callback(frontend, NULL, NULL, NULL));
    EQ(destroyed, 2);
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    vhushmem_frontend_free(frontend);
    EQ(destroyed, 3);

    /* Without an object there is nothing that could call it later. */
    err(vhushmem_frontend_set_callback(NULL, front_end_event, &destroyed, destroy), -EFAULT);
    EQ(destroyed, 4);
}

static void back_end(void)
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    destroyed = 0;
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    EQ(destroyed, 1);
    ok(vhushmem_backend_set_callback(backend, NULL, NULL, NULL));
    EQ(destroyed, 2);
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    vhushmem_backend_free(backend);
    EQ(destroyed, 3);
    err(vhushmem_backend_set_callback(NULL, back_end_event, &destroyed, destroy), -EFAULT);
    EQ(destroyed, 4);
}

int main(void)
{
    front_end();
    back_end();
    EQ(called, 0);
    return 0;
}
