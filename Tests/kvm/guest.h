/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_GUEST_H
#define VHUSHMEM_TESTS_GUEST_H

/*
 * A guest: what it does to the region by the routines of machine.h, and facts about a region with
 * it.
 */

#include "machine.h"

static inline void call(vcpu *c, routine what) { EQ(try_call(c, what), 0); }

static inline uint32_t at(uint64_t offset) { return (uint32_t)(WINDOW_ADDRESS + offset); }

/* The 32-bit word at an offset of the region, as the guest sees it. */
static inline uint32_t guest_load(vcpu *c, uint64_t offset)
{
    c->esi = at(offset);
    c->ebx = 0xbad0bad0;
    call(c, ROUTINE_LOAD);
    return c->ebx;
}

static inline void guest_store(vcpu *c, uint64_t offset, uint32_t word)
{
    c->edi = at(offset);
    c->ebx = word;
    call(c, ROUTINE_STORE);
}

static inline uint32_t guest_exchange(vcpu *c, uint64_t offset, uint32_t word)
{
    c->edi = at(offset);
    c->ebx = word;
    call(c, ROUTINE_EXCHANGE);
    return c->ebx;
}

static inline void guest_copy(vcpu *c, uint64_t from, uint64_t to, uint32_t bytes)
{
    c->esi = at(from);
    c->edi = at(to);
    c->ecx = bytes;
    call(c, ROUTINE_COPY);
}

static inline uint32_t guest_sum(vcpu *c, uint64_t offset, uint32_t words)
{
    c->esi = at(offset);
    c->ecx = words;
    call(c, ROUTINE_SUM);
    return c->ebx;
}

/*
 * Reads the word again and again until it is another one, and returns that; or the same, after so
 * many times.
 */
static inline uint32_t guest_until_not(vcpu *c, uint64_t offset, uint32_t word, uint32_t times)
{
    c->esi = at(offset);
    c->ebx = word;
    c->ecx = times;
    call(c, ROUTINE_UNTIL);
    return c->ebx;
}

static inline int fault_count(const vcpu *c)
{
    int count = 0;
    for (int i = 0; i < FORMS; i++) {
        count += c->faults[i];
    }
    return count;
}

/*
 * An older kernel without KVM_EXIT_MEMORY_FAULT: where a write failed can't be told, so it can't be
 * resolved.
 */
static inline bool writes_can_be_resolved(vcpu *c, uint64_t hole)
{
    guest_load(c, hole);
    return c->faults[FORM_UNKNOWN] == 0;
}

/*
 * Both halves of the word of a file that `memfd_of` made: the lower tells the place, the upper the
 * seed.
 */
#define guest_shows(c, offset, seed, fd_offset)                                                    \
    guest_shows_at(__FILE__, __LINE__, c, offset, seed, fd_offset)

static inline void guest_shows_at(const char *file, int line, vcpu *c, uint64_t offset,
                                  uint64_t seed, uint64_t fd_offset)
{
    uint64_t seen = guest_load(c, offset) | (uint64_t)guest_load(c, offset + 4) << 32;
    if (seen != pattern(seed, fd_offset)) {
        fail_at(file, line, "the guest sees 0x%" PRIx64 " at 0x%" PRIx64 ", not 0x%" PRIx64, seen,
                offset, pattern(seed, fd_offset));
    }
}

/* The file is as `memfd_of` made it. */
static inline void file_is_untouched(int fd, uint64_t bytes, uint64_t seed)
{
    for (uint64_t offset = 0; offset < bytes; offset += 8) {
        uint64_t word;
        EQ(pread(fd, &word, 8, (off_t)offset), 8);
        EQ(word, pattern(seed, offset));
    }
}

/* ---- a region and its guest ---- */

typedef struct guest {
    rig rig;
    vm vm;
    vcpu vcpu;
} guest;

/*
 * The facts, of a region without a back-end and of one whose back-end asks by the wire, each with
 * its own VM. `holes`: VHUSHMEM_HOLES_*.
 */
static inline void with_a_guest(void (*facts)(guest *), uint64_t size, uint32_t holes)
{
    vhushmem_region_options region = {.struct_size = sizeof(region), .holes = holes};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &region};
    for (int wire = 0; wire < 2; wire++) {
        guest g;
        if (wire) {
            rig_open(&g.rig, size, &options);
        } else {
            rig_open_plain(&g.rig, size, NULL, &region);
        }
        vm_open(&g.vm, g.rig.region);
        vcpu_open(&g.vcpu, &g.vm, 0);
        facts(&g);
        vcpu_close(&g.vcpu);
        vm_close(&g.vm);
        rig_close(&g.rig);
    }
}

#endif
