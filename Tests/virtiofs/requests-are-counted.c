/* SPDX-License-Identifier: BSD-3-Clause */
/* With --statistics one line for each unmount says how many requests of each kind there were. Then the count begins again. */
#include "virtiofs-rig.h"

static vfs v;

int main(void)
{
    static const char *const options[] = {"--statistics", "--window", "16M", NULL};
    char said[4096] = "";
    vfs_folders(&v);
    v.queues = 2;
    host_write(host_path(&v, "f"), "text", 4);
    int log = memfd_create("log", MFD_CLOEXEC);
    CHECK(log >= 0 && dup2(log, STDERR_FILENO) == STDERR_FILENO);
    vfs_memory(&v);
    vfs_start(&v, options);
    vfs_connect(&v);
    vfs_run(&v, NULL);
    for (int i = 0; i < 2; i++) {
        vfs_init(&v);
        uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
        uint64_t fh = vfs_handle(&v, node, O_RDONLY);
        for (int reads = 0; i == 0 && reads < 3; reads++) {
            ok(vfs_read(&v, node, fh, 0, 100));
        }
        ok(vfs_map(&v, node, 0, 0, CHUNK, false));
        ok(vfs_ask(&v, FUSE_DESTROY, 0, NULL, 0, 0));
    }
    CHECK(pread(log, said, sizeof(said) - 1, 0) > 0);
    char *second = strstr(strstr(said, " requests:") + 1, " requests:");
    CHECK(second != NULL && strstr(second + 1, " requests:") == NULL);
    CHECK(strstr(second, " READ ") == NULL && strstr(second, " SETUPMAPPING 1 ") == NULL);
    CHECK(strstr(second, " SETUPMAPPING 1;") != NULL && strstr(second, "at most 1 mappings") != NULL);
    *second = 0;
    CHECK(strstr(said, " READ 3 ") != NULL && strstr(said, " LOOKUP 1 ") != NULL && strstr(said, " OPEN 1 ") != NULL);
    vfs_close(&v);
    return 0;
}
