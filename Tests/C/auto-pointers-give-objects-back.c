/* SPDX-License-Identifier: BSD-3-Clause */
/* Each type has a g_autoptr: it gives the object back at the end of its scope, and NULL is fine. */
#include "harness.h"

static int destroyed;

static void count(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void told(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)event;
    (void)user_data;
}

static void told_back(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)event;
    (void)user_data;
}

static void changed(vhushmem_device *device, const vhushmem_change *change, void *user_data)
{
    (void)device;
    (void)change;
    (void)user_data;
}

static void scopes(void)
{
    g_autoptr(vhushmem_frontend) frontend = vhushmem_frontend_new("/nowhere", NULL, NULL);
    ok(vhushmem_frontend_set_callback(frontend, told, NULL, count));
    g_autoptr(vhushmem_backend) backend = vhushmem_backend_new(NULL, NULL);
    ok(vhushmem_backend_set_callback(backend, told_back, NULL, count));
    g_autoptr(vhushmem_device) device = vhushmem_device_new(NULL, NULL);
    ok(vhushmem_device_set_callback(device, changed, NULL, count, NULL));
    g_autoptr(vhushmem_region) region = vhushmem_region_ref(vhushmem_region_new(device, 1, 16 * PAGE, NULL, NULL));
    CHECK(region != NULL);
    g_autoptr(vhushmem_shared_objects) objects = vhushmem_shared_objects_new();
    CHECK(objects != NULL);
    g_autoptr(vhushmem_mapping) mapping = NULL;
    g_autoptr(vhushmem_channel) channel = NULL;
    g_autoptr(vhushmem_chain) chain = NULL;
    g_autoptr(vhushmem_kvm) kvm = NULL;
    CHECK(mapping == NULL && channel == NULL && chain == NULL && kvm == NULL);
}

int main(void)
{
    scopes();
    EQ(destroyed, 3);
    return 0;
}
