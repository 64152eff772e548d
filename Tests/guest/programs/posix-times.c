/* SPDX-License-Identifier: BSD-3-Clause */
/* utimensat, and which times a change moves. */
#include "posix.h"

static void times(const char *name)
{
    struct stat st = look(name);

    printf("%s: %s has %lld.%09ld and %lld.%09ld\n", section, name, (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int set(const char *name, time_t first, long first_ns, time_t second, long second_ns)
{
    struct timespec both[2] = {{first, first_ns}, {second, second_ns}};

    return utimensat(AT_FDCWD, name, both, AT_SYMLINK_NOFOLLOW);
}

static void check_utimensat(void)
{
    section = "utimensat";
    make_file("f", 0644, 1001, 1001);
    T("both", set("f", 1000000000, 123456789, 1500000000, 987654321));
    times("f");
    T("the first alone", set("f", 1100000000, 0, 0, UTIME_OMIT));
    times("f");
    T("the second alone", set("f", 0, UTIME_OMIT, 1200000000, 1));
    times("f");
    T("none", set("f", 0, UTIME_OMIT, 0, UTIME_OMIT));
    times("f");
    T("after 2038", set("f", 4000000000, 0, 4000000001, 0));
    times("f");
    T("at 0", set("f", 0, 0, 1, 0));
    times("f");
    T("before 1970", set("f", -100, 0, -200, 5));
    times("f");
    T("nanoseconds of more than a second", set("f", 0, 1000000000, 0, 0));
    make_folder("d", 0755, 0, 0);
    T("a folder", set("d", 1000000000, 1, 1000000001, 2));
    times("d");
    T("a link", symlink("f", "l"));
    T("a link itself", set("l", 1000000000, 3, 1000000001, 4));
    times("l");
    T("no such name", set("none", 0, 0, 0, 0));
    make_file("w", 0666, 0, 0);
    make_file("r", 0644, 0, 0);
    become(1002, 1002);
    T("now, of what one may write", utimensat(AT_FDCWD, "w", NULL, 0));
    T("a time, of what one may write", set("w", 5, 0, 5, 0));
    T("now, of what one may not write", utimensat(AT_FDCWD, "r", NULL, 0));
    become(1001, 1001);
    T("of one's own", set("f", 7, 7, 7, 7));
    times("f");
    clean();
}

static struct stat before;

static void moved(const char *what, const char *name)
{
    struct stat after = look(name);

    printf("%s: %s: mtime %s, ctime %s\n", section, what, is_later(after.st_mtim, before.st_mtim) ? "moved" : "as before",
           is_later(after.st_ctim, before.st_ctim) ? "moved" : "as before");
    let_time_pass();
    before = after;
}

static void check_moves(void)
{
    int fd;

    section = "times";
    make_folder("d", 0755, 0, 0);
    make_file("f", 0644, 0, 0);
    let_time_pass();
    before = look("d");
    make_file("d/x", 0644, 0, 0);
    moved("a folder in which a file is made", "d");
    T("link", link("d/x", "d/y"));
    moved("a folder in which a name is made", "d");
    T("unlink", unlink("d/x"));
    moved("a folder in which a name is removed", "d");
    T("rename", rename("d/y", "d/z"));
    moved("a folder in which a name changes", "d");
    T("mkdir", mkdir("d/s", 0755));
    moved("a folder with a new folder", "d");
    T("rmdir", rmdir("d/s"));
    moved("a folder that loses a folder", "d");
    before = look("f");
    T("chmod", chmod("f", 0600));
    moved("chmod", "f");
    T("chown", chown("f", 1, 1));
    moved("chown", "f");
    T("link", link("f", "g"));
    moved("link", "f");
    T("rename", rename("g", "h"));
    moved("rename", "f");
    fd = open("f", O_RDWR);
    V("write", write(fd, "x", 1));
    moved("write", "f");
    T("ftruncate", ftruncate(fd, 100));
    moved("ftruncate", "f");
    close(fd);
    clean();
}

void check_times(void)
{
    check_utimensat();
    check_moves();
}
