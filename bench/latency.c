/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: latency REQUESTS WHO. Measures a SHMEM_MAP of one device, one request at a time, while 64 others on the same GMainLoop
 * are busy. Each of the others sends a request, all at about the same time. After all are answered there is a pause of a
 * millisecond. The measured device, the busy ones and the front-ends are three processes, and the kernel may run them on any
 * processor. WHO serves: `ours`, or `floor`, which polls all channels and makes the calls of floor.c for each request.
 */
#include "wire.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <vhushmem/vhushmem.h>

#define BUSY 64
#define SLOTS 64
#define PAUSE_NS 1000000

typedef struct back_end {
    int main;
    int channel;
    uint64_t page;
    int file;
} back_end;

static bool is_floor;

static void connect_back_end(back_end *b)
{
    b->page = (uint64_t)sysconf(_SC_PAGESIZE);
    b->channel = is_floor ? b->main : shake_hands(b->main, SLOTS * b->page);
    b->file = file_of(b->page);
}

/* Maps if `i` is even, and unmaps that mapping if it is odd. */
static void send_request(back_end *b, uint64_t i)
{
    uint64_t at = i / 2 % SLOTS * b->page;
    if (i % 2 == 0) {
        send_map(b->channel, true, at, b->page, b->file);
    } else {
        send_unmap(b->channel, true, at, b->page);
    }
}

static void be_busy(back_end *back_ends)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (int i = 0; i < BUSY; i++) {
        connect_back_end(&back_ends[i]);
    }
    for (uint64_t round = 0;; round++) {
        for (int i = 0; i < BUSY; i++) {
            send_request(&back_ends[i], round);
        }
        for (int i = 0; i < BUSY; i++) {
            take_answer(back_ends[i].channel);
        }
        nanosleep(&pause, NULL);
    }
}

static uint32_t ask(back_end *b, uint64_t i)
{
    uint64_t began = now_ns();
    send_request(b, i);
    take_answer(b->channel);
    return (uint32_t)(now_ns() - began);
}

static void be_measured(back_end *b, size_t requests)
{
    uint32_t *took = calloc(requests, sizeof(*took));
    MUST(took != NULL);
    connect_back_end(b);
    for (size_t i = 0; i < requests; i++) {
        took[i] = ask(b, 2 * i);
        ask(b, 2 * i + 1);
    }
    sort_numbers(took, requests);
    printf("p50 %u\np99 %u\np99.9 %u\nmax %u\n", took[requests / 2], took[requests * 99 / 100], took[requests / 1000 * 999],
           took[requests - 1]);
    fflush(stdout);
    free(took);
}

/* A child that ends with its parent. */
static pid_t child(void)
{
    pid_t parent = getpid(), process = fork();
    MUST(process >= 0);
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
    }
    return process;
}

static void ended(GPid process, gint status, gpointer user_data)
{
    (void)process;
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    g_main_loop_quit(user_data);
}

/* ---- the floor ---- */

static void serve_bare(int channel, char *window)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control;
    request r;
    struct iovec piece = {&r, sizeof(r)};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (recvmsg(channel, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(r)) {
        return;
    }
    int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, protection = PROT_NONE;
    if (r.header.request == VHOST_USER_BACKEND_SHMEM_MAP) {
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
        flags = MAP_SHARED;
        protection = PROT_READ | PROT_WRITE;
    }
    MUST(mmap(window + r.map.shm_offset, r.map.len, protection, flags | MAP_FIXED, fd, 0) != MAP_FAILED);
    if (fd >= 0) {
        close(fd);
    }
    answer a = {{r.header.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(a.value)}, 0};
    send(channel, &a, sizeof(a), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void serve_all_bare(const int *channels, pid_t measured)
{
    struct pollfd fds[BUSY + 1];
    char *windows[BUSY + 1];
    size_t size = SLOTS * (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i <= BUSY; i++) {
        fds[i] = (struct pollfd){.fd = channels[i], .events = POLLIN};
        windows[i] = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        MUST(windows[i] != MAP_FAILED);
    }
    for (;;) {
        int status;
        poll(fds, BUSY + 1, 100);
        for (int i = 0; i <= BUSY; i++) {
            if ((fds[i].revents & POLLIN) != 0) {
                serve_bare(fds[i].fd, windows[i]);
            }
        }
        if ((fds[BUSY].revents & POLLHUP) != 0 && waitpid(measured, &status, WNOHANG) == measured) {
            MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    back_end back_ends[BUSY + 1] = {{0}};
    int front_ends[BUSY + 1];
    MUST(argc == 3);
    is_floor = strcmp(argv[2], "floor") == 0;
    size_t requests = number_of(argv[1]);
    for (int i = 0; i <= BUSY; i++) {
        int pair[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        front_ends[i] = pair[0];
        back_ends[i].main = pair[1];
    }
    pid_t busy = child();
    if (busy == 0) {
        close(back_ends[BUSY].main);
        be_busy(back_ends);
    }
    pid_t measured = child();
    if (measured == 0) {
        for (int i = 0; i < BUSY; i++) {
            close(back_ends[i].main);
        }
        be_measured(&back_ends[BUSY], requests);
        _exit(0);
    }
    for (int i = 0; i <= BUSY; i++) { /* so that a process sees that the other has ended */
        close(back_ends[i].main);
    }
    if (is_floor) {
        serve_all_bare(front_ends, measured);
        kill(busy, SIGKILL);
        return 0;
    }
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    for (int i = 0; i <= BUSY; i++) {
        vhushmem_frontend *frontend = vhushmem_frontend_new_fd(front_ends[i], NULL, NULL);
        MUST(frontend != NULL);
        GSource *source = vhushmem_frontend_source_new(frontend);
        g_source_attach(source, NULL);
        g_source_unref(source);
        MUST(vhushmem_frontend_start(frontend, NULL) == 0);
    }
    g_child_watch_add(measured, ended, loop);
    g_main_loop_run(loop);
    kill(busy, SIGKILL);
    return 0;
}
