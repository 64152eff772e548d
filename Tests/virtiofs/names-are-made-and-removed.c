/* SPDX-License-Identifier: BSD-3-Clause */
/* Directories, links, nodes and their listing are those of the host. */
#include "virtiofs-rig.h"

static vfs v;

static bool exists(const char *name)
{
    struct stat st;
    return lstat(host_path(&v, name), &st) == 0;
}

static uint64_t make_directory(uint64_t parent, const char *name)
{
    struct fuse_mkdir_in in = {.mode = 0755};
    ok(vfs_name(&v, FUSE_MKDIR, parent, &in, sizeof(in), name));
    return BODY(&v, struct fuse_entry_out)->nodeid;
}

static void links(uint64_t dir)
{
    struct stat a, b;
    char names[] = "link\0../../secret";
    ok(vfs_ask(&v, FUSE_SYMLINK, dir, names, sizeof(names), 512));
    uint64_t link = BODY(&v, struct fuse_entry_out)->nodeid;
    EQ(BODY(&v, struct fuse_entry_out)->attr.mode & S_IFMT, S_IFLNK);
    ok(vfs_ask(&v, FUSE_READLINK, link, NULL, 0, 4096));
    CHECK(v.head.len == sizeof(v.head) + 12 && memcmp(v.body, "../../secret", 12) == 0);
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    err(vfs_ask(&v, FUSE_OPEN, link, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)), -ELOOP);

    struct fuse_mknod_in file = {.mode = S_IFREG | 0644};
    ok(vfs_name(&v, FUSE_MKNOD, dir, &file, sizeof(file), "plain"));
    struct fuse_link_in in = {.oldnodeid = BODY(&v, struct fuse_entry_out)->nodeid};
    ok(vfs_name(&v, FUSE_LINK, dir, &in, sizeof(in), "hard"));
    EQ(BODY(&v, struct fuse_entry_out)->nodeid, in.oldnodeid);
    EQ(BODY(&v, struct fuse_entry_out)->attr.nlink, 2);
    CHECK(stat(host_path(&v, "d/plain"), &a) == 0 && stat(host_path(&v, "d/hard"), &b) == 0 && a.st_ino == b.st_ino);
    /* A link to the symbolic link itself. */
    in.oldnodeid = link;
    ok(vfs_name(&v, FUSE_LINK, dir, &in, sizeof(in), "link2"));
    CHECK(lstat(host_path(&v, "d/link2"), &a) == 0 && S_ISLNK(a.st_mode));

    file.mode = S_IFIFO | 0600;
    ok(vfs_name(&v, FUSE_MKNOD, dir, &file, sizeof(file), "fifo"));
    uint64_t fifo = BODY(&v, struct fuse_entry_out)->nodeid;
    /* The guest's kernel itself opens a FIFO. Here the open would wait for a writer of the host. */
    err(vfs_ask(&v, FUSE_OPEN, fifo, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)), -ENXIO);
    file = (struct fuse_mknod_in){.mode = S_IFBLK | 0600, .rdev = 0x0800};
    err(vfs_name(&v, FUSE_MKNOD, dir, &file, sizeof(file), "disk"), -EPERM);
    CHECK(!exists("d/disk"));
}

static void renames(uint64_t dir)
{
    struct fuse_rename_in in = {.newdir = FUSE_ROOT_ID};
    char names[] = "plain\0moved";
    ok(vfs_ask2(&v, FUSE_RENAME, dir, &in, sizeof(in), names, sizeof(names), 0));
    CHECK(!exists("d/plain") && exists("moved"));
    struct fuse_rename2_in in2 = {.newdir = dir, .flags = 1}; /* RENAME_NOREPLACE */
    char again[] = "moved\0hard", swap[] = "moved\0fifo";
    err(vfs_ask2(&v, FUSE_RENAME2, FUSE_ROOT_ID, &in2, sizeof(in2), again, sizeof(again), 0), -EEXIST);
    in2.flags = 2; /* RENAME_EXCHANGE */
    ok(vfs_ask2(&v, FUSE_RENAME2, FUSE_ROOT_ID, &in2, sizeof(in2), swap, sizeof(swap), 0));
    struct stat st;
    CHECK(stat(host_path(&v, "moved"), &st) == 0 && S_ISFIFO(st.st_mode));
    in2.flags = 0x80;
    err(vfs_ask2(&v, FUSE_RENAME2, FUSE_ROOT_ID, &in2, sizeof(in2), swap, sizeof(swap), 0), -EINVAL);
}

/* Lists a directory in pieces of `room` bytes. Returns how many entries there were. All except . and .. must begin with "n". */
static int list(uint64_t dir, uint32_t opcode, uint32_t room)
{
    struct fuse_open_in open_in = {.flags = O_RDONLY | O_DIRECTORY};
    ok(vfs_ask(&v, FUSE_OPENDIR, dir, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)));
    struct fuse_read_in in = {.fh = BODY(&v, struct fuse_open_out)->fh, .size = room};
    int count = 0;
    for (;;) {
        ok(vfs_ask(&v, opcode, dir, &in, sizeof(in), room));
        size_t size = v.head.len - sizeof(v.head), at = 0;
        CHECK(size <= room);
        if (size == 0) {
            break;
        }
        while (at < size) {
            const struct fuse_entry_out *entry = (const void *)(v.body + at);
            const struct fuse_dirent *d = opcode == FUSE_READDIRPLUS ? (const void *)(entry + 1) : (const void *)entry;
            size_t head = opcode == FUSE_READDIRPLUS ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
            char name[300] = "", path[320];
            struct stat st;
            CHECK(d->namelen < sizeof(name));
            memcpy(name, d->name, d->namelen);
            snprintf(path, sizeof(path), "many/%s", name);
            CHECK(lstat(host_path(&v, path), &st) == 0);
            if (name[0] != '.') {
                EQ(d->ino, st.st_ino);
                if (opcode == FUSE_READDIRPLUS) {
                    CHECK(entry->nodeid > FUSE_ROOT_ID);
                    EQ(entry->attr.ino, st.st_ino);
                    EQ(entry->attr.size, st.st_size);
                }
            } else if (opcode == FUSE_READDIRPLUS) {
                EQ(entry->nodeid, 0);
            }
            in.offset = d->off;
            at += FUSE_DIRENT_ALIGN(head + d->namelen);
            count++;
        }
    }
    struct fuse_fsync_in sync = {.fh = in.fh};
    ok(vfs_ask(&v, FUSE_FSYNCDIR, dir, &sync, sizeof(sync), 0));
    struct fuse_release_in release = {.fh = in.fh};
    ok(vfs_ask(&v, FUSE_RELEASEDIR, dir, &release, sizeof(release), 0));
    return count;
}

int main(void)
{
    enum { FILES = 500 };
    vfs_open(&v);
    uint64_t dir = make_directory(FUSE_ROOT_ID, "d");
    struct fuse_mkdir_in in = {.mode = 0755};
    err(vfs_name(&v, FUSE_MKDIR, FUSE_ROOT_ID, &in, sizeof(in), "d"), -EEXIST);
    links(dir);
    renames(dir);
    err(vfs_name(&v, FUSE_RMDIR, FUSE_ROOT_ID, NULL, 0, "d"), -ENOTEMPTY);
    static const char *const left[] = {"link", "link2", "hard", "fifo"};
    for (int i = 0; i < 4; i++) {
        ok(vfs_name(&v, FUSE_UNLINK, dir, NULL, 0, left[i]));
    }
    ok(vfs_name(&v, FUSE_RMDIR, FUSE_ROOT_ID, NULL, 0, "d"));
    CHECK(!exists("d"));
    err(vfs_lookup(&v, FUSE_ROOT_ID, "d"), -ENOENT);

    uint64_t many = make_directory(FUSE_ROOT_ID, "many");
    for (int i = 0; i < FILES; i++) {
        char name[40];
        snprintf(name, sizeof(name), "many/n%0*d", 1 + i % 30, i);
        host_write(host_path(&v, name), name, (size_t)i % 7);
    }
    EQ(list(many, FUSE_READDIR, 4096), FILES + 2);
    EQ(list(many, FUSE_READDIR, 300), FILES + 2);
    EQ(list(many, FUSE_READDIRPLUS, 60000), FILES + 2);
    EQ(list(many, FUSE_READDIRPLUS, 700), FILES + 2);
    int listed = vfs_descriptors(&v);
    /* Each listing counted a lookup of each entry. Two for each are forgotten here, and the inodes go. */
    for (uint64_t node = many + 1; node <= many + FILES; node++) {
        vfs_forget(&v, node, 2);
    }
    EQ(vfs_descriptors(&v), listed - FILES);
    vfs_close(&v);
    return 0;
}
