/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_VIRTIOFS_PROCESS_H
#define VHUSHMEM_TESTS_VIRTIOFS_PROCESS_H

/*
 * vhushmem-virtiofs in its own process. The shared directory is <base>/shared. Next to it lies a
 * file that no guest may reach.
 */

#include "harness.h"
#include "descriptor.h"

#include <grp.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <linux/fuse.h>
#include <linux/fs.h>

#define GUEST_RAM UINT64_C(0x100000)
#define GUEST_RAM_SIZE (8u << 20)
#define RING_SIZE 64
#define RING_BYTES 0x4000
#define MOST_QUEUES 4
#define REQUEST_AT 0x40000 /* where ask() puts requests */
#define ANSWER_AT 0x240000 /* where the answers come */
#define WINDOW_SIZE (UINT64_C(16) << 20)
#define CHUNK (UINT64_C(2) << 20)
#define SECRET "what no guest may read"

typedef struct ring {
    int kick, call;
    uint16_t asked, taken;
} ring;

typedef struct vfs {
    char *base, *shared, *socket;
    pid_t pid, child; /* the device, and the process that serves */
    vhushmem_frontend *frontend;
    vhushmem_region *region;
    uint8_t *ram;
    int ram_fd;
    unsigned queues;
    ring rings[MOST_QUEUES];
    uint64_t unique;
    struct fuse_init_out init;
    /* The header of the last answer. */
    struct fuse_out_header head;
    uint8_t *body;
    uint32_t written;
} vfs;

/* ---- the device ---- */

/* The user that runs it; 0: the user of the test. */
static uid_t vfs_user __attribute__((unused));

/* The child of the device's first process, when it has one. */
static inline pid_t child_of(pid_t parent)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &child) != 1) {
            child = 0;
        }
        fclose(file);
    }
    return child;
}

static inline const char *program_path(void)
{
    const char *path = getenv("VHUSHMEM_VIRTIOFS");
    CHECK(path != NULL);
    return path;
}

/* Runs `look` in a process of its own. Returns whether it found what it looked for. */
static inline bool is_so_in_a_process(bool (*look)(uid_t user, const char *path), uid_t user,
                                      const char *path)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(look(user, path) ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return status == 0;
}

static inline bool runs(uid_t user, const char *program)
{
    return setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0 &&
           access(program, X_OK) == 0;
}

/* Whether another user may run the program: the way to it may be closed. */
static inline bool may_run(uid_t user, const char *program)
{
    return is_so_in_a_process(runs, user, program);
}

static inline bool has_root_as_mount_point(uid_t user, const char *path)
{
    (void)user;
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, path, NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* If it is none, as in a chroot, no process can have another root in a namespace of its own. */
static inline bool root_is_a_mount_point(void)
{
    return is_so_in_a_process(has_root_as_mount_point, 0, "/");
}

/* The path of a host file below the rig's folder. Valid until eight more calls. */
static inline const char *host_path(const vfs *v, const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, 512, "%s/%s", v->shared, name);
    return path;
}

static inline void host_write(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static inline bool host_is(const char *path, const void *bytes, size_t size)
{
    char *seen = NULL;
    gsize length = 0;
    bool is = g_file_get_contents(path, &seen, &length, NULL) && length == size &&
              memcmp(seen, bytes, size) == 0;
    g_free(seen);
    return is;
}

/*
 * The sanitizer's search for leaks needs another process, and a namespace whose first process has
 * ended cannot make one.
 */
static inline void look_for_no_leaks(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    char *changed = g_strdup_printf("%s:detect_leaks=0", options != NULL ? options : "");
    setenv("ASAN_OPTIONS", changed, 1);
    g_free(changed);
}

/* Starts it with these further options. NULL ends them. */
static inline void vfs_start(vfs *v, const char *const *options)
{
    const char *arguments[24] = {program_path(), "--socket-path", v->socket, "--shared-dir",
                                 v->shared};
    int n = 5;
    for (; options != NULL && *options != NULL; options++) {
        arguments[n++] = *options;
    }
    v->pid = fork();
    CHECK(v->pid >= 0);
    if (v->pid == 0) {
        if (vfs_user != 0 &&
            (setgroups(0, NULL) < 0 || setgid(vfs_user) < 0 || setuid(vfs_user) < 0)) {
            _exit(126);
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves none behind */
        look_for_no_leaks();
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    STEP_UNTIL(access(v->socket, F_OK) == 0, usleep(1000);
               CHECK(waitpid(v->pid, NULL, WNOHANG) == 0));
    v->child = child_of(v->pid);
}

static inline void vfs_folders(vfs *v)
{
    memset(v, 0, sizeof(*v));
    v->base = new_directory();
    v->shared = g_strdup_printf("%s/shared", v->base);
    v->socket = g_strdup_printf("%s/s", v->base);
    CHECK(mkdir(v->shared, 0755) == 0);
    if (vfs_user != 0) {
        CHECK(chown(v->base, vfs_user, vfs_user) == 0 && chown(v->shared, vfs_user, vfs_user) == 0);
    }
    char *secret = g_strdup_printf("%s/secret", v->base);
    host_write(secret, SECRET, strlen(SECRET));
    g_free(secret);
}

#endif
