/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options: an error message names the fault, with status 2. The options of the conventions for device programs exist. The
 * tag reaches the guest.
 */
#include "virtiofs-rig.h"

static int run(const char *const *options, char **out, char **err_out)
{
    const char *arguments[24] = {program_path()};
    int status;
    for (int n = 1; *options != NULL; options++) {
        arguments[n++] = *options;
    }
    ok(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, out, err_out, &status, &error) ? 0 : -1);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The options are refused with these words. */
static void wrong(const char *words, const char *const *options)
{
    char *out, *said;
    int status = run(options, &out, &said);
    if (status != 2 || strstr(said, words) == NULL || out[0] != 0) {
        FAIL("status %d, \"%s\": there is no \"%s\"", status, said, words);
    }
    g_free(out);
    g_free(said);
}

#define WRONG(words, ...) wrong(words, (const char *const[]){__VA_ARGS__, NULL})
#define BOTH "--socket-path", "/nowhere/s", "--shared-dir", "/"

int main(void)
{
    static vfs v;
    look_for_no_leaks();
    char *out, *said;
    WRONG("--socket-path PATH and --fd N", "--shared-dir", "/");
    WRONG("--socket-path PATH and --fd N", BOTH, "--fd", "3");
    WRONG("--shared-dir DIR", "--socket-path", "/nowhere/s");
    WRONG("auto, always or never, not sometimes", BOTH, "--cache", "sometimes");
    WRONG("namespace, required or none", BOTH, "--sandbox", "chroot");
    WRONG("kill, log or none", BOTH, "--seccomp", "trap");
    WRONG("never or prefer", BOTH, "--inode-file-handles", "mandatory");
    WRONG("--window is", BOTH, "--window", "1000");
    WRONG("--window is", BOTH, "--window", "-1G");
    WRONG("--window is", BOTH, "--window", "65T");
    WRONG("--window is", BOTH, "--window", "99999999999999999999");
    WRONG("--window is", BOTH, "--window", "1Q");
    WRONG("1 to 63", BOTH, "--num-request-queues", "0");
    WRONG("1 to 63", BOTH, "--num-request-queues", "64");
    WRONG("1 to 36 bytes", BOTH, "--tag", "");
    WRONG("1 to 36 bytes", BOTH, "--tag", "a tag that is much longer than it may be");
    WRONG("--window 0", BOTH, "--for-qemu", "--read-only", "--window", "1G");
    WRONG("there is no option more", BOTH, "more");
    WRONG("Unknown option", BOTH, "--more");

    EQ(run((const char *const[]){"--print-capabilities", NULL}, &out, &said), 0);
    CHECK(strstr(out, "\"type\": \"fs\"") != NULL && said[0] == 0);
    g_free(out);
    g_free(said);
    EQ(run((const char *const[]){"--socket-path", "/nowhere/s", "--shared-dir", "/nowhere", NULL}, &out, &said), 1);
    CHECK(strstr(said, "/nowhere") != NULL);
    g_free(out);
    g_free(said);

    /* In the configuration space: a tag of 36 bytes, and the number of request queues. */
    static const char *const options[] = {"--tag", "my files", "--num-request-queues", "3", "--window", "16M", NULL};
    uint8_t config[44], wanted[44] = "my files";
    uint32_t three = 3;
    memcpy(wanted + 36, &three, 4);
    vfs_open_with(&v, 4, options);
    ok(vhushmem_frontend_get_config(v.frontend, 0, config, sizeof(config), &error));
    CHECK(memcmp(config, wanted, sizeof(config)) == 0);
    EQ(vhushmem_frontend_max_queues(v.frontend), 4);
    EQ(vhushmem_region_size(v.region), WINDOW_SIZE);
    /* Each queue serves. */
    for (unsigned queue = 1; queue < 4; queue++) {
        struct fuse_getattr_in in = {0};
        vfs_header(&v, v.ram + REQUEST_AT, FUSE_GETATTR, 1, sizeof(in));
        vfs_chain(&v, queue, 0, REQUEST_AT, sizeof(struct fuse_in_header) + sizeof(in), ANSWER_AT, 200);
        vfs_offer(&v, queue, 0);
        vfs_take(&v, queue, &v.written);
        EQ(v.written, sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out));
    }
    vfs_close(&v);

    /* Without a window there is no region, and no DAX. */
    static const char *const none[] = {"--window", "0", "--cache", "never", NULL};
    vfs_open_with(&v, 2, none);
    CHECK(v.region == NULL && (v.init.flags & FUSE_MAP_ALIGNMENT) == 0);
    host_write(host_path(&v, "f"), "x", 1);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    CHECK((BODY(&v, struct fuse_entry_out)->attr.flags & FUSE_ATTR_DAX) == 0);
    EQ(BODY(&v, struct fuse_entry_out)->entry_valid, 0);
    err(vfs_map(&v, node, 0, 0, CHUNK, false), -ENOSYS);
    vfs_close(&v);
    return 0;
}
