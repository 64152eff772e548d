/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_SLOTS_H
#define VHUSHMEM_TESTS_SLOTS_H

/*
 * A VM without vCPUs in which a region with VHUSHMEM_STRATEGY_SLOTS is placed, and a look at
 * which of its pages have a slot.
 */

#include "guest.h"
#include "memory-rig.h"

#include <vhushmem/series.h>

#define FIRST_SLOT 10
#define PROBE_SLOT 5

typedef struct slots_rig {
    rig rig;
    vm vm;
    vhushmem_kvm *kvm;
} slots_rig;

#ifdef __x86_64__

/* Whether the VM has something at the page of this offset: a slot there would overlap it. */
static inline bool has_slot(slots_rig *s, uint64_t offset)
{
    struct kvm_userspace_memory_region probe = {.slot = PROBE_SLOT,
                                                .guest_phys_addr = WINDOW_ADDRESS + offset,
                                                .memory_size = PAGE,
                                                .userspace_addr = (uintptr_t)s->vm.code};
    if (ioctl(s->vm.fd, KVM_SET_USER_MEMORY_REGION, &probe) < 0) {
        EQ(errno, EEXIST);
        return true;
    }
    probe.memory_size = 0;
    CHECK(ioctl(s->vm.fd, KVM_SET_USER_MEMORY_REGION, &probe) == 0);
    return false;
}

#else

static inline bool has_slot(slots_rig *s, uint64_t offset)
{
    (void)s, (void)offset;
    return false;
}

#endif

static inline int slot_count(slots_rig *s)
{
    int count = 0;
    for (uint64_t at = 0; at < vhushmem_region_size(s->rig.region); at += PAGE) {
        count += has_slot(s, at);
    }
    return count;
}

static inline void slots_begin(slots_rig *s, uint32_t slots, uint32_t flags)
{
    vhushmem_region_options options = {
        .struct_size = sizeof(options), .strategy = VHUSHMEM_STRATEGY_SLOTS, .flags = flags};
    memset(s, 0, sizeof(*s));
    rig_open_plain(&s->rig, 16 * PAGE, NULL, &options);
    vm_open(&s->vm, s->rig.region);
    vm_slot(&s->vm, 1, WINDOW_ADDRESS, 0,
            NULL); /* removes the rig's own slot; the library's comes now */
    if (slots > 0) {
        s->kvm = some(vhushmem_kvm_new(s->vm.fd, FIRST_SLOT, slots, &error));
    }
}

static inline void slots_end(slots_rig *s)
{
    vhushmem_kvm_free(s->kvm);
    vm_close(&s->vm);
    rig_close(&s->rig);
}

#endif
