/* SPDX-License-Identifier: BSD-3-Clause */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "cpu.h"
#include "exec/exec-all.h"
#include "hw/virtio/vhost-user.h"
#include VHOST_USER_SHMEM_TCG_HEADER
#include <vhushmem/vhushmem.h>

enum { CHECK_MS = 100 };

/* TCG keeps translations of code by its place in memory. Another file is there now. */
static void forget_translations(vhushmem_device *device, const vhushmem_change *change, void *opaque)
{
#ifdef CONFIG_TCG
    vhushmem_region *region = vhushmem_device_find_region(device, change->shmid);
    ram_addr_t offset;
    MemoryRegion *mr = memory_region_from_host((char *)vhushmem_region_window(region) + change->shm_offset, &offset);

    if (mr && tcg_enabled()) {
        offset += memory_region_get_ram_addr(mr);
        tb_invalidate_phys_range(offset, offset + change->len); /* an end, or the last byte: versions of QEMU differ */
    }
#endif
}

/* Looks for pages that a truncated file has again. */
static QEMUTimer *timer;
static GSList *devices;

static void check(void *opaque)
{
    for (GSList *i = devices; i; i = i->next) {
        vhushmem_device_check(i->data);
    }
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + CHECK_MS);
}

static void device_goes(void *device)
{
    devices = g_slist_remove(devices, device);
    if (!devices) {
        g_clear_pointer(&timer, timer_free);
    }
}

/* QEMU's own threads access windows: TCG, the monitor's xp, and the DMA of emulated devices. */
static struct sigaction sigsegv_before;
static bool handled;

static void sigsegv_handler(int n, siginfo_t *info, void *context)
{
    if (!vhushmem_guard_handle_sigsegv(info, context)) {
        sigaction(SIGSEGV, &sigsegv_before, NULL); /* the instruction runs again, and ends as it would without this handler */
    }
}

void vhost_user_shmem_for_tcg(vhushmem_device *device)
{
    struct sigaction action = {.sa_sigaction = sigsegv_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    vhushmem_guard_unblock_signals(NULL); /* in the main thread; see qemu_thread_create for the others */
    vhushmem_guard_install(NULL);         /* a signal that is not the library's goes to QEMU's own handler */
    if (!handled) {
        handled = true;
        sigaction(SIGSEGV, &action, &sigsegv_before);
    }
    vhushmem_device_set_callback(device, forget_translations, device, device_goes, NULL);
    devices = g_slist_prepend(devices, device);
    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, check, NULL);
        check(NULL);
    }
}
