/* SPDX-License-Identifier: BSD-3-Clause */
/* open, truncate, ftruncate, posix_fallocate, lseek, extended attributes. */
#include "posix.h"

#include <sys/xattr.h>

static void check_flags(void)
{
    section = "open";
    T("new", opens("f", O_CREAT | O_WRONLY, 0640));
    tell("f");
    umask(077);
    T("with a mask", opens("masked", O_CREAT | O_WRONLY, 0666));
    umask(0);
    tell("masked");
    T("O_EXCL", opens("f", O_CREAT | O_EXCL | O_WRONLY, 0640));
    T("O_DIRECTORY", opens("f", O_RDONLY | O_DIRECTORY, 0));
    T("no such name", opens("none", O_RDONLY, 0));
    T("below a file", opens("f/x", O_CREAT | O_WRONLY, 0644));
    make_folder("d", 0755, 0, 0);
    T("a folder, to read", opens("d", O_RDONLY, 0));
    T("a folder, to write", opens("d", O_WRONLY, 0));
    T("a folder, to make", opens("d", O_CREAT | O_RDONLY, 0644));
    T("a link", symlink("f", "l"));
    T("O_NOFOLLOW", opens("l", O_RDONLY | O_NOFOLLOW, 0));
    T("O_PATH of a link", opens("l", O_PATH | O_NOFOLLOW, 0));
    T("a FIFO", mkfifo("p", 0600));
    T("a FIFO that nobody reads", opens("p", O_WRONLY | O_NONBLOCK, 0));
    make_file("t", 0644, 0, 0);
    T("truncate", truncate("t", 100));
    struct stat before = look("t");
    let_time_pass();
    T("O_TRUNC", opens("t", O_WRONLY | O_TRUNC, 0));
    V("size", look("t").st_size);
    V("mtime is later", is_later(look("t").st_mtim, before.st_mtim));
    make_file("no", 0000, 1001, 1001);
    T("a file without rights, by root", opens("no", O_RDWR, 0));
    become(1001, 1001);
    T("a file without rights", opens("no", O_RDONLY, 0));
    T("another's, to read", opens("f", O_RDONLY, 0));
    T("where one may not", opens("d/x", O_CREAT | O_WRONLY, 0644));
    become(0, 0);
    make_file("ro", 0444, 1001, 1001);
    become(1001, 1001);
    T("for reading alone, to write", opens("ro", O_WRONLY, 0));
    T("for reading alone, O_TRUNC", opens("ro", O_RDONLY | O_TRUNC, 0));
    become(0, 0);
    make_folder("open", 0777, 0, 0);
    become(1001, 1001);
    int fd = open("open/mine", O_CREAT | O_EXCL | O_RDWR, 0400);
    V("written to what was made for reading alone", write(fd, "abc", 3));
    close(fd);
    tell("open/mine");
    become(0, 0);
    make_folder("group", 02777, 0, 1005);
    become(1001, 1001);
    T("in a set-group-id folder", opens("group/f", O_CREAT | O_WRONLY, 0644));
    tell("group/f");
    become(0, 0);
    T("O_TMPFILE", opens("d", O_TMPFILE | O_RDWR, 0600));
    for (int user = 0; user < 3; user++) {
        static const uid_t users[] = {1001, 1002, 1003};
        static const gid_t groups[] = {1001, 1001, 1003};
        for (mode_t mode = 0; mode < 8; mode++) {
            mode_t shift = user == 0 ? 6 : user == 1 ? 3 : 0;
            make_file("rights", (mode_t)(mode << shift), 1001, 1001);
            become(users[user], groups[user]);
            T("to read", opens("rights", O_RDONLY, 0));
            T("to write", opens("rights", O_WRONLY, 0));
            T("to read and write", opens("rights", O_RDWR, 0));
            T("access", eaccess("rights", X_OK));
            become(0, 0);
            unlink("rights");
        }
    }
    clean();
}

static void check_append(void)
{
    char text[16] = "";
    int fd, other;

    section = "append";
    make_file("f", 0644, 0, 0);
    fd = open("f", O_RDWR | O_APPEND);
    other = open("f", O_WRONLY | O_APPEND);
    V("one", write(fd, "abc", 3));
    V("the other", write(other, "def", 3));
    V("one", write(fd, "ghi", 3));
    V("read", pread(fd, text, 9, 0));
    printf("append: %s\n", text);
    V("position", lseek(fd, 0, SEEK_CUR));
    close(fd);
    close(other);
    clean();
}

/* Gives the program `s` its mode back, which the last change took away, and goes on as another user. */
static void give_back_mode(void)
{
    T("give it back", chmod("s", 06777));
    become(1001, 1001);
}

static void write_by_another(const char *what)
{
    int fd;

    give_back_mode();
    fd = open("s", O_WRONLY);
    V(what, write(fd, "x", 1));
    close(fd);
    tell("s");
    become(0, 0);
}

static void check_sizes(void)
{
    char byte = 'x';
    struct stat before;
    int fd;

    section = "truncate";
    make_file("f", 0644, 0, 0);
    T("longer", truncate("f", 123456));
    V("size", look("f").st_size);
    fd = open("f", O_RDWR);
    V("read beyond", pread(fd, &byte, 1, 123456));
    V("read a hole", pread(fd, &byte, 1, 100000));
    V("it is", byte);
    V("write", pwrite(fd, "y", 1, 5000));
    T("shorter", truncate("f", 4000));
    T("longer again", ftruncate(fd, 8192));
    V("read what was cut", pread(fd, &byte, 1, 5000));
    V("it is", byte);
    before = look("f");
    let_time_pass();
    T("to the same size", ftruncate(fd, 8192));
    V("mtime is later", is_later(look("f").st_mtim, before.st_mtim));
    T("negative", ftruncate(fd, -1));
    T("negative", truncate("f", -1));
    close(fd);
    fd = open("f", O_RDONLY);
    T("open for reading alone", ftruncate(fd, 0));
    close(fd);
    make_folder("d", 0755, 0, 0);
    T("a folder", truncate("d", 0));
    T("no such name", truncate("none", 0));
    T("below a file", truncate("f/x", 0));
    become(1001, 1001);
    T("another's", truncate("f", 0));
    become(0, 0);
    make_file("s", 06777, 0, 0);
    T("a set-user-id program, by root", truncate("s", 10));
    tell("s");
    become(1001, 1001);
    T("a set-user-id program, by another", truncate("s", 20));
    tell("s");
    become(0, 0);
    give_back_mode();
    T("O_TRUNC by another", opens("s", O_WRONLY | O_TRUNC, 0));
    tell("s");
    become(0, 0);
    section = "write";
    write_by_another("written by another");
    write_by_another("written by another, within the file");
    section = "posix_fallocate";
    fd = open("f", O_RDWR);
    V("longer", posix_fallocate(fd, 10000, 5000));
    V("size", look("f").st_size);
    V("inside", posix_fallocate(fd, 0, 100));
    V("size", look("f").st_size);
    V("of nothing", posix_fallocate(fd, 0, 0));
    V("negative", posix_fallocate(fd, -1, 10));
    close(fd);
    fd = open("f", O_RDONLY);
    V("open for reading alone", posix_fallocate(fd, 0, 100));
    close(fd);
    section = "lseek";
    fd = open("f", O_RDWR);
    V("the end", lseek(fd, 0, SEEK_END));
    V("data beyond the end", lseek(fd, 100000, SEEK_DATA));
    V("before the beginning", lseek(fd, -1, SEEK_SET));
    close(fd);
    clean();
}

static void check_attributes(void)
{
    char value[64] = "";

    section = "xattr";
    make_file("f", 0644, 0, 0);
    T("set", setxattr("f", "user.a", "value", 5, 0));
    V("get", getxattr("f", "user.a", value, sizeof(value)));
    V("its size", getxattr("f", "user.a", NULL, 0));
    T("no room", (int)getxattr("f", "user.a", value, 2));
    T("XATTR_CREATE", setxattr("f", "user.a", "v", 1, XATTR_CREATE));
    T("XATTR_REPLACE", setxattr("f", "user.b", "v", 1, XATTR_REPLACE));
    T("another", setxattr("f", "user.b", "", 0, 0));
    V("list", listxattr("f", value, sizeof(value)));
    T("remove", removexattr("f", "user.a"));
    T("remove again", removexattr("f", "user.a"));
    T("get it", (int)getxattr("f", "user.a", value, sizeof(value)));
    T("a link", symlink("f", "l"));
    T("of a link itself", lsetxattr("l", "user.a", "v", 1, 0));
    clean();
}

void check_open(void)
{
    check_flags();
    check_append();
    check_sizes();
    check_attributes();
}
