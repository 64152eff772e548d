/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first and only process of a guest that runs tests (group `kernels`). It reads /plan, line by line:
 *     set NAME=VALUE              for the environment of the tests that follow
 *     run SECONDS NAME PROGRAM    a test and its time limit
 * and writes these lines to a serial port (the second one, or the one that `report=DEVICE` on the kernel's command line names).
 * scripts/testing/machines.py reads them:
 *     kernel RELEASE
 *     begin NAME
 *     | a line that the test printed (the last ones, if it printed a lot)
 *     end NAME STATUS TENTHS      STATUS: the exit status, 128 + the signal that ended it, or `slow`; TENTHS: the time in tenths of a second
 *     done
 * The kernel's own messages go to the first serial port. It is built statically, so that it does not depend on what it tests.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* This much of a test's output is reported: a serial port is slow. */
#define LOG_BYTES (32 * 1024)
#define HUGE_PAGES "16"
#define COMPRESSED_MODULE 4 /* MODULE_INIT_COMPRESSED_FILE, which older headers lack */
#define DISK "/disk"
/* Not /tmp, which may have the tree in which the library was built. */
#define SCRATCH "/scratch"

static FILE *report;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void complain(const char *what) { dprintf(STDERR_FILENO, "init: %s: %s\n", what, strerror(errno)); }

static void mount_at(const char *type, const char *path)
{
    (void)mkdir(path, 0755);
    if (mount(type, path, type, 0, NULL) != 0 && errno != EBUSY) {
        complain(path);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        complain(path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void open_report(void)
{
    const char *named = getenv("report"), *device = named != NULL ? named : "/dev/ttyS1";
    int fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    if (fd < 0 || tcgetattr(fd, &raw) != 0) {
        complain(device);
        report = stderr;
        return;
    }
    cfmakeraw(&raw);
    tcsetattr(fd, TCSANOW, &raw);
    report = fdopen(fd, "w");
}

static int is_file(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Modules that the kernel has not built in, in the order of their names. */
static void load_modules(void)
{
    struct dirent **names = NULL;
    int count = scandir("/modules", &names, is_file, alphasort);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
        bool is_compressed = strstr(names[i]->d_name, ".ko.") != NULL;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", is_compressed ? COMPRESSED_MODULE : 0) != 0) {
            complain(path);
        }
        close(fd);
        free(names[i]);
    }
    free(names);
}

/* A disk for the tests, if the machine has one. Its driver may not be ready yet. */
static void mount_disk(void)
{
    int64_t limit = now_ms() + 5000;
    int failed;
    (void)mkdir(DISK, 0755);
    while ((failed = mount("/dev/nvme0n1", DISK, "ext4", 0, NULL)) != 0 && now_ms() < limit) {
        usleep(100000);
    }
    if (failed) {
        complain(DISK);
    } else {
        setenv("VHUSHMEM_TEST_DISK", DISK, 1);
    }
}

static void bring_up_loopback(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(request.ifr_name, "lo");
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        complain("lo");
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The last LOG_BYTES of what a test printed. */
typedef struct {
    char bytes[LOG_BYTES];
    size_t used;
} tail;

/* Returns whether there may be more. */
static bool read_into(tail *log, int fd)
{
    static char piece[LOG_BYTES / 2];
    ssize_t n = read(fd, piece, sizeof(piece));
    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    size_t room = sizeof(log->bytes) - log->used;
    if ((size_t)n > room) {
        size_t surplus = (size_t)n - room;
        memmove(log->bytes, log->bytes + surplus, log->used - surplus);
        log->used -= surplus;
    }
    memcpy(log->bytes + log->used, piece, (size_t)n);
    log->used += (size_t)n;
    return true;
}

static void report_log(const tail *log)
{
    for (size_t at = 0; at < log->used;) {
        const char *line = log->bytes + at;
        const char *end = memchr(line, '\n', log->used - at);
        size_t length = end != NULL ? (size_t)(end - line) : log->used - at;
        fprintf(report, "| %.*s\n", (int)length, line);
        at += length + 1;
    }
}

static void run(const char *name, const char *program, int seconds)
{
    static tail log;
    log.used = 0;
    int ends[2];
    fprintf(report, "begin %s\n", name);
    fflush(report);
    mount_at("tmpfs", SCRATCH);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        complain("pipe2");
        return;
    }
    int64_t began = now_ms(), deadline = began + seconds * 1000;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        signal(SIGPIPE, SIG_DFL);
        execl(program, program, (char *)NULL);
        complain(program);
        _exit(127);
    }
    close(ends[1]);
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd targets[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = ends[0], .events = POLLIN}};
    bool is_slow = true;
    for (int64_t left; (left = deadline - now_ms()) > 0;) {
        if (poll(targets, 2, (int)left) < 0) {
            continue;
        }
        if (targets[1].revents != 0 && !read_into(&log, ends[0])) {
            targets[1].fd = -1; /* it closed its output, and may go on */
        }
        if (targets[0].revents != 0) {
            is_slow = false;
            break;
        }
    }
    int64_t took = now_ms() - began;
    /* The test, if it goes on, and all processes that it left behind. */
    kill(-1, SIGKILL);
    while (read_into(&log, ends[0])) {}
    int status = 0, status_of_other;
    waitpid(child, &status, 0);
    while (wait(&status_of_other) > 0) {}
    close(ends[0]);
    close(pidfd);
    umount2(SCRATCH, MNT_DETACH);
    report_log(&log);
    if (is_slow) {
        fprintf(report, "end %s slow %d\n", name, (int)(took / 100));
    } else {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        fprintf(report, "end %s %d %d\n", name, code, (int)(took / 100));
    }
    fflush(report);
}

static void carry_out_plan(void)
{
    FILE *plan = fopen("/plan", "re");
    static char line[4096];
    if (plan == NULL) {
        complain("/plan");
        return;
    }
    while (fgets(line, sizeof(line), plan) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *name, *program;
        int seconds;
        if (strncmp(line, "set ", 4) == 0) {
            putenv(strdup(line + 4));
        } else if (sscanf(line, "run %d %ms %ms", &seconds, &name, &program) == 3) {
            run(name, program, seconds);
            free(name);
            free(program);
        }
    }
    fclose(plan);
}

int main(void)
{
    mount_at("devtmpfs", "/dev");
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    (void)mkdir("/dev/shm", 0777);
    mount_at("tmpfs", "/dev/shm");
    (void)mkdir("/tmp", 0777);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; fd < 3 && console >= 0; fd++) {
        dup2(console, fd);
    }
    if (console > 2) {
        close(console);
    }
    open_report();
    bring_up_loopback();
    write_file("/proc/sys/vm/nr_hugepages", HUGE_PAGES);
    mount_at("hugetlbfs", "/dev/hugepages");
    load_modules();
    mount_disk();
    setenv("TMPDIR", SCRATCH, 1);
    /* The limits of a login. */
    struct rlimit descriptors = {1024, 524288};
    setrlimit(RLIMIT_NOFILE, &descriptors);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);

    struct utsname name;
    uname(&name);
    fprintf(report, "kernel %s\n", name.release);
    carry_out_plan();
    fprintf(report, "done\n");
    fflush(report);
    sync();
    tcdrain(fileno(report));
    reboot(RB_POWER_OFF);
    return 0;
}
