/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_pci_check_qemu follows the rules that pci.h states of QEMU's generic device. Tests/interop/qemu-sid-pci.py shows
 * that QEMU has these rules.
 */
#include "harness.h"

static vhushmem_device *with_regions(unsigned count, const uint64_t *sizes)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    for (unsigned i = 0; i < count; i++) {
        some(vhushmem_region_new(device, (uint8_t)(7 * i), sizes[i], NULL, &error));
    }
    return device;
}

static void is_refused(vhushmem_device *device, unsigned flags, int code, uint64_t sum, const char *part)
{
    uint64_t bar_size = 7;
    EQ(vhushmem_pci_check_qemu(device, flags, &bar_size, &error), code);
    EQ(bar_size, sum);
    CHECK(error != NULL && strstr(error->message, part) != NULL);
    g_clear_error(&error);
    EQ(vhushmem_pci_check_qemu(device, flags, NULL, NULL), code);
}

static void is_taken(vhushmem_device *device, unsigned flags, uint64_t sum)
{
    uint64_t bar_size = 7;
    EQ(vhushmem_pci_check_qemu(device, flags, &bar_size, &error), 0);
    EQ(bar_size, sum);
    CHECK(error == NULL);
}

int main(void)
{
    const uint64_t page = PAGE, mib = UINT64_C(1) << 20;
    const unsigned both = VHUSHMEM_PCI_QEMU_PIO_NOTIFY | VHUSHMEM_PCI_QEMU_MIGRATION;
    uint64_t bar_size = 7;
    EQ(VHUSHMEM_PCI_QEMU_SHMEM_BAR, 4);
    EQ(VHUSHMEM_PCI_QEMU_MODERN_BAR, 2);

    /* Without regions there is no BAR for them, and the modern interface stays in its place. */
    vhushmem_device *none = with_regions(0, NULL);
    is_taken(none, 0, 0);
    is_taken(none, VHUSHMEM_PCI_QEMU_MIGRATION, 0);
    is_refused(none, VHUSHMEM_PCI_QEMU_PIO_NOTIFY, -EADDRINUSE, 0, "BAR 2");
    EQ(vhushmem_pci_check_qemu(none, 4, &bar_size, &error), -EINVAL);
    CHECK(strstr(error->message, "0x4") != NULL);
    g_clear_error(&error);
    EQ(bar_size, 7);
    EQ(vhushmem_pci_check_qemu(NULL, 0, &bar_size, NULL), -EFAULT);
    EQ(bar_size, 7);
    vhushmem_device_unref(none);

    const uint64_t good[] = {mib, 2 * mib, mib - page, page};
    vhushmem_device *device = with_regions(1, good);
    is_taken(device, 0, mib);
    is_refused(device, VHUSHMEM_PCI_QEMU_PIO_NOTIFY, -EADDRINUSE, mib, "modern-pio-notify");
    is_refused(device, VHUSHMEM_PCI_QEMU_MIGRATION, -EBUSY, mib, "(1)");
    is_refused(device, both, -EADDRINUSE, mib, "modern-pio-notify");
    vhushmem_device_unref(device);

    /* The sum of the sizes counts, not each size. The library's own layout has room for either. */
    device = with_regions(2, good);
    is_refused(device, 0, -EDOM, 3 * mib, "0x300000");
    EQ(vhushmem_pci_layout(device, NULL, 0, &bar_size), 2);
    EQ(bar_size, 4 * mib);
    vhushmem_device_unref(device);
    device = with_regions(4, good);
    is_taken(device, 0, 4 * mib);
    vhushmem_device_unref(device);
    return 0;
}
