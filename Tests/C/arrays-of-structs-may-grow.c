/* SPDX-License-Identifier: BSD-3-Clause */
/* A struct that may stand in an array, or outlive a release, says how long it is. The library takes a longer struct than its
   own if the rest is zero, and finds the next one at that distance. In a struct that it fills, it zeroes the rest. It
   refuses a shorter struct with EINVAL. */
#include "backend-rig.h"
#include "device-rig.h"

#define MORE 24
#define LONGER(type)                                                                                                           \
    struct {                                                                                                                   \
        type it;                                                                                                               \
        uint8_t more[MORE];                                                                                                    \
    }

static bool all_are(const uint8_t *bytes, uint8_t value)
{
    for (unsigned i = 0; i < MORE; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

static void memory(vhushmem_frontend *frontend)
{
    int file = memfd_of(4 * PAGE, 1);
    LONGER(vhushmem_guest_memory) two[2];
    memset(two, 0, sizeof(two));
    for (unsigned i = 0; i < 2; i++) {
        two[i].it = memory_of(i * 16 * PAGE, PAGE, file, i * PAGE);
        two[i].it.struct_size = sizeof(two[i]);
    }
    ok(vhushmem_frontend_set_memory(frontend, &two[0].it, 2, &error));
    two[1].it.guest_addr = 0; /* the second overlaps, so the library found it at its place */
    refused(vhushmem_frontend_set_memory(frontend, &two[0].it, 2, &error), -EINVAL, "overlap");
    two[1].it.guest_addr = 16 * PAGE;
    two[1].more[MORE - 1] = 1;
    refused(vhushmem_frontend_set_memory(frontend, &two[0].it, 2, &error), -EINVAL, "does not know");
    two[1].more[MORE - 1] = 0;
    two[1].it.struct_size = sizeof(two[1].it) - 8;
    refused(vhushmem_frontend_set_memory(frontend, &two[0].it, 2, &error), -EINVAL, "struct_size");
    two[0].it.struct_size = 0;
    refused(vhushmem_frontend_set_memory(frontend, &two[0].it, 2, &error), -EINVAL, "struct_size");
    ok(vhushmem_frontend_set_memory(frontend, NULL, 0, &error));
    close(file);
}

static void in_flight(vhushmem_frontend *frontend)
{
    int file = memfd_of(4 * PAGE, 1);
    LONGER(vhushmem_inflight)
    area = {.it = {.struct_size = sizeof(area), .fd = file, .size = PAGE, .num_queues = 1, .queue_size = 64}};
    ok(vhushmem_frontend_set_inflight(frontend, &area.it, &error));
    area.more[0] = 1;
    refused(vhushmem_frontend_set_inflight(frontend, &area.it, &error), -EINVAL, "does not know");
    area.more[0] = 0;
    area.it.reserved = 1;
    refused(vhushmem_frontend_set_inflight(frontend, &area.it, &error), -EINVAL, "reserved");
    area.it.reserved = 0;
    area.it.struct_size = 4;
    refused(vhushmem_frontend_set_inflight(frontend, &area.it, &error), -EINVAL, "struct_size");
    /* The library checks this before it asks: this front-end has no connection. */
    refused(vhushmem_frontend_get_inflight(frontend, 1, 64, &area.it, &error), -EINVAL, "struct_size");
    area.it.struct_size = sizeof(area.it);
    refused(vhushmem_frontend_get_inflight(frontend, 1, 64, &area.it, &error), -ENOTCONN);
    EQ(area.it.fd, file);
    close(file);
}

static void requests(void)
{
    backend_rig r;
    int file = memfd_of(PAGE, 1);
    LONGER(vhushmem_shmem_request) two[2];
    backend_rig_new(&r, 16 * PAGE, NULL);
    memset(two, 0, sizeof(two));
    for (unsigned i = 0; i < 2; i++) {
        two[i].it = (vhushmem_shmem_request){
            .struct_size = sizeof(two[i]), .request = VHOST_USER_BACKEND_SHMEM_MAP, .fd = file, .len = PAGE, .result = 1};
    }
    err(vhushmem_backend_perform(r.backend, &two[0].it, 2, 0, &error), -ENOTCONN);
    EQ(two[0].it.result, -ENOTCONN);
    EQ(two[1].it.result, -ENOTCONN);
    CHECK(all_are(two[0].more, 0) && all_are(two[1].more, 0));
    two[1].it.reserved[6] = 1;
    refused(vhushmem_backend_perform(r.backend, &two[0].it, 2, 0, &error), -EINVAL, "reserved");
    EQ(two[1].it.result, -EINVAL);
    two[1].it.reserved[6] = 0;
    two[0].it.struct_size = sizeof(two[0].it) - 8;
    two[0].it.result = 7;
    refused(vhushmem_backend_perform(r.backend, &two[0].it, 2, 0, &error), -EINVAL, "struct_size");
    EQ(two[0].it.result, 7); /* its place in a shorter struct is unknown */
    backend_rig_close(&r);
    close(file);
}

static void places(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    LONGER(vhushmem_pci_region) three[3];
    uint8_t cap[VHUSHMEM_PCI_CAP_SIZE];
    for (uint8_t i = 0; i < 2; i++) {
        some(vhushmem_region_new(device, (uint8_t)(i + 5), PAGE, NULL, &error));
    }
    memset(three, 0x55, sizeof(three));
    three[0].it.struct_size = sizeof(three[0].it) - 8;
    EQ(vhushmem_pci_layout(device, &three[0].it, 3, NULL), -EINVAL);
    EQ(three[0].it.shmid, 0x55);
    three[0].it.struct_size = sizeof(three[0]);
    EQ(vhushmem_pci_layout(device, &three[0].it, 3, NULL), 2);
    for (unsigned i = 0; i < 2; i++) {
        EQ(three[i].it.struct_size, sizeof(three[i]));
        EQ(three[i].it.shmid, i + 5);
        EQ(three[i].it.len, PAGE);
        CHECK(all_are(three[i].more, 0));
        ok(vhushmem_pci_write_cap(&three[i].it, 4, 0, cap));
        EQ(cap[5], i + 5);
    }
    EQ(three[2].it.struct_size, 0x55555555);
    CHECK(all_are(three[2].more, 0x55));
    three[0].it.reserved[2] = 1;
    EQ(vhushmem_pci_write_cap(&three[0].it, 4, 0, cap), -EINVAL);
    three[0].it.reserved[2] = 0;
    three[0].it.struct_size = 0;
    EQ(vhushmem_pci_write_cap(&three[0].it, 4, 0, cap), -EINVAL);
    vhushmem_device_unref(device);
}

int main(void)
{
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nobody/is/here", NULL, &error));
    memory(frontend);
    in_flight(frontend);
    vhushmem_frontend_free(frontend);
    requests();
    places();
    return 0;
}
