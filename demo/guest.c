/* SPDX-License-Identifier: BSD-3-Clause */

#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __x86_64__
#include <linux/kvm.h>
#endif

struct guest {
    vhushmem_region *region;
    const char *fault;
    char *why_not_kvm;
#ifdef __x86_64__
    int kvm;
    int vm;
    int vcpu;
    uint8_t *code;
    struct kvm_run *run;
    size_t run_size;
#endif
};

/* ---- the host plays the guest ---- */

/** Serve an access of the guest that the window cannot serve, as far as it can be served. The exit of a vCPU calls it too. */
static int resolve_data(struct guest *guest, uint64_t shm_offset, uint32_t len, bool write, void *data, const char *form)
{
    guest->fault = form;
    return vhushmem_resolve_guest_fault(guest->region, shm_offset, len, write ? VHUSHMEM_ACCESS_WRITE : VHUSHMEM_ACCESS_READ,
                                        data);
}

static int host_load(struct guest *guest, uint64_t shm_offset, uint32_t len, void *data)
{
    if (vhushmem_region_read(guest->region, shm_offset, data, len, NULL) < 0) {
        return resolve_data(guest, shm_offset, len, false, data, "not mapped");
    }
    return 0;
}

static int host_store(struct guest *guest, uint64_t shm_offset, uint32_t len, void *data)
{
    /* Another process waits for a word that says "done". It must see all earlier stores first. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (vhushmem_region_write(guest->region, shm_offset, data, len, NULL) < 0) {
        return resolve_data(guest, shm_offset, len, true, data, "not mapped");
    }
    return 0;
}

static int host_sum(struct guest *guest, uint64_t shm_offset, uint32_t count, uint32_t *sum)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t word;
        int rc = host_load(guest, shm_offset + 4 * (uint64_t)i, sizeof(word), &word);

        if (rc < 0) {
            return rc;
        }
        total += word;
    }
    *sum = total;
    return 0;
}

static int host_copy(struct guest *guest, uint64_t from, uint64_t to, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        uint8_t byte;
        int rc = host_load(guest, from + i, 1, &byte);

        if (rc == 0) {
            rc = host_store(guest, to + i, 1, &byte);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- the guest's code: 32-bit, flat, no paging. Its only page is at guest address 0; a routine has 16 bytes ---- */

enum routine { ROUTINE_SUM, ROUTINE_COPY, ROUTINE_LOAD, ROUTINE_STORE, ROUTINES };

/** The registers before a routine runs, and after it. */
struct registers {
    uint32_t ebx;
    uint32_t ecx;
    uint32_t esi;
    uint32_t edi;
};

#ifdef __x86_64__

#define ROUTINE_SIZE 16
#define CODE_SIZE 4096

/* clang-format off */
static const uint8_t routines[ROUTINES][ROUTINE_SIZE] = {
    [ROUTINE_SUM] = {
        0x31, 0xdb, /*       xor  ebx, ebx                             */
        0xad,       /* next: lodsd           eax = [esi], esi += 4     */
        0x01, 0xc3, /*       add  ebx, eax                             */
        0xe2, 0xfb, /*       loop next       until --ecx is 0          */
        0xf4,       /*       hlt             back to the VMM           */
    },
    [ROUTINE_COPY] = {
        0xf3, 0xa4, /*       rep movsb       ecx bytes, [esi] to [edi] */
        0xf4,       /*       hlt                                       */
    },
    [ROUTINE_LOAD] = {
        0x8b, 0x1e, /*       mov  ebx, [esi]                           */
        0xf4,       /*       hlt                                       */
    },
    [ROUTINE_STORE] = {
        0x89, 0x1f, /*       mov  [edi], ebx                           */
        0xf4,       /*       hlt                                       */
    },
};
/* clang-format on */

/* ---- the VM ---- */

/* Kernel headers before 6.8 do not have these: exit reason 39, and its part of struct kvm_run's union. */
#define EXIT_MEMORY_FAULT 39
struct memory_fault {
    uint64_t flags;
    uint64_t gpa;
    uint64_t size;
};

static int add_slot(int vm, uint32_t slot, uint64_t guest_address, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region memory = {
        .slot = slot,
        .guest_phys_addr = guest_address,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };

    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &memory);
}

/** Protected mode without paging. Each segment has 4 GiB from 0. The hidden parts are loaded directly, so no GDT is needed. */
static int enter_flat_mode(int vcpu)
{
    struct kvm_sregs sregs;

    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) {
        return -1;
    }
    struct kvm_segment flat = {
        .limit = 0xffffffff,
        .selector = 16,
        .type = 3,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
    flat.selector = 8;
    flat.type = 11; /* code, readable */
    sregs.cs = flat;
    sregs.cr0 |= 1; /* PE */
    return ioctl(vcpu, KVM_SET_SREGS, &sregs);
}

/** @returns NULL, or the step that failed (errno has the reason). */
static const char *make_vm(struct guest *guest)
{
    int size;

    guest->kvm = guest->vm = guest->vcpu = -1;
    guest->code = MAP_FAILED;
    guest->run = MAP_FAILED;
    guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (guest->kvm < 0) {
        return "open /dev/kvm";
    }
    guest->vm = ioctl(guest->kvm, KVM_CREATE_VM, 0);
    if (guest->vm < 0) {
        return "make a VM";
    }
    /* Some processors need three pages of guest addresses for this mode. They may be anywhere that nothing else uses. */
    if (ioctl(guest->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0) {
        return "set the TSS address";
    }
    guest->code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guest->code == MAP_FAILED) {
        return "get memory for the guest";
    }
    memcpy(guest->code, routines, sizeof(routines));
    if (add_slot(guest->vm, 0, 0, CODE_SIZE, guest->code) < 0) {
        return "give the guest its memory";
    }
    /* The region has one slot for its whole life. Maps and unmaps happen inside it. */
    if (add_slot(guest->vm, 1, GUEST_WINDOW_ADDRESS, vhushmem_region_size(guest->region),
                 vhushmem_region_window(guest->region)) < 0) {
        return "give the guest the window";
    }
    guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
    size = ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (guest->vcpu < 0 || size < (int)sizeof(struct kvm_run)) {
        return "make a vCPU";
    }
    guest->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
    if (guest->run == MAP_FAILED) {
        return "map the vCPU's state";
    }
    guest->run_size = (size_t)size;
    return enter_flat_mode(guest->vcpu) < 0 ? "set the vCPU's state" : NULL;
}

static void end_vm(struct guest *guest)
{
    int fds[] = {guest->vcpu, guest->vm, guest->kvm};

    if (guest->run != MAP_FAILED) {
        munmap(guest->run, guest->run_size);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (guest->code != MAP_FAILED) {
        munmap(guest->code, CODE_SIZE);
    }
}

/** The exit that carries data. If the access is outside the window, the library refuses the offset. */
static int resolve_mmio(struct guest *guest)
{
    struct kvm_run *run = guest->run;

    return resolve_data(guest, run->mmio.phys_addr - GUEST_WINDOW_ADDRESS, run->mmio.len, run->mmio.is_write, run->mmio.data,
                        "KVM_EXIT_MMIO");
}

/** The exit without data: the instruction has not run. Newer kernels say which address it accessed. */
static int resolve_efault(struct guest *guest)
{
    struct memory_fault fault;

    if (guest->run->exit_reason != EXIT_MEMORY_FAULT) {
        guest->fault = "-EFAULT";
        return vhushmem_resolve_guest_fault(guest->region, VHUSHMEM_OFFSET_UNKNOWN, 0, VHUSHMEM_ACCESS_UNKNOWN, NULL);
    }
    memcpy(&fault, &guest->run->hw, sizeof(fault));
    guest->fault = "KVM_EXIT_MEMORY_FAULT";
    return vhushmem_resolve_guest_fault(guest->region, fault.gpa - GUEST_WINDOW_ADDRESS, fault.size, VHUSHMEM_ACCESS_UNKNOWN,
                                        NULL);
}

/** Run the vCPU until the routine halts. The limit is far beyond the need of the routines. */
static int run_to_halt(struct guest *guest)
{
    for (int exits = 0; exits < 1000; exits++) {
        int rc;

        /* If KVM_RUN fails without an exit, it does not set the reason. */
        guest->run->exit_reason = KVM_EXIT_UNKNOWN;
        if (ioctl(guest->vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN) {
                continue;
            }
            rc = errno == EFAULT ? resolve_efault(guest) : -errno;
        } else if (guest->run->exit_reason == KVM_EXIT_HLT) {
            return 0;
        } else {
            rc = guest->run->exit_reason == KVM_EXIT_MMIO ? resolve_mmio(guest) : -EIO;
        }
        if (rc < 0) {
            return rc;
        }
    }
    return -ELOOP;
}

static int call(struct guest *guest, enum routine routine, struct registers *registers)
{
    struct kvm_regs regs = {
        .rbx = registers->ebx,
        .rcx = registers->ecx,
        .rsi = registers->esi,
        .rdi = registers->edi,
        .rip = (uint64_t)routine * ROUTINE_SIZE,
        .rflags = 2, /* this bit is always set. String instructions go upwards */
    };
    int rc;

    if (ioctl(guest->vcpu, KVM_SET_REGS, &regs) < 0) {
        return -errno;
    }
    rc = run_to_halt(guest);
    if (rc < 0) {
        return rc;
    }
    if (ioctl(guest->vcpu, KVM_GET_REGS, &regs) < 0) {
        return -errno;
    }
    registers->ebx = (uint32_t)regs.rbx;
    return 0;
}

#else

static const char *make_vm(struct guest *guest)
{
    (void)guest;
    errno = ENOSYS; /* the routines are x86 code */
    return "make a VM";
}

static void end_vm(struct guest *guest) { (void)guest; }

static int call(struct guest *guest, enum routine routine, struct registers *registers)
{
    (void)guest, (void)routine, (void)registers;
    return -ENOSYS;
}

#endif

/* ---- either guest ---- */

struct guest *guest_new(vhushmem_region *region, bool use_kvm)
{
    struct guest *guest = g_new0(struct guest, 1);
    const char *what;

    guest->region = vhushmem_region_ref(region);
    if (!use_kvm) {
        guest->why_not_kvm = g_strdup("KVM is not wanted");
        return guest;
    }
    what = make_vm(guest);
    if (what != NULL) {
        guest->why_not_kvm = g_strdup_printf("cannot %s: %s", what, g_strerror(errno));
        end_vm(guest);
    }
    return guest;
}

void guest_free(struct guest *guest)
{
    if (guest == NULL) {
        return;
    }
    if (guest->why_not_kvm == NULL) {
        end_vm(guest);
    }
    vhushmem_region_unref(guest->region);
    g_free(guest->why_not_kvm);
    g_free(guest);
}

const char *guest_why_not_kvm(const struct guest *guest) { return guest->why_not_kvm; }

const char *guest_take_fault(struct guest *guest)
{
    const char *fault = guest->fault;

    guest->fault = NULL;
    return fault;
}

static uint32_t address_of(uint64_t shm_offset) { return (uint32_t)(GUEST_WINDOW_ADDRESS + shm_offset); }

int guest_sum(struct guest *guest, uint64_t shm_offset, uint32_t count, uint32_t *sum)
{
    struct registers registers = {.esi = address_of(shm_offset), .ecx = count};
    int rc;

    if (guest->why_not_kvm != NULL) {
        return host_sum(guest, shm_offset, count, sum);
    }
    rc = call(guest, ROUTINE_SUM, &registers);
    if (rc == 0) {
        *sum = registers.ebx;
    }
    return rc;
}

int guest_copy(struct guest *guest, uint64_t from, uint64_t to, uint32_t len)
{
    struct registers registers = {.esi = address_of(from), .edi = address_of(to), .ecx = len};

    return guest->why_not_kvm != NULL ? host_copy(guest, from, to, len) : call(guest, ROUTINE_COPY, &registers);
}

int guest_load(struct guest *guest, uint64_t shm_offset, uint32_t *word)
{
    struct registers registers = {.esi = address_of(shm_offset)};
    int rc;

    if (guest->why_not_kvm != NULL) {
        return host_load(guest, shm_offset, sizeof(*word), word);
    }
    rc = call(guest, ROUTINE_LOAD, &registers);
    if (rc == 0) {
        *word = registers.ebx;
    }
    return rc;
}

int guest_store(struct guest *guest, uint64_t shm_offset, uint32_t word)
{
    struct registers registers = {.edi = address_of(shm_offset), .ebx = word};

    return guest->why_not_kvm != NULL ? host_store(guest, shm_offset, sizeof(word), &word)
                                      : call(guest, ROUTINE_STORE, &registers);
}
