/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library logs an error that occurs under a device's lock after it has released the lock. So a log writer that asks the
 * device something gets its answer. Here the program acts as KVM, and keeps a slot that is removed.
 */
#include "rig.h"

#include <linux/kvm.h>
#include <stdarg.h>

static vhushmem_device *device;
static int vm_fd, warnings;
static bool keeps_slots;

/* Takes the place of the C library's function. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    const struct kvm_userspace_memory_region *slot = va_arg(arguments, const void *);
    va_end(arguments);
    CHECK(fd >= 0);
    if (request == KVM_SET_USER_MEMORY_REGION && slot->memory_size == 0 && keeps_slots) {
        errno = EIO;
        return -1;
    }
    return request == KVM_CHECK_EXTENSION ? 64 : 0;
}

static void on_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer user_data)
{
    (void)domain;
    (void)level;
    (void)user_data;
    CHECK(strstr(text, "slot") != NULL);
    (void)vhushmem_device_mapping_count(device);
    g_free(vhushmem_device_status_json(device, 0));
    warnings++;
}

int main(void)
{
    static const vhushmem_region_options options = {.struct_size = sizeof(options), .strategy = VHUSHMEM_STRATEGY_SLOTS};
    int file = memfd_of(4 * PAGE, 1);
    g_log_set_handler("vhushmem", G_LOG_LEVEL_MASK, on_log, NULL);
    vm_fd = memfd_of(PAGE, 0);
    device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 16 * PAGE, &options, &error));
    vhushmem_kvm *kvm = some(vhushmem_kvm_new(vm_fd, 8, 16, &error));
    ok(vhushmem_kvm_place(kvm, region, 1 << 30, &error));
    ok(vhushmem_region_map(region, file, 0, 0, PAGE, 0, &error));
    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    keeps_slots = true;
    (void)vhushmem_region_unmap(region, 0, PAGE, NULL);
    EQ(warnings, 1);
    (void)vhushmem_region_unmap_all(region);
    EQ(warnings, 2);
    keeps_slots = false;
    ok(vhushmem_region_map(region, file, 0, 8 * PAGE, PAGE, 0, &error));
    keeps_slots = true;
    ok(vhushmem_kvm_remove(kvm, region));
    EQ(warnings, 3);
    vhushmem_kvm_free(kvm);
    vhushmem_device_unref(device);
    close(file);
    close(vm_fd);
    return 0;
}
