/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: first-touch ROUNDS. Maps a file of 2 MiB that is in memory. A guest reads a byte of each of its pages, twice. Prints
 * the nanoseconds of the map, of the first time and of the second. `off`: the region has default options. `on`: with
 * VHUSHMEM_REGION_POPULATE. `kvm`: as `on`, and KVM_PRE_FAULT_MEMORY after the map, if the kernel has it. Without /dev/kvm this
 * process plays the guest.
 */
#include "measure.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <vhushmem/vhushmem.h>

#define SIZE (UINT64_C(2) << 20)
#define GUEST_ADDRESS UINT64_C(0x10000000)
#define CODE_SIZE UINT64_C(0x10000)

#ifndef KVM_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
struct kvm_pre_fault_memory {
    __u64 gpa;
    __u64 size;
    __u64 flags;
    __u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif

typedef struct guest {
    int vm, vcpu; /* -1: there is none */
    bool pre_faults;
    struct kvm_run *run;
    uint8_t *code;
} guest;

/* Reads a byte of each page, from esi on, ecx pages. */
static const uint8_t program[] = {
    0x8a, 0x06,                         /* mov al, [esi] */
    0x81, 0xc6, 0x00, 0x10, 0x00, 0x00, /* add esi, 4096 */
    0x49,                               /* dec ecx */
    0x75, 0xf5,                         /* jnz to the beginning */
    0xf4,                               /* hlt */
};

static bool make_guest(guest *g, void *window)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    g->vm = g->vcpu = -1;
    if (kvm < 0 || (g->vm = ioctl(kvm, KVM_CREATE_VM, 0)) < 0) {
        return false;
    }
    g->code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(g->code != MAP_FAILED);
    memcpy(g->code, program, sizeof(program));
    struct kvm_userspace_memory_region slots[] = {
        {.slot = 0, .guest_phys_addr = 0, .memory_size = CODE_SIZE, .userspace_addr = (uintptr_t)g->code},
        {.slot = 1, .guest_phys_addr = GUEST_ADDRESS, .memory_size = SIZE, .userspace_addr = (uintptr_t)window},
    };
    MUST(ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &slots[0]) == 0);
    MUST(ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &slots[1]) == 0);
    MUST((g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0)) >= 0);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    g->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
    MUST(g->run != MAP_FAILED);
    struct kvm_sregs s;
    MUST(ioctl(g->vcpu, KVM_GET_SREGS, &s) == 0);
    struct kvm_segment data = {.limit = UINT32_MAX, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    s.ds = s.es = s.ss = s.fs = s.gs = data;
    s.cs = data;
    s.cs.type = 11;
    s.cs.selector = 8;
    s.cr0 |= 1;
    MUST(ioctl(g->vcpu, KVM_SET_SREGS, &s) == 0);
    g->pre_faults = ioctl(g->vm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) > 0;
    close(kvm);
    return true;
}

static uint64_t touch(guest *g, const volatile char *window)
{
    uint64_t pages = SIZE / 4096;
    uint64_t began = now_ns();
    if (g->vcpu < 0) {
        for (uint64_t i = 0; i < pages; i++) {
            (void)window[i * 4096];
        }
        return now_ns() - began;
    }
    struct kvm_regs registers = {.rip = 0, .rsi = GUEST_ADDRESS, .rcx = pages, .rflags = 2};
    MUST(ioctl(g->vcpu, KVM_SET_REGS, &registers) == 0);
    began = now_ns();
    MUST(ioctl(g->vcpu, KVM_RUN, 0) == 0);
    uint64_t took = now_ns() - began;
    MUST(g->run->exit_reason == KVM_EXIT_HLT);
    return took;
}

static bool pre_fault(guest *g)
{
    struct kvm_pre_fault_memory all = {.gpa = GUEST_ADDRESS, .size = SIZE};
    while (all.size > 0) {
        if (ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, &all) < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
    }
    return true;
}

static void measure(const char *name, uint32_t flags, bool pre_faults, uint64_t rounds)
{
    vhushmem_region_options options = {.struct_size = sizeof(options), .flags = flags};
    vhushmem_device *device = vhushmem_device_new(NULL, NULL);
    vhushmem_region *region = vhushmem_region_new(device, 0, SIZE, &options, NULL);
    MUST(region != NULL);
    guest g;
    bool is_guest = make_guest(&g, vhushmem_region_window(region));
    int file = file_of(SIZE);
    char *bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    MUST(bytes != MAP_FAILED);
    memset(bytes, 1, SIZE);
    munmap(bytes, SIZE);
    for (uint64_t i = 0; i < rounds && (!pre_faults || (is_guest && g.pre_faults)); i++) {
        uint64_t began = now_ns();
        MUST(vhushmem_region_map(region, file, 0, 0, SIZE, 0, NULL) == 0);
        if (pre_faults && !pre_fault(&g)) {
            break;
        }
        uint64_t mapped = now_ns() - began;
        uint64_t first = touch(&g, vhushmem_region_window(region));
        uint64_t again = touch(&g, vhushmem_region_window(region));
        printf("%s-map %llu\n", name, (unsigned long long)mapped);
        printf("%s-touch %llu\n", name, (unsigned long long)first);
        printf("%s-again %llu\n", name, (unsigned long long)again);
        MUST(vhushmem_region_unmap(region, 0, SIZE, NULL) == 0);
    }
    if (is_guest) {
        close(g.vcpu);
        close(g.vm);
    }
    close(file);
    vhushmem_device_unref(device);
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    uint64_t rounds = number_of(argv[1]);
    measure("off", 0, false, rounds);
    measure("on", VHUSHMEM_REGION_POPULATE, false, rounds);
    measure("kvm", VHUSHMEM_REGION_POPULATE, true, rounds);
    return 0;
}
