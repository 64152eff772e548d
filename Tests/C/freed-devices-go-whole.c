/* SPDX-License-Identifier: BSD-3-Clause */
/* tsan: yes (a thread of the library undoes what freed devices have) */
/*
 * Devices that are freed with many mappings, several at once, leave neither memory nor a window behind. The program may make
 * new ones meanwhile.
 */
#include "many.h"

#include <sys/mman.h>

#define DEVICES 4
#define PAGES 1000

static bool is_mapped(void *window)
{
    unsigned char resident;
    return mincore(window, PAGE, &resident) == 0;
}

int main(void)
{
    int file = memfd_of(2 * PAGE, 1);
    for (int round = 0; round < 3; round++) {
        vhushmem_device *devices[DEVICES];
        void *windows[2 * DEVICES];
        for (int i = 0; i < DEVICES; i++) {
            devices[i] = some(vhushmem_device_new(NULL, &error));
            for (uint8_t id = 0; id < 2; id++) {
                vhushmem_region *region = some(vhushmem_region_new(devices[i], id, PAGES * PAGE, NULL, &error));
                for (uint64_t page = 0; page < PAGES; page++) {
                    ok(vhushmem_region_map(region, file, page % 2 * PAGE, page * PAGE, PAGE, 0, &error));
                }
                windows[2 * i + id] = vhushmem_region_window(region);
            }
        }
        for (int i = 0; i < DEVICES; i++) {
            vhushmem_device_unref(devices[i]);
        }
        for (int i = 0; i < 2 * DEVICES; i++) {
            STEP_UNTIL(!is_mapped(windows[i]), usleep(1000));
        }
    }
    close(file);
    return 0;
}
