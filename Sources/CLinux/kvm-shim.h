/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_KVM_SHIM_H
#define VHU_KVM_SHIM_H

/* Calls of KVM: a range of guest addresses, and the memory that stands for it. */

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* A size of 0 removes the slot. */
static inline int vhu_kvm_set_slot(int vm, uint32_t slot, uint64_t guest_address, uint64_t size,
                                   const void *host, bool read_only)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = guest_address,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Linux 6.11 has it; the headers may be older. */
struct vhu_kvm_pre_fault {
    uint64_t guest_address;
    uint64_t size;
    uint64_t flags;
    uint64_t padding[5];
};

/* Returns the rest of the range, because KVM does a part at a time; -1: errno says why. */
static inline int64_t vhu_kvm_pre_fault(int vcpu, uint64_t guest_address, uint64_t size)
{
    struct vhu_kvm_pre_fault range = {.guest_address = guest_address, .size = size};
    return ioctl(vcpu, _IOWR(KVMIO, 0xd5, struct vhu_kvm_pre_fault), &range) < 0
               ? -1
               : (int64_t)range.size;
}

/* How many slots a VM may have; 0: it is no VM of KVM. */
static inline int vhu_kvm_slots(int vm)
{
    int slots = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    return slots > 0 ? slots : 0;
}

#endif
