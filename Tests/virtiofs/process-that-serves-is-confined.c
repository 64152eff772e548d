/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that serves has a root with only the shared directory, few capabilities, and a filter of system calls. */
#include "virtiofs-rig.h"

static vfs v;

static char *status_of(const char *key)
{
    char path[64], line[256];
    char *value = NULL;
    snprintf(path, sizeof(path), "/proc/%d/status", v.child);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    while (value == NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':') {
            value = g_strstrip(g_strdup(line + strlen(key) + 1));
        }
    }
    fclose(file);
    CHECK(value != NULL);
    return value;
}

static void is(const char *key, const char *wanted)
{
    char *seen = status_of(key);
    if (strcmp(seen, wanted) != 0) {
        FAIL("%s is %s, not %s", key, seen, wanted);
    }
    g_free(seen);
}

static void root_is_small(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/root", v.child);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        CHECK(entry->d_name[0] == '.' || strcmp(entry->d_name, "dir") == 0 || strcmp(entry->d_name, "proc") == 0);
    }
    closedir(dir);
}

/* No descriptor leads to a host directory except the shared one, for example to the one with the socket. */
static void descriptors_are_few(void)
{
    char path[96], target[512];
    for (int fd = 0; fd < 200; fd++) {
        struct stat st, shared;
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", v.child, fd);
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
            continue;
        }
        CHECK(stat(v.shared, &shared) == 0);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = 0;
        if ((st.st_dev != shared.st_dev || st.st_ino != shared.st_ino) && strstr(target, "/fd") == NULL) {
            FAIL("descriptor %d leads to %s", fd, target);
        }
    }
}

int main(void)
{
    static const char *const options[] = {"--sandbox", "required", "--window", "16M", NULL};
    static const char *const unconfined[] = {"--sandbox", "none", "--window", "16M", NULL};
    if (geteuid() != 0) {
        skip("it takes root to have namespaces for sure");
    }
    if (!root_is_a_mount_point()) {
        skip("the root is no mount point, as in a chroot: no namespace can have another");
    }
    int left_open = open("/etc", O_RDONLY | O_DIRECTORY); /* without FD_CLOEXEC */
    vfs_open_with(&v, 2, options);
    close(left_open);
    is("NoNewPrivs", "1");
    is("Seccomp", "2");
    is("CapInh", "0000000000000000");
    is("CapAmb", "0000000000000000");
    is("CapEff", "00000000000000db"); /* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID */
    is("CapPrm", "00000000000000db");
    is("CapBnd", "00000000000000db");
    is("Groups", "");
    char *pids = status_of("NSpid");
    CHECK(g_str_has_suffix(pids, "\t1"));
    g_free(pids);
    root_is_small();
    descriptors_are_few();
    vfs_close(&v);

    vfs_open_with(&v, 2, unconfined);
    is("Seccomp", "2");
    is("CapEff", "00000000000000db");
    vfs_close(&v);
    return 0;
}
