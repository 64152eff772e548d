/* SPDX-License-Identifier: BSD-3-Clause */
/* Usage: posix FOLDER. The folder is empty. Run it as root. */
#include "posix.h"

#include <ftw.h>

const char *section = "";

void tell_result(const char *what, int rc)
{
    const char *name = rc >= 0 ? "OK" : strerrorname_np(errno);

    printf("%s: %s: %s\n", section, what, name != NULL ? name : "?");
}

void become(uid_t user, gid_t group)
{
    if (seteuid(0) < 0 || setgroups(0, NULL) < 0 || setegid(group) < 0 || seteuid(user) < 0) {
        perror("become");
        exit(2);
    }
}

static void own(const char *name, mode_t mode, uid_t owner, gid_t group)
{
    if (lchown(name, owner, group) < 0 || chmod(name, mode) < 0) {
        printf("%s: cannot make %s (errno %d)\n", section, name, errno);
    }
}

void make_file(const char *name, mode_t mode, uid_t owner, gid_t group)
{
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);

    if (fd < 0 || close(fd) < 0) {
        printf("%s: cannot make %s (errno %d)\n", section, name, errno);
    }
    own(name, mode, owner, group);
}

void make_folder(const char *name, mode_t mode, uid_t owner, gid_t group)
{
    if (mkdir(name, 0700) < 0) {
        printf("%s: cannot make %s (errno %d)\n", section, name, errno);
    }
    own(name, mode, owner, group);
}

struct stat look(const char *name)
{
    struct stat st = {0};

    if (lstat(name, &st) < 0) {
        printf("%s: %s cannot be read: %s\n", section, name, strerrorname_np(errno));
    }
    return st;
}

void tell(const char *name)
{
    struct stat st = look(name);

    printf("%s: %s is %o, links %d, owner %d %d\n", section, name, st.st_mode, S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink,
           (int)st.st_uid, (int)st.st_gid);
}

void let_time_pass(void)
{
    /* Longer than a tick of any kernel. */
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
}

bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

int opens(const char *name, int flags, mode_t mode)
{
    int fd = open(name, flags, mode), kept = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = kept;
    return fd < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    return where->level > 0 ? remove(path) : 0;
}

void clean(void)
{
    become(0, 0);
    if (nftw(".", remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0) {
        printf("%s: cannot clean (errno %d)\n", section, errno);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) < 0) {
        return 2;
    }
    umask(0);
    check_modes();
    check_names();
    check_open();
    check_times();
    clean();
    return 0;
}
