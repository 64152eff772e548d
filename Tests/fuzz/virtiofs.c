/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's kernel against the device of tools/virtiofs, in this process: requests of every kind in chains of every form,
 * and a front-end that answers maps in any way, late or never. The device must do no harm, give well-formed answers, leave
 * no descriptor, and change nothing outside of the shared directory.
 */
#include "fuzz.h"

#include "bare-queue.h"

#include <sys/resource.h>

#include "device.h"

#include <linux/fuse.h>

#define REQUEST BUFFERS
#define ANSWER (BUFFERS + 0x4000)
#define ANSWER_ROOM 0x4000u
#define LONGEST_REQUEST 0x3000u

static input *in;
static bare_queue b;
static struct device device;
static char *base, *shared, *secret;
static uint64_t unique;

/* ---- the host ---- */

static void empty(const char *path)
{
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlinkat(dirfd(dir), entry->d_name, 0) < 0) {
            char *below = g_strdup_printf("%s/%s", path, entry->d_name);
            chmod(below, 0700);
            empty(below);
            rmdir(below);
            g_free(below);
        }
    }
    closedir(dir);
}

static void host_write(const char *folder, const char *name, const char *text)
{
    char *path = g_strdup_printf("%s/%s", folder, name);
    CHECK(g_file_set_contents(path, text, -1, NULL));
    g_free(path);
}

static void host_new(void)
{
    /* Not on a disk: SYNCFS would wait for it. */
    base = g_strdup_printf("%s/vhu-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(base) != NULL);
    shared = g_strdup_printf("%s/shared", base);
    secret = g_strdup_printf("%s/secret", base);
    CHECK(mkdir(shared, 0755) == 0);
}

static void host_end(void)
{
    empty(base);
    rmdir(base);
}

static void host_fill(void)
{
    chmod(shared, 0755);
    empty(shared);
    host_write(shared, "a", "a file of some bytes");
    host_write(shared, "b", "");
    char *dir = g_strdup_printf("%s/d", shared), *link = g_strdup_printf("%s/l", shared);
    CHECK(mkdir(dir, 0755) == 0 && symlink("../secret", link) == 0);
    host_write(dir, "e", "below");
    g_free(dir);
    g_free(link);
    host_write(base, "secret", "secret");
}

static void host_is_whole(void)
{
    char *text = NULL;
    CHECK(g_file_get_contents(secret, &text, NULL, NULL) && strcmp(text, "secret") == 0);
    g_free(text);
    DIR *dir = opendir(base);
    int count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    EQ(count, 4);
}

/* ---- the guest ---- */

/* A number in a request: of an inode, of a handle, an offset of the window, or any. */
static uint64_t take_number(void)
{
    uint8_t kind = take(in);
    switch (kind) {
    case 0 ... 99:
        return kind % 12;
    case 100 ... 179:
        return (kind & 15) * PAGE;
    case 180 ... 199:
        return PAGE;
    case 200 ... 219:
        return UINT64_MAX - (kind & 3);
    case 220 ... 235:
        return (uint64_t)INT64_MAX - (kind & 3) * PAGE;
    default:
        return take_word(in, 8);
    }
}

/* Puts a word of a dictionary, and as a rule its terminating 0. */
static size_t put_name(uint8_t *at)
{
    static const char *const names[] = {"a",  "b",  "d", "e",         "l",      "new", "other",
                                        "..", ".",  "",  "../secret", "user.x", "a/b", "security.capability",
                                        "/",  "d/e"};
    uint8_t which = take(in);
    size_t length = strlen(names[which & 15]);
    memcpy(at, names[which & 15], length);
    at[length] = 0;
    return length + (which < 240);
}

/* The words of a fixed part: 4 bytes or 8 each. */
static size_t put_fixed(uint8_t *at, uint8_t words)
{
    size_t size = 0;
    for (uint8_t i = 0; i < (words & 15); i++) {
        uint64_t number = take_number();
        size_t width = (words & 16) != 0 && i % 2 == 1 ? 4 : 8;
        memcpy(at + size, &number, width);
        size += width;
    }
    return size;
}

static void put_request(void)
{
    static const uint8_t fixed[64] = {
        [FUSE_FORGET] = 1,       [FUSE_GETATTR] = 2,       [FUSE_SETATTR] = 11,     [FUSE_MKNOD] = 2,
        [FUSE_MKDIR] = 1,        [FUSE_RENAME] = 1,        [FUSE_LINK] = 1,         [FUSE_OPEN] = 1,
        [FUSE_READ] = 5,         [FUSE_WRITE] = 5,         [FUSE_RELEASE] = 3,      [FUSE_FSYNC] = 2,
        [FUSE_SETXATTR] = 1,     [FUSE_GETXATTR] = 1,      [FUSE_LISTXATTR] = 1,    [FUSE_FLUSH] = 3,
        [FUSE_OPENDIR] = 1,      [FUSE_READDIR] = 5,       [FUSE_RELEASEDIR] = 3,   [FUSE_FSYNCDIR] = 2,
        [FUSE_ACCESS] = 1,       [FUSE_CREATE] = 2,        [FUSE_BATCH_FORGET] = 5, [FUSE_FALLOCATE] = 4,
        [FUSE_READDIRPLUS] = 5,  [FUSE_RENAME2] = 2,       [FUSE_LSEEK] = 3,        [FUSE_COPY_FILE_RANGE] = 7,
        [FUSE_SETUPMAPPING] = 5, [FUSE_REMOVEMAPPING] = 0, [FUSE_SYNCFS] = 1,       [52] = 3};
    uint8_t *at = b.ram + REQUEST + sizeof(struct fuse_in_header), opcode = take(in), extra = take(in);
    size_t size = 0;
    if (opcode == FUSE_INIT) {
        struct fuse_init_in init = {.major = 7, .minor = 38, .flags = UINT32_MAX, .flags2 = UINT32_MAX};
        memcpy(at, &init, sizeof(init));
        size = sizeof(init);
    } else if (opcode == FUSE_REMOVEMAPPING) {
        uint32_t count = extra & 3;
        memcpy(at, &count, sizeof(count));
        size = sizeof(count) + put_fixed(at + sizeof(count), (uint8_t)(2 * count));
    } else {
        size = put_fixed(at, fixed[opcode & 63]);
    }
    for (unsigned i = 0; i < (extra >> 4 & 3); i++) {
        size += put_name(at + size);
    }
    size += extra >> 6 == 3 ? take(in) : 0;
    struct fuse_in_header head = {
        .len = (uint32_t)(sizeof(head) + size), .opcode = opcode, .unique = ++unique, .nodeid = take_number()};
    if (head.nodeid == 0 && opcode != FUSE_INIT) {
        head.nodeid = 1;
    }
    if (extra == 0xff) {
        head.len = (uint32_t)take_number();
    }
    memcpy(b.ram + REQUEST, &head, sizeof(head));
    uint8_t form = take(in);
    uint32_t split = form < 200 ? (uint32_t)sizeof(head) : take(in) % 64 + 1u, all = (uint32_t)(sizeof(head) + size);
    split = MIN(split, all);
    set_descriptor(&b, 0, REQUEST, split, NEXT, 1);
    set_descriptor(&b, 1, REQUEST + split, all - split, NEXT, 2);
    set_descriptor(&b, 2, ANSWER, form >= 240 ? take(in) : ANSWER_ROOM, WRITE, 0);
    if (all == split) {
        set_descriptor(&b, 0, REQUEST, all, NEXT, 2);
    }
    if (form == 255) {
        set_descriptor(&b, take(in) & 3, REQUEST + take_word(in, 2), (uint32_t)take_word(in, 3), take(in) & 7, take(in) & 3);
    }
    memset(b.ram + ANSWER, 0xee, sizeof(struct fuse_out_header));
    offer(&b, 0);
    kick(&b);
}

/* A chain that was given back has an answer or nothing. */
static void look_at_answers(void)
{
    uint32_t *used = (uint32_t *)(b.ram + USED + 4);
    for (int head; (head = taken_back(&b)) >= 0;) {
        uint32_t written = used[2 * ((b.used_idx - 1u) % b.size) + 1];
        CHECK(written == 0 || written >= sizeof(struct fuse_out_header));
        CHECK(written <= ANSWER_ROOM || written <= RAM_SIZE);
    }
}

/* ---- the front-end ---- */

static void say_nothing(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
}

static void answer_maps(unsigned count)
{
    static const int64_t answers[] = {0, 0, 0, 0, -EEXIST, -EIO, -ENOENT, -EOVERFLOW, -EINVAL, -ENOSPC};
    message m;
    while (count-- > 0 && b.r.channel >= 0 && wait_readable(b.r.channel, 0) && receive(b.r.channel, &m, 0) == 1) {
        int64_t value = answers[take(in) % 10];
        for (int i = 0; i < m.fd_count; i++) {
            close(m.fds[i]);
        }
        send_message(b.r.channel, m.header.request, 0x5, &value, sizeof(value), NULL, 0);
    }
    pump_backend(b.r.backend);
}

static void connect_anew(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    b.r.main = pair[0];
    b.r.channel = -1;
    b.r.need_reply = false;
    ok(vhushmem_backend_attach(b.r.backend, pair[1], &error));
    backend_rig_shake_hands(&b.r, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(28), -1), 0);
    tell_ram(&b);
}

static void hang_up(void)
{
    close(b.r.main);
    if (b.r.channel >= 0) {
        close(b.r.channel);
    }
    pump_backend(b.r.backend);
}

static void begin_queue(void)
{
    memset(b.ram, 0, BUFFERS);
    b.avail_idx = b.used_idx = 0;
    start_queue(&b, 0);
}

/* A request in the form of Linux's client. With it, most inputs get further than the mount. */
static void ask(uint32_t opcode, uint64_t node, const void *bytes, size_t size)
{
    struct fuse_in_header head = {.len = (uint32_t)(sizeof(head) + size), .opcode = opcode, .unique = ++unique, .nodeid = node};
    memcpy(b.ram + REQUEST, &head, sizeof(head));
    memcpy(b.ram + REQUEST + sizeof(head), bytes, size);
    set_descriptor(&b, 0, REQUEST, head.len, NEXT, 1);
    set_descriptor(&b, 1, ANSWER, ANSWER_ROOM, WRITE, 0);
    offer(&b, 0);
    kick(&b);
    look_at_answers();
}

/* Nodes 2 to 5, and a handle of each file and directory. */
static void mount_and_look(void)
{
    static const char *const names[] = {"a", "b", "d", "l"};
    struct fuse_init_in init = {.major = 7, .minor = 38, .flags = UINT32_MAX, .flags2 = UINT32_MAX};
    struct fuse_open_in open_in = {.flags = O_RDWR}, list = {.flags = O_RDONLY};
    ask(FUSE_INIT, 0, &init, sizeof(init));
    for (int i = 0; i < 4; i++) {
        ask(FUSE_LOOKUP, FUSE_ROOT_ID, names[i], 2);
    }
    ask(FUSE_OPEN, 2, &open_in, sizeof(open_in));
    ask(FUSE_OPEN, 3, &open_in, sizeof(open_in));
    ask(FUSE_OPENDIR, 4, &list, sizeof(list));
    ask(FUSE_OPENDIR, FUSE_ROOT_ID, &list, sizeof(list));
}

static void step(void)
{
    uint8_t what = take(in);
    switch (what) {
    case 0 ... 200:
        put_request();
        if ((what & 7) == 7) {
            break; /* maps are answered later */
        }
        answer_maps(64);
        break;
    case 201 ... 235:
        answer_maps(what & 7);
        break;
    case 236 ... 243:
        stop_queue(&b);
        start_queue(&b, b.avail_idx);
        break;
    case 244 ... 249:
        stop_queue(&b);
        begin_queue();
        break;
    default:
        hang_up();
        connect_anew();
        begin_queue();
    }
    device_serve_pending(&device);
    pump_backend(b.r.backend);
    look_at_answers();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    input bytes = {data, data + size};
    in = &bytes;
    if (!is_ready) {
        struct rlimit most = {1 << 20, 1 << 20};
        /* No file may fill the host's memory. */
        signal(SIGXFSZ, SIG_IGN);
        files_open();
        host_new();
        atexit(host_end);
        bare_queue_init(&b);
        setrlimit(RLIMIT_FSIZE, &most);
        g_log_set_default_handler(say_nothing, NULL);
        umask(0);
        is_ready = true;
    }
    host_fill();
    held before = held_now();
    uint8_t setup = take(in);
    struct options options = {.window = 16 * PAGE, .request_queues = 1};
    struct fs_config config = {.cache = setup >> 2 & 1,
                               .read_only = (setup & 0x18) == 0x18,
                               .xattr = true,
                               .announce_submounts = true,
                               .use_handles = (setup & 0x60) == 0x60,
                               .max_descriptors = setup & 0x80 ? 6 : 1000};
    int cwd = opened(".", O_PATH | O_DIRECTORY), proc = opened("/proc/self/fd", O_PATH | O_DIRECTORY);
    CHECK(fchdir(proc) == 0);
    EQ(device_init(&device, &options, &error), 0);
    device.window.for_qemu = device.window.never_replaces = (setup & 3) == 3; /* the library's own checks are not the target */
    EQ(fs_open(&device.fs, &config, opened(shared, O_RDONLY | O_DIRECTORY), proc), 0);
    memset(&b.r, 0, sizeof(b.r));
    b.r.backend = device.backend;
    connect_anew();
    begin_queue();
    if (take(in) < 250) {
        mount_and_look();
    }
    for (int steps = 0; steps < 100 && !is_over(in); steps++) {
        step();
    }
    hang_up();
    device_close(&device);
    CHECK(fchdir(cwd) == 0);
    close(cwd);
    nothing_is_left(before);
    host_is_whole();
    return 0;
}
