/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * vhushmem-virtiofs: shares a directory with a guest. It has two processes. The first one waits, and removes the socket at the
 * end. The second one serves. Before it reads a byte of the front-end, it gives up all rights that it does not need.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#include "device.h"
#include "options.h"
#include "privileges.h"
#include "sandbox.h"
#include "statistics.h"

/*
 * The descriptors that inodes and open files leave to connections, queues and guest memory: 512 slots of memory, 64 queues with
 * three descriptors each, and those of requests under way.
 */
#define RESERVED_DESCRIPTORS 1100u

G_GNUC_PRINTF(1, 2) static int failure(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("vhushmem-virtiofs: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

static void on_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user_data)
{
    (void)domain;
    (void)user_data;
    if ((level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO)) == 0) {
        fprintf(stderr, "vhushmem-virtiofs: %s\n", message);
    }
}

/* ---- the loop ---- */

struct service {
    struct device device;
    int signals, parent; /* parent: readable when the process that waits has gone */
    bool listens;        /* another front-end may come */
};

/** Take a signal. @returns whether it ends the program. SIGUSR1 only prints the statistics. */
static bool is_to_end(const struct service *service)
{
    struct signalfd_siginfo signal;

    if (read(service->signals, &signal, sizeof(signal)) != sizeof(signal)) {
        return false;
    }
    if (signal.ssi_signo != SIGUSR1) {
        return true;
    }
    statistics_tell(service->device.window.mappings.count);
    return false;
}

/** Serves until a signal, or until a connected socket of --fd is closed. */
static int serve(struct service *service)
{
    struct device *device = &service->device;
    bool was_connected = false;

    for (;;) {
        struct pollfd ready[3] = {{.fd = service->signals, .events = POLLIN},
                                  {.fd = vhushmem_backend_get_fd(device->backend), .events = POLLIN},
                                  {.fd = service->parent, .events = POLLIN}};

        if (poll(ready, 3, device->pending != 0 ? 0 : -1) < 0 && errno != EINTR) {
            return failure("poll: %s", strerror(errno));
        }
        if (((ready[0].revents & POLLIN) != 0 && is_to_end(service)) || ready[2].revents != 0) {
            return 0;
        }
        vhushmem_backend_dispatch(device->backend);
        device_serve_pending(device);
        was_connected = was_connected || device->is_connected;
        if (was_connected && !device->is_connected && !service->listens) {
            return 0;
        }
    }
}

/* ---- the process that serves ---- */

/** Open the socket for the front-end. */
static int open_socket(struct service *service, const struct options *options)
{
    GError *error = NULL;
    int listens = 0, rc;
    socklen_t size = sizeof(listens);

    if (options->socket_path != NULL) {
        service->listens = true;
        rc = vhushmem_backend_listen(service->device.backend, options->socket_path, &error);
    } else if (getsockopt(options->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
        return failure("--fd %d: %s", options->fd, strerror(errno));
    } else if (listens != 0) {
        service->listens = true;
        rc = vhushmem_backend_listen_fd(service->device.backend, options->fd, &error);
    } else {
        rc = vhushmem_backend_attach(service->device.backend, options->fd, &error);
    }
    if (rc < 0) {
        failure("%s", error != NULL ? error->message : strerror(-rc));
        g_clear_error(&error);
        return 1;
    }
    return 0;
}

/** Open the directory and give up all other rights. */
static int confine(struct service *service, const struct options *options, int prepared)
{
    struct fs_config config = {.cache = options->cache,
                               .read_only = options->read_only,
                               .xattr = options->xattr,
                               .announce_submounts = options->announce_submounts,
                               .use_handles = options->file_handles,
                               .statistics = options->statistics,
                               .dax_by_chunk = options->for_qemu};
    uint64_t descriptors = privileges_raise_nofile(options->rlimit_nofile);
    int dir = -1, proc, rc = prepared;

    killpriv.is_forced = options->killpriv;
    if (descriptors < 2 * RESERVED_DESCRIPTORS) {
        g_message("only %" G_GUINT64_FORMAT " descriptors may be open: few files can be in use at once", descriptors);
    }
    config.max_descriptors = descriptors > 2 * RESERVED_DESCRIPTORS ? descriptors - RESERVED_DESCRIPTORS : descriptors / 2;
    if (rc == 0 && options->sandbox != SANDBOX_NONE) {
        rc = sandbox_enter(options->shared_dir, &dir, options->read_only);
    }
    if (rc < 0 && options->sandbox == SANDBOX_REQUIRED) {
        return failure("--sandbox required needs namespaces, and there are none: %s", strerror(-rc));
    }
    if (rc < 0 && options->sandbox == SANDBOX_NAMESPACE) {
        g_message("no namespaces (%s): names are checked, capabilities dropped and system calls filtered all the same",
                  strerror(-rc));
    }
    if (dir < 0) {
        dir = open(options->shared_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (dir < 0) {
        return failure("%s: %s", options->shared_dir, strerror(errno));
    }
    proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0 || fchdir(proc) < 0) {
        return failure("/proc/self/fd: %s", strerror(errno));
    }
    rc = fs_open(&service->device.fs, &config, dir, proc);
    if (rc < 0) {
        return failure("%s: %s", options->shared_dir, strerror(-rc));
    }
    umask(0);
    rc = privileges_drop(options->file_handles);
    if (rc < 0) {
        return failure("capabilities cannot be dropped: %s", strerror(-rc));
    }
    rc = privileges_filter(options->seccomp);
    return rc < 0 ? failure("the filter of system calls cannot be set up: %s", strerror(-rc)) : 0;
}

static int run_child(const struct options *options, int prepared, int ready, int parent, const sigset_t *signals)
{
    struct service service = {.parent = parent};
    GError *error = NULL;
    int status;

    if (access(options->shared_dir, F_OK) < 0) {
        return failure("%s: %s", options->shared_dir, strerror(errno));
    }
    g_log_set_default_handler(on_log, NULL);
    service.signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (service.signals < 0) {
        return failure("signalfd: %s", strerror(errno));
    }
    /* If the front-end truncates the file of guest memory, that ends the connection, and not the process. */
    if (vhushmem_guard_install(&error) < 0 || device_init(&service.device, options, &error) < 0) {
        failure("%s", error != NULL ? error->message : "the device cannot be made");
        g_clear_error(&error);
        return 1;
    }
    if (open_socket(&service, options) != 0) {
        return 1;
    }
    if (write(ready, "", 1) != 1) {
        return 1;
    }
    close(ready);
    status = confine(&service, options, prepared);
    if (status == 0) {
        status = serve(&service);
        device_close(&service.device);
    }
    return status;
}

/* ---- the process that waits ---- */

/** Remove the socket that the child made, unless another one is there now. */
static void remove_socket(const char *path, const struct stat *made)
{
    struct stat now;

    if (lstat(path, &now) == 0 && now.st_dev == made->st_dev && now.st_ino == made->st_ino) {
        unlink(path);
    }
}

static int wait_for(pid_t child, const sigset_t *signals)
{
    sigset_t wanted = *signals;
    int status;

    sigaddset(&wanted, SIGCHLD);
    while (waitpid(child, &status, WNOHANG) == 0) {
        int number = sigwaitinfo(&wanted, NULL);

        if (number > 0 && number != SIGCHLD) {
            kill(child, number);
        }
    }
    if (WIFSIGNALED(status)) {
        return failure("the process that serves was ended by signal %d%s", WTERMSIG(status),
                       WTERMSIG(status) == SIGSYS ? ": a system call that is not in its list; see --seccomp" : "");
    }
    return WEXITSTATUS(status);
}

static int run_parent(const struct options *options, pid_t child, int ready, const sigset_t *signals)
{
    struct stat made = {0};
    bool is_made = false;
    char byte;
    int status;

    /* One byte: the child listens. No byte: it has ended. */
    if (options->socket_path != NULL && options->socket_path[0] != '@' && read(ready, &byte, 1) == 1) {
        is_made = lstat(options->socket_path, &made) == 0;
    }
    status = wait_for(child, signals);
    if (is_made) {
        remove_socket(options->socket_path, &made);
    }
    return status;
}

static int run(const struct options *options)
{
    /* When the parent ends, its end of `alive` closes. (A change of the user for files clears PR_SET_PDEATHSIG.) */
    int ready[2], alive[2], prepared, status;
    sigset_t signals, ended;
    pid_t child;

    sandbox_close_others(options->fd);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(alive, O_CLOEXEC) < 0) {
        return failure("pipe: %s", strerror(errno));
    }
    prepared = options->sandbox == SANDBOX_NONE ? -ENOSYS : sandbox_prepare();
    child = fork();
    if (child < 0) {
        return failure("fork: %s", strerror(errno));
    }
    if (child == 0) {
        close(ready[0]);
        close(alive[1]);
        status = run_child(options, prepared, ready[1], alive[0], &signals);
        fflush(NULL);
        _exit(status);
    }
    close(ready[1]);
    close(alive[0]);
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ended, NULL);
    return run_parent(options, child, ready[0], &signals);
}

int main(int argc, char **argv)
{
    struct options options;
    int status = options_parse(&options, argc, argv);

    if (status == OPTIONS_GO_ON) {
        status = run(&options);
    }
    options_clear(&options);
    return status;
}
