/* SPDX-License-Identifier: BSD-3-Clause */
/* chmod, chown, mkdir, mkfifo, mknod. */
#include "posix.h"

static char *long_name(size_t length)
{
    static char name[5000];

    memset(name, 'x', length);
    name[length] = 0;
    return name;
}

static void check_chmod(void)
{
    section = "chmod";
    make_file("f", 0644, 0, 0);
    make_folder("d", 0755, 0, 0);
    T("a FIFO", mkfifo("p", 0644));
    T("a link", symlink("f", "l"));
    for (mode_t mode = 1; mode <= 07777; mode = mode * 2 + 1) {
        T("a file", chmod("f", mode));
        tell("f");
        T("a folder", chmod("d", mode));
        tell("d");
        T("a FIFO", chmod("p", mode));
        tell("p");
    }
    T("through a link", chmod("l", 0600));
    tell("f");
    tell("l");
    T("no such name", chmod("none", 0600));
    T("below a file", chmod("f/x", 0600));
    T("a name that is too long", chmod(long_name(256), 0600));
    T("a path that is too long", chmod(long_name(4999), 0600));
    T("a loop", symlink("loop2", "loop1"));
    T("a loop", symlink("loop1", "loop2"));
    T("through a loop", chmod("loop1", 0600));
    make_file("u", 0644, 1001, 1001);
    become(1001, 1001);
    T("one's own", chmod("u", 0600));
    T("the sticky bit of one's own file", chmod("u", 01644));
    tell("u");
    T("another's", chmod("f", 0666));
    become(0, 0);
    make_file("g", 0755, 1001, 1002);
    become(1001, 1001);
    T("the set-group-id bit, of another group", chmod("g", 02755));
    tell("g");
    become(0, 0);
    make_folder("closed", 0700, 0, 0);
    make_file("closed/f", 0644, 1001, 1001);
    become(1001, 1001);
    T("in a folder that is closed", chmod("closed/f", 0600));
    clean();
}

static void check_chown(void)
{
    section = "chown";
    make_file("f", 06755, 1001, 1001);
    T("by root", chown("f", 1002, 1003));
    tell("f");
    T("the group alone", chown("f", (uid_t)-1, 1004));
    tell("f");
    T("nothing", chown("f", (uid_t)-1, (gid_t)-1));
    tell("f");
    T("a link", symlink("f", "l"));
    T("of a link itself", lchown("l", 1005, 1006));
    tell("l");
    tell("f");
    T("through a link", chown("l", 1007, 1008));
    tell("l");
    tell("f");
    make_file("mine", 0644, 1001, 1002);
    become(1001, 1001);
    T("one's own to a group of one's own", chown("mine", (uid_t)-1, 1001));
    T("one's own to a strange group", chown("mine", (uid_t)-1, 1005));
    T("one's own to another", chown("mine", 1002, (gid_t)-1));
    T("to oneself", chown("mine", 1001, (gid_t)-1));
    T("another's", chown("f", 1001, 1001));
    become(0, 0);
    tell("mine");
    make_file("s", 06755, 1001, 1001);
    become(1001, 1001);
    T("of a set-user-id program, by its owner", chown("s", 1001, 1001));
    become(0, 0);
    tell("s");
    make_folder("d", 06755, 0, 0);
    T("of a folder", chown("d", 1001, 1002));
    tell("d");
    T("no such name", chown("none", 0, 0));
    T("below a file", chown("f/x", 0, 0));
    clean();
}

static void check_mkdir(void)
{
    section = "mkdir";
    T("new", mkdir("d", 0751));
    tell("d");
    umask(027);
    T("with a mask", mkdir("masked", 0777));
    umask(0);
    tell("masked");
    T("there already", mkdir("d", 0755));
    make_file("f", 0644, 0, 0);
    T("a file is there", mkdir("f", 0755));
    T("a link", symlink("nowhere", "l"));
    T("a link is there", mkdir("l", 0755));
    T("below a file", mkdir("f/d", 0755));
    T("below nothing", mkdir("none/d", 0755));
    T("a name that is too long", mkdir(long_name(256), 0755));
    T("the longest name", mkdir(long_name(255), 0755));
    make_folder("group", 02777, 0, 1005);
    T("in a set-group-id folder", mkdir("group/d", 0755));
    tell("group/d");
    become(1001, 1001);
    T("in a set-group-id folder, by another", mkdir("group/e", 0755));
    tell("group/e");
    T("where one may not", mkdir("d/x", 0755));
    become(0, 0);
    V("links of a folder", look("group").st_nlink > 0);
    clean();
}

static void check_nodes(void)
{
    section = "mkfifo";
    T("new", mkfifo("p", 0651));
    tell("p");
    T("there already", mkfifo("p", 0644));
    T("below nothing", mkfifo("none/p", 0644));
    umask(022);
    T("with a mask", mkfifo("masked", 0666));
    umask(0);
    tell("masked");
    make_folder("d", 0755, 0, 0);
    become(1001, 1001);
    T("where one may not", mkfifo("d/p", 0644));
    become(0, 0);
    section = "mknod";
    T("a file", mknod("f", S_IFREG | 0640, 0));
    tell("f");
    T("a FIFO", mknod("q", S_IFIFO | 0640, 0));
    tell("q");
    T("a socket", mknod("s", S_IFSOCK | 0640, 0));
    tell("s");
    T("there already", mknod("f", S_IFREG | 0640, 0));
    T("a folder", mknod("x", S_IFDIR | 0755, 0));
    T("a device", mknod("null", S_IFCHR | 0600, (dev_t)0x103));
    become(1001, 1001);
    T("a device, by another", mknod("zero", S_IFCHR | 0600, (dev_t)0x105));
    clean();
}

void check_modes(void)
{
    check_chmod();
    check_chown();
    check_mkdir();
    check_nodes();
}
