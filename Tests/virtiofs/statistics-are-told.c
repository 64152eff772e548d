/* SPDX-License-Identifier: BSD-3-Clause */
/* On SIGUSR1 the device reports how many requests there were and what is mapped now, and goes on serving. */
#include "virtiofs-rig.h"

static vfs v;
static char said[4096];
static int log_fd;

static bool has_said(const char *text)
{
    ssize_t size = pread(log_fd, said, sizeof(said) - 1, 0);
    CHECK(size >= 0);
    said[size] = 0;
    return strstr(said, text) != NULL;
}

int main(void)
{
    int shown = dup(STDERR_FILENO);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(shown >= 0 && log_fd >= 0 && dup2(log_fd, STDERR_FILENO) >= 0);
    vfs_open(&v);
    CHECK(dup2(shown, STDERR_FILENO) >= 0);
    host_write(host_path(&v, "f"), "text", 4);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    ok(vfs_map(&v, node, 0, 0, CHUNK, false));
    /* To the process that waits. It passes the signal on. */
    CHECK(kill(v.pid, SIGUSR1) == 0);
    STEP_UNTIL(has_said("1 now\n"), usleep(1000); vfs_pump(&v));
    CHECK(strstr(said, " LOOKUP 1 ") != NULL && strstr(said, " SETUPMAPPING 1;") != NULL && strstr(said, " READ") == NULL);
    ok(vfs_unmap(&v, 0, CHUNK));
    CHECK(kill(v.child, SIGUSR1) == 0);
    STEP_UNTIL(has_said("0 now\n"), usleep(1000); vfs_pump(&v));
    CHECK(strstr(said, " REMOVEMAPPING 1;") != NULL);
    vfs_close(&v);
    return 0;
}
