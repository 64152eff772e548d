/* SPDX-License-Identifier: BSD-3-Clause */
/* The BAR that has all regions of a device, the capabilities that tell a driver of them, and the registers of virtio-mmio. */
#include "harness.h"

static vhushmem_device *with_regions(const uint64_t *sizes, const uint8_t *ids, unsigned count)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    for (unsigned i = 0; i < count; i++) {
        some(vhushmem_region_new(device, ids[i], sizes[i], NULL, &error));
    }
    return device;
}

/* Nothing overlaps; everything is aligned and inside the BAR. */
static void is_sound(vhushmem_device *device, const vhushmem_pci_region *places, unsigned count, uint64_t bar_size)
{
    CHECK(bar_size != 0 && (bar_size & (bar_size - 1)) == 0);
    for (unsigned i = 0; i < count; i++) {
        vhushmem_region *region = some(vhushmem_device_find_region(device, places[i].shmid));
        uint64_t window = (uintptr_t)vhushmem_region_window(region), alignment = window & -window;
        EQ(places[i].len, vhushmem_region_size(region));
        CHECK(places[i].len <= bar_size && places[i].offset <= bar_size - places[i].len);
        /* The window has the same alignment, as far as the region's size allows. */
        while (alignment > places[i].len || alignment > UINT64_C(1) << 30) {
            alignment /= 2;
        }
        EQ(places[i].offset % alignment, 0);
        for (unsigned k = 0; k < i; k++) {
            CHECK(places[k].shmid < places[i].shmid);
            CHECK(places[k].offset + places[k].len <= places[i].offset || places[i].offset + places[i].len <= places[k].offset);
        }
    }
}

int main(void)
{
    const uint64_t page = PAGE;
    const uint64_t sizes[] = {3 * page, 16 << 20, page, UINT64_C(1) << 30, 5 * page, 48 << 20};
    const uint8_t ids[] = {9, 0, 255, 3, 4, 77};
    vhushmem_pci_region places[8] = {{.struct_size = sizeof(places[0])}};
    uint64_t bar_size = 7;

    vhushmem_device *device = with_regions(sizes, ids, 6);
    EQ(vhushmem_pci_layout(device, places, 8, &bar_size), 6);
    is_sound(device, places, 6, bar_size);
    EQ(bar_size, UINT64_C(2) << 30);
    EQ(vhushmem_pci_layout(device, NULL, 0, NULL), 6);
    memset(places, 0xff, sizeof(places));
    places[0].struct_size = sizeof(places[0]);
    EQ(vhushmem_pci_layout(device, places, 2, &bar_size), 6);
    EQ(places[1].shmid, 3);
    EQ(places[2].shmid, 255); /* untouched */
    EQ(places[2].len, UINT64_MAX);

    /* The capability, byte by byte. */
    const vhushmem_pci_region place = {
        .struct_size = sizeof(place), .shmid = 0x5a, .offset = UINT64_C(0x1122334455667000), .len = UINT64_C(0x99aabbccd000)};
    const uint8_t wanted[] = {0x09, 0x40, 24,   0x08, 2,    0x5a, 0,    0,    0x00, 0x70, 0x66, 0x55,
                              0x00, 0xd0, 0xcc, 0xbb, 0x44, 0x33, 0x22, 0x11, 0xaa, 0x99, 0x00, 0x00};
    uint8_t cap[VHUSHMEM_PCI_CAP_SIZE + 1] = {[VHUSHMEM_PCI_CAP_SIZE] = 0xee};
    EQ(sizeof(wanted), VHUSHMEM_PCI_CAP_SIZE);
    ok(vhushmem_pci_write_cap(&place, 2, 0x40, cap));
    CHECK(memcmp(cap, wanted, sizeof(wanted)) == 0);
    EQ(cap[VHUSHMEM_PCI_CAP_SIZE], 0xee);
    EQ(vhushmem_pci_write_cap(&place, 6, 0, cap), -EINVAL);
    EQ(vhushmem_pci_write_cap(NULL, 0, 0, cap), -EFAULT);
    EQ(vhushmem_pci_write_cap(&place, 0, 0, NULL), -EFAULT);

    /* A driver of virtio-mmio reads these. */
    const struct {
        uint32_t reg, selected, value;
    } reads[] = {{VHUSHMEM_MMIO_SHM_LEN_LOW, 3, 1 << 30},       {VHUSHMEM_MMIO_SHM_LEN_HIGH, 3, 0},
                 {VHUSHMEM_MMIO_SHM_BASE_LOW, 3, 0x9abcd000},   {VHUSHMEM_MMIO_SHM_BASE_HIGH, 3, 0x12345678},
                 {VHUSHMEM_MMIO_SHM_LEN_LOW, 2, UINT32_MAX},    {VHUSHMEM_MMIO_SHM_LEN_HIGH, 2, UINT32_MAX},
                 {VHUSHMEM_MMIO_SHM_BASE_LOW, 256, UINT32_MAX}, {VHUSHMEM_MMIO_SHM_BASE_HIGH, UINT32_MAX, UINT32_MAX}};
    uint32_t value;
    for (size_t i = 0; i < G_N_ELEMENTS(reads); i++) {
        ok(vhushmem_mmio_read(device, reads[i].reg, reads[i].selected, UINT64_C(0x123456789abcd000), &value));
        EQ(value, reads[i].value);
    }
    EQ(vhushmem_mmio_read(device, VHUSHMEM_MMIO_SHM_SEL, 3, 0, &value), -EINVAL);
    EQ(vhushmem_mmio_read(device, 0x0b1, 3, 0, &value), -EINVAL);
    EQ(vhushmem_mmio_read(NULL, VHUSHMEM_MMIO_SHM_LEN_LOW, 3, 0, &value), -EFAULT);
    EQ(vhushmem_mmio_read(device, VHUSHMEM_MMIO_SHM_LEN_LOW, 3, 0, NULL), -EFAULT);
    EQ(vhushmem_pci_layout(NULL, NULL, 0, NULL), -EFAULT);
    EQ(vhushmem_pci_layout(device, NULL, 1, NULL), -EFAULT);
    vhushmem_device_unref(device);

    device = with_regions(NULL, NULL, 0);
    EQ(vhushmem_pci_layout(device, places, 8, &bar_size), 0);
    EQ(bar_size, 0);
    vhushmem_device_unref(device);
    return 0;
}
