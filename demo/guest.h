/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_GUEST_H
#define DEMO_GUEST_H

/**
 * @file A guest that looks at a shared memory region: a real one, with KVM, whose code is some
 * twenty bytes; or, where there is no KVM, the host playing its part through vhushmem_region_read
 * and vhushmem_region_write.
 *
 * Functions that return int return 0 or a negative errno. One thread at a time, as for any vCPU.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

/** Where the region's window is in the guest. */
#define GUEST_WINDOW_ADDRESS 0x10000000u

struct guest;

/**
 * Make a guest that has the region at GUEST_WINDOW_ADDRESS.
 *
 * @param use_kvm  false: don't try.
 * @returns a guest, owned by the caller (guest_free).
 */
struct guest *guest_new(vhushmem_region *region, bool use_kvm);
void guest_free(struct guest *guest);

/** Why the host plays the guest; NULL: it doesn't, the guest is real. */
const char *guest_why_not_kvm(const struct guest *guest);

/** Add up 32-bit words; count is not 0. */
int guest_sum(struct guest *guest, uint64_t shm_offset, uint32_t count, uint32_t *sum);
/** Copy bytes from one place of the region to another; len is not 0. */
int guest_copy(struct guest *guest, uint64_t from, uint64_t to, uint32_t len);
int guest_load(struct guest *guest, uint64_t shm_offset, uint32_t *word);
int guest_store(struct guest *guest, uint64_t shm_offset, uint32_t word);

/**
 * How the last access that the window could not serve reached the run loop; NULL: there was none
 * since the last call.
 */
const char *guest_take_fault(struct guest *guest);

#endif
