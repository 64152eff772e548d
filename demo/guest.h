/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_GUEST_H
#define DEMO_GUEST_H

/**
 * @file A guest that looks at a shared memory region. With KVM it is a real guest, whose code has
 * some twenty bytes. Without KVM the host plays the guest with vhushmem_region_read and
 * vhushmem_region_write.
 *
 * A function that returns int returns 0 or a negative errno. Use a guest from one thread at a time,
 * like any vCPU.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

/** The guest address of the region's window. */
#define GUEST_WINDOW_ADDRESS 0x10000000u

struct guest;

/**
 * Make a guest that has the region at GUEST_WINDOW_ADDRESS.
 *
 * @param use_kvm  false: do not try KVM.
 * @returns a guest, owned by the caller (guest_free).
 */
struct guest *guest_new(vhushmem_region *region, bool use_kvm);
void guest_free(struct guest *guest);

/** Why the host plays the guest; NULL: the guest is real. */
const char *guest_why_not_kvm(const struct guest *guest);

/** Add up 32-bit words; count is not 0. */
int guest_sum(struct guest *guest, uint64_t shm_offset, uint32_t count, uint32_t *sum);
/** Copy bytes from one place of the region to another; len is not 0. */
int guest_copy(struct guest *guest, uint64_t from, uint64_t to, uint32_t len);
int guest_load(struct guest *guest, uint64_t shm_offset, uint32_t *word);
int guest_store(struct guest *guest, uint64_t shm_offset, uint32_t word);

/**
 * How the run loop learned of the last access that the window could not serve; NULL: there was none
 * since the last call.
 */
const char *guest_take_fault(struct guest *guest);

#endif
