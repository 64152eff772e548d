/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * vmm SOCKET: a VMM with one device, the one of backend.c, and a guest that looks at the device's shared memory.
 *
 * The front-end runs in a GMainLoop. The guest (guest.h) runs in a thread, like a vCPU, while the loop serves requests. If
 * VHUSHMEM_DEMO_NO_KVM is in the environment, or /dev/kvm does not exist, the host plays the guest. Each wait has a time limit.
 * The exit status is 0 only if everything was right.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#include "control.h"
#include "guest.h"

#define PATIENCE_S 60
#define MAX_LETTERS 26
#define CELLS 64
#define RAM_SIZE 0x4000u
#define QUEUE_SIZE 16

/*
 * In a guest of a nested hypervisor an instruction may take a microsecond. So the host adds up what a long part has beyond
 * this.
 */
#define GUEST_WORDS 8192u

/** The letter of each mapping in the picture. It is in upper case if the mapping is writable. */
struct letter {
    uint64_t shm_offset;
    char letter;
};

struct vmm {
    GMainLoop *loop;
    vhushmem_frontend *frontend;
    vhushmem_region *region;
    struct guest *guest;
    const char *who; /* column 1 of the output: who acts as the guest */
    GThread *vcpu;
    uint64_t hole; /* where the whole file was mapped */
    struct letter letters[MAX_LETTERS];
    unsigned nletters;
    uint8_t *ram; /* guest memory: has the rings of the device's queue */
    int ram_fd, kick, call;
    int answered; /* atomic */
    bool finished;
    char *failure; /* atomic: the first failure */
};

/** Note a failure. Any thread may call it. */
G_GNUC_PRINTF(2, 3) static void fail(struct vmm *vmm, const char *format, ...)
{
    va_list args;
    char *sentence;

    va_start(args, format);
    sentence = g_strdup_vprintf(format, args);
    va_end(args);
    if (!g_atomic_pointer_compare_and_exchange(&vmm->failure, NULL, sentence)) {
        g_free(sentence);
    }
    g_main_loop_quit(vmm->loop);
}

/* ---- pictures ---- */

static char letter_of(const struct vmm *vmm, uint64_t shm_offset)
{
    for (unsigned i = 0; i < vmm->nletters; i++) {
        if (vmm->letters[i].shm_offset == shm_offset) {
            return vmm->letters[i].letter;
        }
    }
    return '?';
}

static void draw_window(struct vmm *vmm)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    uint64_t size = vhushmem_region_size(vmm->region);
    uint64_t cell = (size + CELLS - 1) / CELLS;
    char bar[CELLS + 1];

    memset(bar, '.', CELLS);
    bar[CELLS] = '\0';
    for (uint64_t from = 0; vhushmem_region_next_mapping(vmm->region, from, &info) == 0; from = info.shm_offset + info.len) {
        for (uint64_t i = info.shm_offset / cell; i <= (info.shm_offset + info.len - 1) / cell; i++) {
            bar[i] = letter_of(vmm, info.shm_offset);
        }
    }
    printf("vmm     [%s]\n", bar);
    printf("vmm     %" PRIu64 " KiB a cell; A-Z: read-write, a-z: read-only, dots: holes; %" PRIu64 " of %" PRIu64
           " KiB mapped\n",
           cell / 1024, vhushmem_region_mapped_bytes(vmm->region) / 1024, size / 1024);
}

/* ---- the guest's work, in its thread ---- */

static uint64_t control_at(size_t field) { return CONTROL_OFFSET + field; }

/** Add up the words that the guest left out. @returns false: they are not mapped. */
static bool add_rest(struct vmm *vmm, const struct control_part *part, uint32_t words, uint32_t *sum)
{
    uint64_t skip = 4 * (uint64_t)GUEST_WORDS;
    uint32_t left = words - GUEST_WORDS;
    uint32_t chunk[1024];

    while (left > 0) {
        uint32_t count = MIN(left, (uint32_t)G_N_ELEMENTS(chunk));

        /* The device may unmap at any time. This copies or fails. An access to the window itself would raise a signal. */
        if (vhushmem_region_read(vmm->region, part->shm_offset + skip, chunk, 4 * (size_t)count, NULL) < 0) {
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            *sum += chunk[i];
        }
        skip += 4 * (uint64_t)count;
        left -= count;
    }
    return true;
}

/** The guest reads a part of the file through the window, and tells the device the sum. */
static bool sum_part(struct vmm *vmm, uint32_t index, const struct control_part *part)
{
    uint32_t words = (uint32_t)(((uint64_t)part->len + 3) / 4);
    uint32_t sum = 0;
    bool capped = words > GUEST_WORDS;
    int rc = guest_sum(vmm->guest, part->shm_offset, capped ? GUEST_WORDS : words, &sum);

    if (rc < 0 || (capped && !add_rest(vmm, part, words, &sum))) {
        fail(vmm, "the guest cannot read part %u: %s", index, rc < 0 ? g_strerror(-rc) : "its end is not mapped");
        return false;
    }
    if (sum != part->sum) {
        fail(vmm, "the guest sees 0x%08x in part %u, the file has 0x%08x", sum, index, part->sum);
        return false;
    }
    printf("%-7s %c  sums %u words to 0x%08x, as the file has it%s\n", vmm->who, letter_of(vmm, part->shm_offset), words, sum,
           capped ? " (the host all but 32 KiB)" : "");
    rc = guest_store(vmm->guest, control_at(offsetof(struct control, sums) + index * sizeof(uint32_t)), sum);
    if (rc < 0) {
        fail(vmm, "the guest cannot write sum %u: %s", index, g_strerror(-rc));
    }
    return rc == 0;
}

/**
 * The guest writes to a page of the file that is mapped read-only. The whole file's mapping has that page too: it must not
 * change.
 */
static bool write_read_only(struct vmm *vmm, const struct control_part *whole, const struct control_part *piece)
{
    uint64_t same = whole->shm_offset + piece->fd_offset;
    uint32_t before = 0, after = 1;
    int rc = guest_load(vmm->guest, same, &before);
    const char *outcome = "kept from the file";

    if (rc == 0) {
        rc = guest_store(vmm->guest, piece->shm_offset, ~before);
    }
    if (rc == -ENXIO) {
        /* An old kernel, which does not say where the guest's access failed. A VMM could decode the instruction. */
        outcome = "refused";
        rc = 0;
    }
    if (rc == 0) {
        rc = guest_load(vmm->guest, same, &after);
    }
    const char *fault = guest_take_fault(vmm->guest);
    if (rc < 0 || fault == NULL || before != after) {
        fail(vmm, "a write to a read-only mapping %s", rc < 0 ? g_strerror(-rc) : "went through");
        return false;
    }
    printf("%-7s %c  writes to it: %s (%s)\n", vmm->who, letter_of(vmm, piece->shm_offset), outcome, fault);
    return true;
}

static bool copy_text(struct vmm *vmm)
{
    int rc = guest_copy(vmm->guest, control_at(offsetof(struct control, device_text)),
                        control_at(offsetof(struct control, guest_text)), CONTROL_TEXT);

    if (rc < 0) {
        fail(vmm, "the guest cannot copy the text: %s", g_strerror(-rc));
        return false;
    }
    printf("%-7s %c  copies the device's text to its own place\n", vmm->who, letter_of(vmm, CONTROL_OFFSET));
    return true;
}

/** After this the device looks at what was written, and undoes the mappings. */
static void answer(struct vmm *vmm)
{
    int rc;

    g_atomic_int_set(&vmm->answered, 1);
    rc = guest_store(vmm->guest, control_at(offsetof(struct control, answer)), CONTROL_ANSWERED);
    if (rc < 0) {
        fail(vmm, "the guest cannot write its answer: %s", g_strerror(-rc));
    }
}

/** Check the device's words like all input from outside. */
static bool read_control(struct vmm *vmm, struct control *control)
{
    uint64_t state_at = control_at(offsetof(struct control, state));

    if (vhushmem_region_read(vmm->region, state_at, &control->state, sizeof(control->state), NULL) < 0 ||
        control->state != CONTROL_MAPPED) {
        return false;
    }
    /* The device wrote the state last. So all that it stands for is read after it. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return vhushmem_region_read(vmm->region, CONTROL_OFFSET, control, sizeof(*control), NULL) == 0;
}

static bool is_sane(const struct vmm *vmm, const struct control *control)
{
    uint64_t size = vhushmem_region_size(vmm->region);

    if (control->magic != CONTROL_MAGIC || control->nparts < 2 || control->nparts > CONTROL_MAX_PARTS) {
        return false;
    }
    for (uint32_t i = 0; i < control->nparts; i++) {
        const struct control_part *part = &control->parts[i];

        if (part->len == 0 || part->len > size || part->shm_offset > size - part->len || part->fd_offset % 4 != 0 ||
            part->fd_offset >= control->parts[0].len) {
            return false;
        }
    }
    return control->parts[0].fd_offset == 0;
}

static gpointer read_and_answer(gpointer user_data)
{
    struct vmm *vmm = user_data;
    struct control control;

    if (!read_control(vmm, &control) || !is_sane(vmm, &control)) {
        fail(vmm, "the control page makes no sense");
        return NULL;
    }
    vmm->hole = control.parts[0].shm_offset;
    for (uint32_t i = 0; i < control.nparts; i++) {
        if (!sum_part(vmm, i, &control.parts[i])) {
            return NULL;
        }
    }
    if (write_read_only(vmm, &control.parts[0], &control.parts[control.nparts - 1]) && copy_text(vmm)) {
        answer(vmm);
    }
    return NULL;
}

static gpointer touch_hole(gpointer user_data)
{
    struct vmm *vmm = user_data;
    uint32_t word = 1;
    int rc = guest_load(vmm->guest, vmm->hole, &word);
    const char *fault = guest_take_fault(vmm->guest);

    if (rc < 0 || word != 0) {
        fail(vmm, "the guest reads 0x%x from a hole: %s", word, g_strerror(-rc));
        return NULL;
    }
    printf("%-7s .  reads 0x%x from the hole at 0x%07" PRIx64 " (%s), and lives\n", vmm->who, word, vmm->hole,
           fault != NULL ? fault : "no exit");
    vmm->finished = true;
    g_main_loop_quit(vmm->loop);
    return NULL;
}

/** The vCPU's earlier work is over: it has answered, or it did nothing. */
static void run_vcpu(struct vmm *vmm, GThreadFunc what)
{
    if (vmm->vcpu != NULL) {
        g_thread_join(vmm->vcpu);
    }
    vmm->vcpu = g_thread_new("vcpu", what, vmm);
}

/* ---- events of the device, in the loop ---- */

static gboolean look_at_control(gpointer user_data)
{
    struct vmm *vmm = user_data;
    struct control control;

    if (!read_control(vmm, &control)) {
        return G_SOURCE_CONTINUE;
    }
    draw_window(vmm);
    run_vcpu(vmm, read_and_answer);
    return G_SOURCE_REMOVE;
}

static void on_started(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    if (reply->result < 0) {
        fail(user_data, "the device does not start: %s", reply->message);
    }
}

/**
 * Do the first step of a guest's driver: it sets up a queue in guest memory, and the VMM starts the device with it. From then
 * on the device may ask for mappings. This driver puts no request into the queue.
 */
static void start_device(struct vmm *vmm)
{
    vhushmem_guest_memory memory = {.struct_size = sizeof(memory), .size = RAM_SIZE, .host = vmm->ram, .fd = vmm->ram_fd};
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = QUEUE_SIZE,
                            .desc = vmm->ram,
                            .avail = vmm->ram + 0x1000,
                            .used = vmm->ram + 0x2000,
                            .kick_fd = vmm->kick,
                            .call_fd = vmm->call};
    GError *error = NULL;

    if (vhushmem_frontend_set_memory(vmm->frontend, &memory, 1, &error) < 0 ||
        vhushmem_frontend_start_device_async(vmm->frontend, UINT64_C(1) << 32 /* VIRTIO_F_VERSION_1 */, &queue, 1, on_started,
                                             vmm, NULL, &error) < 0) {
        fail(vmm, "the device does not start: %s", error->message);
        g_clear_error(&error);
    }
}

static void on_ready(struct vmm *vmm)
{
    uint64_t features = vhushmem_frontend_protocol_features(vmm->frontend);

    printf("vmm     negotiated");
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = vhushmem_protocol_feature_name(bit);

        if (((features >> bit) & 1) != 0 && name != NULL) {
            printf(" %s", name);
        }
    }
    printf("\n");

    vmm->region = vhushmem_device_find_region(vhushmem_frontend_device(vmm->frontend), CONTROL_SHMID);
    if (vmm->region == NULL || vhushmem_region_size(vmm->region) > UINT32_C(1) << 30) {
        fail(vmm, "the device has no region %d, or one too large for this guest", CONTROL_SHMID);
        return;
    }
    printf("vmm     region %d: %" PRIu64 " MiB, window at %p, for the guest at 0x%x\n", CONTROL_SHMID,
           vhushmem_region_size(vmm->region) >> 20, vhushmem_region_window(vmm->region), GUEST_WINDOW_ADDRESS);

    bool use_kvm = g_getenv("VHUSHMEM_DEMO_NO_KVM") == NULL;
    vmm->guest = guest_new(vmm->region, use_kvm);
    const char *why = guest_why_not_kvm(vmm->guest);
    vmm->who = why == NULL ? "guest" : "host";
    if (why != NULL) {
        printf("vmm     no KVM guest (%s): the host plays its part\n", use_kvm ? why : "VHUSHMEM_DEMO_NO_KVM is set");
    } else {
        printf("vmm     a KVM guest is there; its one slot is the window\n");
    }
    start_device(vmm);
    g_timeout_add(5, look_at_control, vmm);
}

static void on_map(struct vmm *vmm, const vhushmem_event *event)
{
    bool rw = (event->flags & VHOST_USER_FLAG_MAP_RW) != 0;
    char letter = '-';

    if (event->result == 0 && vmm->nletters < MAX_LETTERS) {
        letter = (char)((rw ? 'A' : 'a') + vmm->nletters);
        vmm->letters[vmm->nletters++] = (struct letter){.shm_offset = event->shm_offset, .letter = letter};
    }
    printf("vmm     %c  map   0x%07" PRIx64 " +0x%-6" PRIx64 " %s, file from 0x%" PRIx64 "%s%s\n", letter, event->shm_offset,
           event->len, rw ? "read-write" : "read-only", event->fd_offset, event->result == 0 ? "" : ": refused, ",
           event->result == 0 ? "" : g_strerror(-event->result));
}

static void on_unmap(struct vmm *vmm, const vhushmem_event *event)
{
    if (event->result != 0 || !g_atomic_int_get(&vmm->answered)) {
        fail(vmm, "an unmap that should not be: %s", event->message != NULL ? event->message : "the guest is still reading");
        return;
    }
    printf("vmm     %c  unmap 0x%07" PRIx64 " +0x%" PRIx64 "\n", letter_of(vmm, event->shm_offset), event->shm_offset,
           event->len);
    if (vhushmem_region_mapping_count(vmm->region) == 0) {
        run_vcpu(vmm, touch_hole);
    }
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    struct vmm *vmm = user_data;

    (void)frontend;
    switch (event->type) {
    case VHUSHMEM_EVENT_READY:
        on_ready(vmm);
        break;
    case VHUSHMEM_EVENT_MAP:
        on_map(vmm, event);
        break;
    case VHUSHMEM_EVENT_UNMAP:
        on_unmap(vmm, event);
        break;
    case VHUSHMEM_EVENT_CHANNEL_LOST:
    case VHUSHMEM_EVENT_DISCONNECT:
        fail(vmm, "the device went away: %s", event->message != NULL ? event->message : g_strerror(-event->result));
        break;
    default:
        fail(vmm, "event %u was not expected", event->type);
        break;
    }
}

/** End the program if the guest does not come to its end. Nothing can be freed then. */
static gboolean on_watchdog(gpointer user_data)
{
    (void)user_data;
    fprintf(stderr, "vmm     FAILED: not done after %d seconds\n", PATIENCE_S);
    exit(1);
}

static void make_ram(struct vmm *vmm)
{
    vmm->ram_fd = memfd_create("demo-ram", MFD_CLOEXEC);
    vmm->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vmm->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vmm->ram_fd < 0 || vmm->kick < 0 || vmm->call < 0 || ftruncate(vmm->ram_fd, RAM_SIZE) < 0) {
        fail(vmm, "no memory for the guest: %s", g_strerror(errno));
        return;
    }
    vmm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->ram_fd, 0);
    if (vmm->ram == MAP_FAILED) {
        fail(vmm, "no memory for the guest: %s", g_strerror(errno));
    }
}

int main(int argc, char **argv)
{
    struct vmm vmm = {.who = "guest"};
    GError *error = NULL;
    GSource *source;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    vmm.loop = g_main_loop_new(NULL, FALSE);
    make_ram(&vmm);
    vmm.frontend = vhushmem_frontend_new(argv[1], NULL, &error);
    if (vmm.frontend == NULL || vhushmem_frontend_set_callback(vmm.frontend, on_event, &vmm, NULL) < 0 ||
        vhushmem_frontend_start(vmm.frontend, &error) < 0) {
        fprintf(stderr, "vmm     FAILED: %s\n", error != NULL ? error->message : "no callback");
        return 1;
    }
    source = vhushmem_frontend_source_new(vmm.frontend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    g_timeout_add_seconds(PATIENCE_S, on_watchdog, NULL);

    if (g_atomic_pointer_get(&vmm.failure) == NULL) {
        g_main_loop_run(vmm.loop);
    }
    if (vmm.vcpu != NULL) {
        g_thread_join(vmm.vcpu);
    }
    if (vmm.failure != NULL) {
        fprintf(stderr, "vmm     FAILED: %s\n", vmm.failure);
        vmm.finished = false;
    }
    /* The vCPU is freed first: its slot is the window. */
    guest_free(vmm.guest);
    vhushmem_frontend_free(vmm.frontend);
    munmap(vmm.ram, RAM_SIZE);
    close(vmm.ram_fd);
    close(vmm.kick);
    close(vmm.call);
    g_main_loop_unref(vmm.loop);
    g_free(vmm.failure);
    return vmm.finished ? 0 : 1;
}
