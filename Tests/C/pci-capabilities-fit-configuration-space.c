/* SPDX-License-Identifier: BSD-3-Clause */
/* A call tells how many regions' capabilities fit into PCI configuration space. No capability names an impossible place for
   the next. */
#include "harness.h"

#include <limits.h>

/* As a VMM does: all capabilities one after the other, from the first place after the device's others. */
static void writes_them_all(unsigned other_size, unsigned count)
{
    uint8_t space[256 + 1] = {[256] = 0xee};
    unsigned first = 0x40 + (other_size + 3) / 4 * 4;
    for (unsigned i = 0; i < count; i++) {
        const vhushmem_pci_region place = {.struct_size = sizeof(place), .shmid = (uint8_t)i, .offset = i * PAGE, .len = PAGE};
        unsigned at = first + i * VHUSHMEM_PCI_CAP_SIZE, next = i + 1 < count ? at + VHUSHMEM_PCI_CAP_SIZE : 0;
        CHECK(at + VHUSHMEM_PCI_CAP_SIZE <= 256);
        ok(vhushmem_pci_write_cap(&place, 2, (uint8_t)next, space + at));
    }
    EQ(space[256], 0xee);
    /* A driver finds them. */
    unsigned found = 0;
    for (unsigned at = count > 0 ? first : 0; at != 0; at = space[at + 1]) {
        EQ(space[at], 9);
        EQ(space[at + 5], found);
        found++;
    }
    EQ(found, count);
    CHECK(first + (count + 1) * VHUSHMEM_PCI_CAP_SIZE > 256); /* there is no room for one more */
}

int main(void)
{
    const struct {
        unsigned other_size;
        int count;
    } fits[] = {{0, 8}, {1, 7}, {24, 7}, {25, 6}, {88, 4}, {100, 3}, {168, 1}, {169, 0}, {191, 0}, {192, 0}};
    EQ(VHUSHMEM_PCI_CAPS_SPACE, 192);
    for (size_t i = 0; i < G_N_ELEMENTS(fits); i++) {
        EQ(vhushmem_pci_max_regions(fits[i].other_size), fits[i].count);
        writes_them_all(fits[i].other_size, (unsigned)fits[i].count);
    }
    EQ(vhushmem_pci_max_regions(193), -EINVAL);
    EQ(vhushmem_pci_max_regions(UINT_MAX), -EINVAL);

    const vhushmem_pci_region place = {.struct_size = sizeof(place), .len = PAGE};
    uint8_t cap[VHUSHMEM_PCI_CAP_SIZE], untouched[VHUSHMEM_PCI_CAP_SIZE];
    memset(untouched, 0xee, sizeof(untouched));
    for (unsigned next = 0; next <= 0xff; next++) {
        bool is_good = next == 0 || (next >= 0x40 && next <= 0xfc && next % 4 == 0);
        memset(cap, 0xee, sizeof(cap));
        EQ(vhushmem_pci_write_cap(&place, 2, (uint8_t)next, cap), is_good ? 0 : -EINVAL);
        CHECK(is_good ? cap[1] == next : memcmp(cap, untouched, sizeof(cap)) == 0);
    }
    return 0;
}
