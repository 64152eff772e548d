/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_MACHINE_H
#define VHUSHMEM_TESTS_MACHINE_H

/*
 * The smallest VM that can run a test: one page of code at guest address 0, the region's window at
 * WINDOW_ADDRESS, and vCPUs. The window is one KVM slot, which never changes. If the window cannot
 * serve an access, the run loop gives it to vhushmem_resolve_guest_fault, in the form in which this
 * host's KVM reports it.
 */

#include "rig.h"

#include <stddef.h>
#include <sys/ioctl.h>

#ifdef __x86_64__
#include <linux/kvm.h>
#endif

#define WINDOW_ADDRESS UINT64_C(0x10000000)

/* The ways in which such accesses have reached the run loop. */
typedef enum fault_form {
    FORM_MMIO,    /* KVM_EXIT_MMIO, with the data */
    FORM_ADDRESS, /* -EFAULT and KVM_EXIT_MEMORY_FAULT, which says where */
    FORM_UNKNOWN, /* -EFAULT alone */
    /* KVM_EXIT_INTERNAL_ERROR: this KVM emulates such accesses, except atomic ones */
    FORM_EMULATION,
    FORMS
} fault_form;

/* The routines of a vCPU. Each ends with `hlt`, which returns to `guest_call`. */
typedef enum routine {
    ROUTINE_LOAD,     /* ebx = [esi] */
    ROUTINE_STORE,    /* [edi] = ebx */
    ROUTINE_COPY,     /* ecx bytes from [esi] to [edi] */
    ROUTINE_SUM,      /* ebx = the sum of ecx words at [esi] */
    ROUTINE_EXCHANGE, /* ebx = [edi], and [edi] = ebx, at once */
    ROUTINE_UNTIL,    /* until [esi] is not ebx, but ecx times at the most; ebx = [esi] */
    ROUTINES
} routine;

typedef struct vm {
    vhushmem_region *region;
    int kvm;
    int fd;
    void *code;
} vm;

typedef struct vcpu {
    vm *vm;
    int fd;
    struct kvm_run *run;
    size_t run_size;
    int faults[FORMS]; /* since it was made */
    /* What the registers are, before and after a routine. */
    uint32_t ebx, ecx, esi, edi;
} vcpu;

#ifdef __x86_64__

#define ROUTINE_SIZE 16

/* clang-format off */
static const uint8_t routines[ROUTINES][ROUTINE_SIZE] = {
    [ROUTINE_LOAD] = {
        0x8b, 0x1e, /*       mov  ebx, [esi]   */
        0xf4,       /*       hlt               */
    },
    [ROUTINE_STORE] = {
        0x89, 0x1f, /*       mov  [edi], ebx   */
        0xf4,       /*       hlt               */
    },
    [ROUTINE_COPY] = {
        0xf3, 0xa4, /*       rep movsb         */
        0xf4,       /*       hlt               */
    },
    [ROUTINE_SUM] = {
        0x31, 0xdb, /*       xor  ebx, ebx     */
        0xad,       /* next: lodsd             */
        0x01, 0xc3, /*       add  ebx, eax     */
        0xe2, 0xfb, /*       loop next         */
        0xf4,       /*       hlt               */
    },
    [ROUTINE_EXCHANGE] = {
        0x87, 0x1f, /*       xchg [edi], ebx   */
        0xf4,       /*       hlt               */
    },
    [ROUTINE_UNTIL] = {
        0x8b, 0x06, /* next: mov  eax, [esi]   */
        0x39, 0xd8, /*       cmp  eax, ebx     */
        0xe1, 0xfa, /*       loope next        */
        0x89, 0xc3, /*       mov  ebx, eax     */
        0xf4,       /*       hlt               */
    },
};
/* clang-format on */

/* Kernel headers before 6.8 lack these: the exit reason, and its part of struct kvm_run's union. */
#define EXIT_MEMORY_FAULT 39
typedef struct memory_fault {
    uint64_t flags, gpa, size;
} memory_fault;

/* ---- making and ending ---- */

static inline void vm_slot(vm *m, uint32_t slot, uint64_t guest_address, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region memory = {.slot = slot,
                                                 .guest_phys_addr = guest_address,
                                                 .memory_size = size,
                                                 .userspace_addr = (uintptr_t)host};
    if (ioctl(m->fd, KVM_SET_USER_MEMORY_REGION, &memory) < 0) {
        FAIL("KVM takes no slot of 0x%" PRIx64 " bytes at 0x%" PRIx64 ": %s", size, guest_address,
             strerror(errno));
    }
}

static inline __attribute__((noreturn)) void no_guest(const char *what)
{
    char *reason = g_strdup_printf("%s: %s", what, strerror(errno));
    skip(reason);
}

/* A test without a guest is skipped here. */
static inline void vm_open(vm *m, vhushmem_region *region)
{
    memset(m, 0, sizeof(*m));
    m->region = region;
    m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (m->kvm < 0) {
        no_guest("/dev/kvm");
    }
    m->fd = ioctl(m->kvm, KVM_CREATE_VM, 0);
    if (m->fd < 0) {
        no_guest("KVM makes no VM");
    }
    /*
     * Some processors need three pages of guest addresses for a guest without paging; any that
     * nothing else uses will do.
     */
    CHECK(ioctl(m->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul) == 0);
    /*
     * If an access cannot be emulated, the guest must stay as it is; without this it gets an
     * exception. Not every kernel has it.
     */
    struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    (void)ioctl(m->fd, KVM_ENABLE_CAP, &cap);
    m->code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m->code != MAP_FAILED);
    memcpy(m->code, routines, sizeof(routines));
    vm_slot(m, 0, 0, PAGE, m->code);
    vm_slot(m, 1, WINDOW_ADDRESS, vhushmem_region_size(region), vhushmem_region_window(region));
}

static inline void vm_close(vm *m)
{
    close(m->fd);
    close(m->kvm);
    munmap(m->code, PAGE);
}

/*
 * Protected mode without paging. Each segment is 4 GiB from 0, and is loaded straight into the
 * hidden part of its register.
 */
static inline void vcpu_open(vcpu *c, vm *m, int index)
{
    memset(c, 0, sizeof(*c));
    c->vm = m;
    c->fd = ioctl(m->fd, KVM_CREATE_VCPU, index);
    int size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    CHECK(c->fd >= 0 && size >= (int)sizeof(struct kvm_run));
    c->run_size = (size_t)size;
    c->run = mmap(NULL, c->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    CHECK(c->run != MAP_FAILED);

    /* No vCPU waits for a start-up message: the VM has no interrupt controller. */
    struct kvm_sregs sregs;
    CHECK(ioctl(c->fd, KVM_GET_SREGS, &sregs) == 0);
    struct kvm_segment flat = {
        .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
    flat.selector = 8;
    flat.type = 11; /* code, readable */
    sregs.cs = flat;
    sregs.cr0 |= 1; /* PE */
    CHECK(ioctl(c->fd, KVM_SET_SREGS, &sregs) == 0);
}

static inline void vcpu_close(vcpu *c)
{
    munmap(c->run, c->run_size);
    close(c->fd);
}

/* ---- running ---- */

/* The access came with its data. */
static inline int resolve_mmio(vcpu *c)
{
    struct kvm_run *run = c->run;
    CHECK(run->mmio.phys_addr >= WINDOW_ADDRESS);
    c->faults[FORM_MMIO]++;
    return vhushmem_resolve_guest_fault(
        c->vm->region, run->mmio.phys_addr - WINDOW_ADDRESS, run->mmio.len,
        run->mmio.is_write ? VHUSHMEM_ACCESS_WRITE : VHUSHMEM_ACCESS_READ, run->mmio.data);
}

/* The instruction has not run. `access`: the access that the routine makes. */
static inline int resolve_efault(vcpu *c, uint32_t access)
{
    memory_fault fault;
    if (c->run->exit_reason != EXIT_MEMORY_FAULT) {
        c->faults[FORM_UNKNOWN]++;
        return vhushmem_resolve_guest_fault(c->vm->region, VHUSHMEM_OFFSET_UNKNOWN, 0,
                                            VHUSHMEM_ACCESS_UNKNOWN, NULL);
    }
    memcpy(&fault, &c->run->hw, sizeof(fault));
    CHECK(fault.gpa >= WINDOW_ADDRESS);
    c->faults[FORM_ADDRESS]++;
    return vhushmem_resolve_guest_fault(c->vm->region, fault.gpa - WINDOW_ADDRESS, fault.size,
                                        access, NULL);
}

/*
 * The run loop, until the routine is at its end. Returns 0, or what vhushmem_resolve_guest_fault
 * refused.
 */
static inline int try_call(vcpu *c, routine what)
{
    static const uint32_t accesses[ROUTINES] = {
        [ROUTINE_LOAD] = VHUSHMEM_ACCESS_READ,      [ROUTINE_STORE] = VHUSHMEM_ACCESS_WRITE,
        [ROUTINE_COPY] = VHUSHMEM_ACCESS_UNKNOWN,   [ROUTINE_SUM] = VHUSHMEM_ACCESS_READ,
        [ROUTINE_EXCHANGE] = VHUSHMEM_ACCESS_WRITE, [ROUTINE_UNTIL] = VHUSHMEM_ACCESS_READ,
    };
    struct kvm_regs regs = {.rbx = c->ebx, .rcx = c->ecx, .rsi = c->esi, .rdi = c->edi};
    regs.rip = (uint64_t)what * ROUTINE_SIZE;
    regs.rflags = 2; /* the bit that is always set */
    CHECK(ioctl(c->fd, KVM_SET_REGS, &regs) == 0);
    int64_t end = now_ms() + PATIENCE_MS;
    for (;;) {
        int rc = 0;
        if (now_ms() > end) {
            FAIL("the guest does not come to the end of routine %d", what);
        }
        /* If KVM_RUN fails for another reason, it leaves this field as it was. */
        c->run->exit_reason = KVM_EXIT_UNKNOWN;
        if (ioctl(c->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN) {
                continue;
            }
            if (errno != EFAULT) {
                FAIL("KVM_RUN: %s", strerror(errno));
            }
            rc = resolve_efault(c, accesses[what]);
        } else if (c->run->exit_reason == KVM_EXIT_MMIO) {
            rc = resolve_mmio(c);
        } else if (c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR && what == ROUTINE_EXCHANGE) {
            /* A VMM finds the address by looking at the instruction; this one knows it. */
            c->faults[FORM_EMULATION]++;
            rc = vhushmem_resolve_guest_fault(c->vm->region, c->edi - WINDOW_ADDRESS, 4,
                                              VHUSHMEM_ACCESS_WRITE, NULL);
        } else if (c->run->exit_reason == KVM_EXIT_HLT) {
            break;
        } else {
            FAIL("the guest ends in routine %d with exit reason %u", what, c->run->exit_reason);
        }
        if (rc < 0) {
            return rc;
        }
    }
    CHECK(ioctl(c->fd, KVM_GET_REGS, &regs) == 0);
    c->ebx = (uint32_t)regs.rbx;
    c->ecx = (uint32_t)regs.rcx;
    return 0;
}

#else

static inline void vm_open(vm *m, vhushmem_region *region)
{
    (void)m, (void)region;
    skip("the guest's code is for x86_64");
}

static inline void vm_close(vm *m) { (void)m; }

static inline void vcpu_open(vcpu *c, vm *m, int index) { (void)c, (void)m, (void)index; }

static inline void vcpu_close(vcpu *c) { (void)c; }

static inline int try_call(vcpu *c, routine what)
{
    (void)c, (void)what;
    return -ENOSYS;
}

#endif

#endif
