/* SPDX-License-Identifier: BSD-3-Clause */

/** The guest's view of the device: where its regions are in a PCI BAR and, with --kvm, the regions in a guest. */

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Guests usually have no RAM here, and it is aligned for any smaller BAR. */
#define BAR_ADDRESS (UINT64_C(1) << 36)
/* Each KVM has at least so many. */
#define SLOTS 500

char *probe_kvm_open(struct probe *probe)
{
    GError *error = NULL;
    char *sentence = NULL;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0) {
        return g_strdup_printf("/dev/kvm: %s", g_strerror(errno));
    }
    probe->vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (probe->vm < 0) {
        sentence = g_strdup_printf("KVM cannot make a virtual machine: %s", g_strerror(errno));
    }
    close(kvm);
    if (sentence == NULL && (probe->kvm = vhushmem_kvm_new(probe->vm, 0, SLOTS, &error)) == NULL) {
        sentence = g_strdup(error->message);
        g_error_free(error);
    }
    return sentence;
}

/** @returns NULL, or a sentence with the reason (g_free). */
static char *place_in_guest(struct probe *probe, const vhushmem_pci_region *place)
{
    vhushmem_region *region = vhushmem_device_find_region(probe->device, place->shmid);
    GError *error = NULL;
    char *sentence = NULL;
    int rc = vhushmem_kvm_place(probe->kvm, region, BAR_ADDRESS + place->offset, &error);

    if (rc < 0 && rc != -EEXIST) { /* the regions of a back-end that has come back are there already */
        sentence = g_strdup(error->message);
    }
    g_clear_error(&error);
    return sentence;
}

void probe_place(struct probe *probe, struct record *record)
{
    vhushmem_pci_region places[VHUSHMEM_MAX_REGIONS];
    uint64_t bar_size;
    places[0].struct_size = sizeof(places[0]);
    int count = vhushmem_pci_layout(probe->device, places, G_N_ELEMENTS(places), &bar_size);

    if (count < 0) {
        return; /* the regions are too large for a BAR: regions without a place are printed so */
    }
    record_hex(record, "bar_size", bar_size);
    record_list_begin(record, "bar");
    for (int i = 0; i < count; i++) {
        char *error = probe->kvm != NULL ? place_in_guest(probe, &places[i]) : NULL;

        record_object_begin(record, NULL);
        record_number(record, "shmid", places[i].shmid);
        record_hex(record, "offset", places[i].offset);
        record_hex(record, "len", places[i].len);
        if (error != NULL) {
            record_text(record, "error", error);
            g_free(error);
        } else if (probe->kvm != NULL) {
            record_hex(record, "guest_addr", BAR_ADDRESS + places[i].offset);
        }
        record_object_end(record);
    }
    record_list_end(record);
}

void probe_kvm_close(struct probe *probe)
{
    vhushmem_kvm_free(probe->kvm);
    if (probe->vm >= 0) {
        close(probe->vm);
    }
}
