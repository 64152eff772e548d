/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All that the library does, in one process: a front-end whose back-end comes, goes and comes back, and a back-end with guest
 * memory and a queue. Their peers are other processes. Two calls that cannot succeed mark the beginning and the end for a tracer.
 * Between them this process makes only the system calls of the library, the C library and GLib.
 *
 * whole-life [NAME...]: with names, a seccomp filter kills the process for any other call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "peer.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Names that a list may have. */
#define CALL(name)                                                                                                             \
    {                                                                                                                          \
#name, SYS_##name                                                                                                      \
    }
static const struct {
    const char *name;
    long number;
} calls[] = {
    CALL(accept4),
    CALL(bind),
    CALL(brk),
    CALL(clock_gettime),
    CALL(clock_nanosleep),
    CALL(close),
    CALL(clone3),
    CALL(connect),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(eventfd2),
    CALL(exit),
    CALL(exit_group),
    CALL(fcntl),
    CALL(fstat),
    CALL(flock),
    CALL(fstatfs),
    CALL(ftruncate),
    CALL(futex),
    CALL(getpid),
    CALL(getrandom),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(io_destroy),
    CALL(io_getevents),
    CALL(io_setup),
    CALL(io_submit),
    CALL(gettid),
    CALL(ioctl),
    CALL(listen),
    CALL(lseek),
    CALL(madvise),
    CALL(memfd_create),
    CALL(mmap),
    CALL(mprotect),
    CALL(mremap),
    CALL(msync),
    CALL(munmap),
    CALL(newfstatat),
    CALL(openat),
    CALL(personality),
    CALL(ppoll),
    CALL(prctl),
    CALL(preadv2),
    CALL(prlimit64),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(read),
    CALL(recvmsg),
    CALL(restart_syscall),
    CALL(rseq),
    CALL(rt_sigaction),
    CALL(rt_sigpending),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(rt_sigtimedwait),
    CALL(rt_tgsigqueueinfo),
    CALL(sendmsg),
    CALL(sendto),
    CALL(set_robust_list),
    CALL(setsockopt),
    CALL(shutdown),
    CALL(socket),
    CALL(socketpair),
    CALL(statx),
    CALL(tgkill),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(write),
    CALL(readlinkat),
    CALL(unlinkat),
/* Newer kinds of processors do not have these. */
#ifdef SYS_poll
    CALL(poll),
    CALL(readlink),
    CALL(unlink),
#endif
#ifdef SYS_process_madvise
    CALL(process_madvise),
#endif
#ifdef SYS_epoll_wait
    CALL(epoll_wait),
#endif
};

static void allow_only(char **names, int count)
{
    struct sock_filter program[256] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned short length = 1;
    for (int i = 0; i < count; i++) {
        long number = -1;
        for (size_t k = 0; k < G_N_ELEMENTS(calls); k++) {
            number = strcmp(calls[k].name, names[i]) == 0 ? calls[k].number : number;
        }
        if (number < 0) {
            FAIL("no such call: %s", names[i]);
        }
        program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
        program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        CHECK(length < 254);
    }
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog filter = {.len = length, .filter = program};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        skip("no seccomp filter can be installed here");
    }
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

/* ---- the front-end's peer: comes, maps, leaves, comes back ---- */

static void ask(int channel, uint32_t request, VhostUserMMap map, int fd)
{
    message m;
    send_message(channel, request, 0x9, &map, sizeof(map), &fd, fd >= 0 ? 1 : 0);
    EQ(receive(channel, &m, PATIENCE_MS), 1);
    EQ(u64_of(&m), 0);
}

/* The peer writes to this after it has sent a batch. The front-end waits at the batch's first map, so it finds the others in
   the same dispatch. */
static int batch_is_there, loss_is_seen;

static void ask_for_a_batch(int channel, int fd)
{
    uint64_t one = 1;
    message m;
    for (uint64_t i = 0; i < 3; i++) {
        VhostUserMMap map = {.shm_offset = (16 + 2 * i) * PAGE, .len = PAGE};
        send_message(channel, MAP, 0x9, &map, sizeof(map), &fd, 1);
    }
    CHECK(write(batch_is_there, &one, sizeof(one)) == sizeof(one));
    for (int i = 0; i < 3; i++) {
        EQ(receive(channel, &m, PATIENCE_MS), 1);
        EQ(u64_of(&m), 0);
    }
}

/* A peer of this process ends with it. */
static pid_t fork_peer(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    }
    return pid;
}

static void run_peer(int listener)
{
    char path[] = "/tmp/whole-life-XXXXXX";
    int memory = memfd_of(8 * PAGE, 1), file = mkostemp(path, O_CLOEXEC);
    CHECK(file >= 0 && unlink(path) == 0);
    fill(file, 4 * PAGE, 2);
    for (int life = 0; life < 2; life++) {
        peer p;
        peer_init(&p);
        peer_add_region(&p, 0, 64 * PAGE);
        peer_start(&p, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        while (peer_heard(&p, GET_SHMEM_CONFIG, 0) == NULL) {
            usleep(1000);
        }
        ask(p.channel, MAP, (VhostUserMMap){.len = 4 * PAGE, .flags = VHOST_USER_FLAG_MAP_RW}, memory);
        ask(p.channel, MAP, (VhostUserMMap){.shm_offset = 8 * PAGE, .len = 2 * PAGE}, file);
        ask(p.channel, UNMAP, (VhostUserMMap){.shm_offset = 8 * PAGE, .len = 2 * PAGE}, -1);
        ask(p.channel, MAP, (VhostUserMMap){.shm_offset = 8 * PAGE, .len = PAGE}, memory);
        ask_for_a_batch(p.channel, memory);
        if (life == 0) {
            uint64_t one;
            CHECK(ftruncate(memory, 0) == 0); /* under the mapping */
            CHECK(wait_readable(loss_is_seen, PATIENCE_MS) && read(loss_is_seen, &one, sizeof(one)) == sizeof(one));
            fill(memory, 8 * PAGE, 1);
            peer_hang_up(&p);
        }
        peer_end(&p);
    }
    exit(0);
}

/* ---- the back-end's peer: a front-end of the library that starts a queue and offers one chain ---- */

static void run_driver(const char *path)
{
    int ram_fd = memfd_of(16 * PAGE, 0), kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint8_t *ram = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    CHECK(ram != MAP_FAILED);
    memset(ram, 0, 16 * PAGE);
    vhushmem_frontend *f = some(vhushmem_frontend_new(path, NULL, &error));
    /* The back-end is about to listen. */
    for (int64_t end = now_ms() + PATIENCE_MS; vhushmem_frontend_connect(f, PATIENCE_MS, NULL) < 0;) {
        CHECK(now_ms() < end);
        usleep(1000);
    }
    vhushmem_guest_memory memory = {
        .struct_size = sizeof(memory), .guest_addr = 0x100000, .size = 16 * PAGE, .host = ram, .fd = ram_fd};
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = 16,
                            .desc = ram,
                            .avail = ram + PAGE,
                            .used = ram + 2 * PAGE,
                            .kick_fd = kick,
                            .call_fd = -1};
    *(uint64_t *)ram = 0x100000 + 4 * PAGE;
    *(uint32_t *)(ram + 8) = 16;
    ((uint16_t *)(ram + PAGE))[1] = 1;
    vhushmem_inflight area = {.struct_size = sizeof(area), .fd = -1};
    ok(vhushmem_frontend_get_inflight(f, 1, 16, &area, &error));
    close(area.fd);
    ok(vhushmem_frontend_set_memory(f, &memory, 1, &error));
    ok(vhushmem_frontend_start_device(f, 0, &queue, 1, &error));
    uint64_t one = 1;
    int fd = (int)ok(vhushmem_frontend_get_fd(f));
    /* The first chain is found when the queue starts; only a kick tells of the second. */
    for (uint16_t used = 1; used <= 2; used++) {
        CHECK(write(kick, &one, 8) == 8);
        while (__atomic_load_n((uint16_t *)(ram + 2 * PAGE) + 1, __ATOMIC_ACQUIRE) < used) {
            if (wait_readable(fd, 10)) {
                vhushmem_frontend_dispatch(f);
            }
        }
        __atomic_store_n((uint16_t *)(ram + PAGE) + 1, 2, __ATOMIC_RELEASE);
    }
    ok(vhushmem_frontend_stop_device(f, NULL, 0, &error));
    ok(vhushmem_frontend_reset(f, &error));
    vhushmem_frontend_free(f);
    exit(0);
}

/* ---- this process ---- */

static int events[VHUSHMEM_EVENT_BROKEN + 1], ended, mapped;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    events[event->type]++;
    if (event->type == VHUSHMEM_EVENT_MAP && event->shm_offset == 16 * PAGE) {
        uint64_t batches;
        CHECK(wait_readable(batch_is_there, PATIENCE_MS));
        CHECK(read(batch_is_there, &batches, sizeof(batches)) == sizeof(batches));
    }
}

static void front_end_life(vhushmem_frontend *f)
{
    uint8_t bytes[16];
    ok(vhushmem_frontend_set_callback(f, on_event, NULL, NULL));
    ok(vhushmem_frontend_connect(f, PATIENCE_MS, &error));
    GSource *source = vhushmem_frontend_source_new(f);
    g_source_attach(source, NULL);
    while (events[VHUSHMEM_EVENT_MAP] < 6) {
        g_main_context_iteration(NULL, TRUE);
    }
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(f), 0));
    ok(vhushmem_resolve_guest_fault(region, 20 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL)); /* a hole */
    ok(vhushmem_resolve_guest_fault(region, 24 * PAGE, 8, VHUSHMEM_ACCESS_READ, bytes));
    /* A thread finds the pages that the file has lost. */
    while (events[VHUSHMEM_EVENT_BROKEN] == 0) {
        CHECK(*(volatile uint64_t *)vhushmem_region_window(region) != 1);
        g_main_context_iteration(NULL, FALSE);
    }
    uint64_t one = 1;
    CHECK(write(loss_is_seen, &one, sizeof(one)) == sizeof(one));
    while (events[VHUSHMEM_EVENT_READY] < 2 || events[VHUSHMEM_EVENT_MAP] < 12) {
        g_main_context_iteration(NULL, TRUE);
    }
    ok(vhushmem_region_read(region, 8 * PAGE, bytes, sizeof(bytes), &error));
    ok(vhushmem_region_write(region, 0, bytes, sizeof(bytes), &error));
    g_free(some(vhushmem_status_json(f)));
    ok(vhushmem_frontend_get_fd(f)); /* for a loop that is not GLib's */
    ok(vhushmem_frontend_reset(f, &error));
    while (events[VHUSHMEM_EVENT_RESET] == 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_destroy(source);
    g_source_unref(source);
    vhushmem_frontend_free(f);
}

static int to_map;

static void on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *text, void *user_data)
{
    (void)text;
    (void)user_data;
    if (event == VHUSHMEM_QUEUE_STARTED) {
        ok(vhushmem_backend_map(backend, 0, to_map, 0, 0, PAGE, 0, &error));
        ok(vhushmem_backend_unmap(backend, 0, 0, PAGE, &error));
        mapped++;
    } else if (event == VHUSHMEM_QUEUE_KICKED) {
        vhushmem_chain *chain = vhushmem_backend_pop(backend, queue, NULL);
        if (chain != NULL) {
            ok(vhushmem_backend_push(backend, chain, 0, &error));
            vhushmem_backend_notify(backend, queue, NULL);
        }
    }
}

static void on_backend(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    ended += event->type == VHUSHMEM_BACKEND_DISCONNECT;
}

static void back_end_life(const char *path)
{
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_set_callback(backend, on_backend, NULL, NULL));
    ok(vhushmem_backend_listen(backend, path, &error));
    GSource *source = vhushmem_backend_source_new(backend);
    g_source_attach(source, NULL);
    while (ended == 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    EQ(mapped, 1);
    g_source_unref(source);
    vhushmem_backend_free(backend);
}

int main(int argc, char **argv)
{
    char *directory = new_directory(), *first = g_strdup_printf("%s/1", directory),
         *second = g_strdup_printf("%s/2", directory);
    struct sockaddr_un address = address_of(first), other = address_of(second);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), go[2], status;
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 4) == 0);
    /* A killed back-end has left its socket: the library looks at it, and replaces it. */
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(stale, (struct sockaddr *)&other, sizeof(other)) == 0);
    close(stale);
    CHECK(pipe2(go, O_CLOEXEC) == 0);
    batch_is_there = eventfd(0, EFD_CLOEXEC);
    loss_is_seen = eventfd(0, EFD_CLOEXEC);
    CHECK(batch_is_there >= 0 && loss_is_seen >= 0);
    pid_t peer_pid = fork_peer();
    if (peer_pid == 0) {
        run_peer(listener);
    }
    pid_t driver_pid = fork_peer();
    if (driver_pid == 0) {
        char byte;
        close(go[1]);
        CHECK(read(go[0], &byte, 1) == 1);
        run_driver(second);
    }
    close(listener);
    to_map = memfd_of(PAGE, 1);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .reconnect_ms = 10};
    /* Every process has made these calls once by then. */
    g_main_context_default();
    g_free(g_strdup_printf("%d %s", 1, strerror(EIO)));
    if (argc > 1) {
        allow_only(argv + 1, argc - 1);
    }
    CHECK(write(-1, "begin", 5) < 0);
    vhushmem_frontend *f = some(vhushmem_frontend_new(first, &options, &error));
    ok(vhushmem_guard_install(&error));
    front_end_life(f);
    CHECK(write(go[1], "x", 1) == 1);
    back_end_life(second);
    CHECK(write(-1, "end", 3) < 0);
    if (argc == 1) { /* the filter does not allow children */
        CHECK(waitpid(peer_pid, &status, 0) == peer_pid && status == 0);
        CHECK(waitpid(driver_pid, &status, 0) == driver_pid && status == 0);
        rmdir(directory);
    }
    printf("done\n");
    return 0;
}
