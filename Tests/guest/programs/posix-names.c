/* SPDX-License-Identifier: BSD-3-Clause */
/* link, symlink, rename, rmdir, unlink, and listings. */
#include "posix.h"

#include <dirent.h>

static void check_link(void)
{
    section = "link";
    make_file("f", 0644, 0, 0);
    T("a second name", link("f", "g"));
    tell("f");
    V("the same file", look("f").st_ino == look("g").st_ino);
    T("there already", link("f", "g"));
    T("to nothing", link("none", "x"));
    make_folder("d", 0755, 0, 0);
    T("a folder", link("d", "e"));
    T("below a file", link("f", "f/x"));
    T("into nothing", link("f", "none/x"));
    T("a link", symlink("f", "l"));
    T("a link itself", link("l", "m"));
    tell("m");
    T("what a link leads to", linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
    tell("n");
    T("remove the first", unlink("f"));
    tell("g");
    make_folder("closed", 0755, 0, 0);
    become(1001, 1001);
    T("where one may not", link("g", "closed/x"));
    become(0, 0);
    section = "symlink";
    T("to nothing", symlink("nowhere", "s"));
    tell("s");
    T("there already", symlink("nowhere", "s"));
    T("an empty target", symlink("", "empty"));
    char *target = malloc(4200), back[4200];
    memset(target, 't', 4200);
    target[4095] = 0;
    T("the longest target", symlink(target, "long"));
    V("its length", readlink("long", back, sizeof(back)));
    target[4095] = 't';
    target[4096] = 0;
    T("a longer one", symlink(target, "longer"));
    free(target);
    T("below a file", symlink("x", "g/x"));
    T("to read what is none", (int)readlink("g", back, sizeof(back)));
    T("through one to nothing", opens("s", O_RDONLY, 0));
    T("to make through one", opens("s", O_CREAT | O_WRONLY, 0644));
    tell("nowhere");
    T("with O_EXCL", opens("s", O_CREAT | O_EXCL | O_WRONLY, 0644));
    clean();
}

static void check_rename(void)
{
    section = "rename";
    make_file("f", 0644, 0, 0);
    ino_t number = look("f").st_ino;
    T("a file", rename("f", "g"));
    V("it is the same", look("g").st_ino == number);
    T("the old name", access("f", F_OK));
    make_file("h", 0600, 0, 0);
    T("over another", rename("h", "g"));
    tell("g");
    T("to itself", rename("g", "g"));
    T("a second name", link("g", "k"));
    T("to its second name", rename("g", "k"));
    T("both are there", access("g", F_OK));
    make_folder("d", 0755, 0, 0);
    make_folder("e", 0755, 0, 0);
    T("a file over a folder", rename("g", "d"));
    T("a folder over a file", rename("d", "g"));
    T("a folder over an empty one", rename("d", "e"));
    make_file("e/x", 0644, 0, 0);
    make_folder("d", 0755, 0, 0);
    T("a folder over one that is not empty", rename("d", "e"));
    T("a folder into itself", rename("e", "e/sub"));
    T("a folder into its child", (mkdir("e/c", 0755), rename("e", "e/c/e")));
    T("nothing", rename("none", "x"));
    T("into nothing", rename("g", "none/x"));
    T("below a file", rename("g", "k/x"));
    T("a link", symlink("k", "l"));
    T("a link itself", rename("l", "moved"));
    tell("moved");
    T("a folder to another", rename("e", "d/e"));
    T("what is in it", access("d/e/x", F_OK));
    T("no replace", renameat2(AT_FDCWD, "g", AT_FDCWD, "k", RENAME_NOREPLACE));
    T("exchange", renameat2(AT_FDCWD, "g", AT_FDCWD, "d", RENAME_EXCHANGE));
    tell("g");
    tell("d");
    T("exchange with nothing", renameat2(AT_FDCWD, "g", AT_FDCWD, "none", RENAME_EXCHANGE));
    make_folder("sticky", 01777, 0, 0);
    make_file("sticky/f", 0666, 1001, 1001);
    make_file("sticky/mine", 0666, 1002, 1002);
    become(1002, 1002);
    T("another's in a sticky folder", rename("sticky/f", "sticky/g"));
    T("over another's in a sticky folder", rename("sticky/mine", "sticky/f"));
    T("one's own in a sticky folder", rename("sticky/mine", "sticky/mine2"));
    T("out of where one may not", rename("d", "sticky/d"));
    clean();
}

static void check_removal(void)
{
    section = "rmdir";
    make_folder("d", 0755, 0, 0);
    T("empty", rmdir("d"));
    T("gone", rmdir("d"));
    make_folder("d", 0755, 0, 0);
    make_file("d/f", 0644, 0, 0);
    T("not empty", rmdir("d"));
    T("a file", rmdir("d/f"));
    T("below a file", rmdir("d/f/x"));
    T("a dot", rmdir("d/."));
    T("two dots", rmdir("d/.."));
    T("a link", symlink("d", "l"));
    T("a link to one", rmdir("l"));
    become(1001, 1001);
    T("where one may not", rmdir("d"));
    become(0, 0);
    section = "unlink";
    T("a folder", unlink("d"));
    T("no such name", unlink("none"));
    T("below a file", unlink("d/f/x"));
    T("a second name", link("d/f", "g"));
    struct stat before = look("g");
    let_time_pass();
    T("the first name", unlink("d/f"));
    struct stat after = look("g");
    V("links", after.st_nlink);
    V("ctime is later", is_later(after.st_ctim, before.st_ctim));
    int fd = open("g", O_RDWR);
    T("while it is open", unlink("g"));
    struct stat st;
    T("to look at it", fstat(fd, &st));
    V("its links", st.st_nlink);
    V("written", pwrite(fd, "x", 1, 0));
    close(fd);
    T("a link", unlink("l"));
    make_folder("sticky", 01777, 0, 0);
    make_file("sticky/f", 0666, 1001, 1001);
    become(1002, 1002);
    T("another's in a sticky folder", unlink("sticky/f"));
    become(1001, 1001);
    T("one's own in a sticky folder", unlink("sticky/f"));
    clean();
}

static void check_lists(void)
{
    enum { ENTRIES = 1500 };
    static bool is_listed[ENTRIES];
    char name[32];
    struct dirent *entry;
    int found = 0, twice = 0, number, types = 0;

    section = "readdir";
    make_folder("many", 0755, 0, 0);
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof(name), "many/%d", i);
        if (i % 500 == 499) {
            make_folder(name, 0755, 0, 0);
        } else {
            make_file(name, 0644, 0, 0);
        }
    }
    DIR *folder = opendir("many");
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (sscanf(entry->d_name, "%d", &number) == 1 && number >= 0 && number < ENTRIES) {
            twice += is_listed[number];
            is_listed[number] = true;
            found++;
            types += entry->d_type == (number % 500 == 499 ? DT_DIR : DT_REG);
        }
    }
    V("entries", found);
    V("listed twice", twice);
    V("of the right type", types);
    rewinddir(folder);
    int again = 0;
    while (readdir(folder) != NULL) {
        again++;
    }
    V("after rewinddir, with dots", again);
    rewinddir(folder);
    for (int i = 0; i < 100; i++) {
        readdir(folder);
    }
    long where = telldir(folder);
    entry = readdir(folder);
    number = entry != NULL ? atoi(entry->d_name) : -1;
    for (int i = 0; i < 300; i++) {
        readdir(folder);
    }
    seekdir(folder, where);
    entry = readdir(folder);
    V("seekdir leads back", entry != NULL && number == atoi(entry->d_name));
    closedir(folder);
    clean();
    T("odd names", mkdir("\x01\xff \n\"'\\", 0755));
    T("odd names", access("\x01\xff \n\"'\\", F_OK));
    T("three dots", mkdir("...", 0755));
    T("an empty name", mkdir("", 0755));
    clean();
}

void check_names(void)
{
    check_link();
    check_rename();
    check_removal();
    check_lists();
}
