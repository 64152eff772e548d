/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_H
#define VHUSHMEM_PROBE_H

/**
 * @file
 * The parts of vhushmem-probe. One thread runs a GMainLoop; a second one, the screen, writes to
 * standard output.
 *
 *   options    probe-options.c, probe-help.c, probe-number.c
 *   output     probe-screen.c (the writer), probe-record.c (one line), probe-view.c (the live view)
 *   terminal   probe-edit.c and probe-complete.c (a person's line), probe-suspend.c (Ctrl-Z)
 *   input      probe-input.c (lines), probe-commands.c (the table), probe-memory.c, probe-script.c
 *   driver     probe-driver.c (memory and rings), probe-driver-commands.c, probe-push.c,
 *              probe-rings.c, probe-dialogue.c, probe-dialogue-fs.c
 *   sides      probe-connect.c (a front-end), probe-backend.c and probe-chains.c (a device),
 *              probe-proxy.c (in between), probe-replay.c
 *   wire       probe-socket.c, probe-relay.c, probe-descriptors.c, probe-decode.c, probe-names.c,
 *              probe-filter.c, probe-follow.c, probe-traffic.c, probe-capture.c
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

#include "probe-output.h"

/** Exit statuses. */
enum {
    STATUS_DONE = 0,
    STATUS_UNEXPECTED = 1, /**< an expectation failed, or standard output could not be written */
    STATUS_USAGE = 2,
    STATUS_LOST = 3,    /**< there was no connection, or it ended before it was asked to */
    STATUS_NO_SHMEM = 4 /**< the device has no shared memory regions */
};

/** What the program was asked to be. */
enum probe_mode { MODE_CONNECT = 1, MODE_PROXY = 2, MODE_BACKEND = 4, MODE_REPLAY = 8 };

/** What was seen since the beginning. */
struct probe_counters {
    uint64_t maps;
    uint64_t unmaps;
    uint64_t refused; /**< requests of any kind */
    uint64_t resets;
    uint64_t total_mapped_bytes; /**< asked for in maps that were served */
    uint64_t read_bytes;         /**< by the command */
    uint64_t written_bytes;
};

/** Commands, as they come in. */
struct probe_input {
    GString *bytes; /**< what came and is no command yet */
    guint watch;    /**< on standard input; 0: none */
    bool skipping;  /**< in a line that is too long, until it ends */
    bool ended;
    bool is_person; /**< lines come from the editor of a terminal */
    GMutex lock;    /**< of what the editor has handed over */
    GString *typed;
    bool typed_end;
};

/** The live view shows the last requests. */
#define PROBE_LAST_REQUESTS 5

/** The live view of a terminal. */
struct probe_view {
    guint timer; /**< 0: there is no view */
    unsigned rows;
    unsigned columns;
    unsigned region_rows;
    char *last[PROBE_LAST_REQUESTS]; /**< a ring */
    unsigned next;                   /**< the oldest of it */
    gint64 measured_at;
    uint64_t measured_total; /**< requests, at that time */
    double rate;             /**< requests a second */
};

/** What a script waits for. */
struct probe_wait {
    enum { WAIT_NOTHING, WAIT_READY, WAIT_MAPS, WAIT_UNMAPS, WAIT_EVENT, WAIT_TIME } kind;
    uint64_t count;
    char *event;
    guint timer;
};

struct command;
struct driver;
struct traffic;
struct capture;

struct probe {
    GMainLoop *loop;
    enum probe_mode mode;
    vhushmem_frontend *frontend;
    vhushmem_backend *backend;
    /* the front-end's, which outlives the connection; or the one that the proxy follows */
    vhushmem_device *device;
    bool json;
    bool zero_holes; /**< what is not mapped can be read */
    unsigned shmem_bit;
    unsigned device_id; /**< of virtio, for the names of features; 0: not known */
    bool was_ready;
    bool handshake_failed;
    bool channel_lost;
    bool lost;
    unsigned connections; /**< that a proxy has made */
    bool loss_expected;   /**< a script waited for it, or --until-disconnect */
    bool no_shmem;
    bool was_driven; /**< queues were started: a device without regions has a use */
    bool stays;      /**< the end of standard input does not end the program */
    int vm;          /**< with --kvm; else -1 */
    vhushmem_kvm *kvm;
    const struct command *busy; /**< a command whose answer comes later; those behind it wait */
    bool in_command;            /**< inside the call that began it */
    bool quitting;
    bool last_failed;       /**< the last command was answered with an error, */
    char *last_error;       /**< which was this */
    GByteArray *last_bytes; /**< what the last read, push or config brought */
    int status;             /**< exit status */
    struct probe_counters counters;
    struct probe_input input;
    struct probe_view view;
    struct probe_wait wait;
    GHashTable *events; /**< name -> how many came that no `wait event` has taken */
    struct driver *driver;
    struct traffic *traffic;
    struct capture *capture;
    /* the other end of the front-end's socket, where its messages pass through; -1: they do not */
    int front;
    const char *path;
    const struct probe_options *options;
};

/* ---- probe-options.c, probe-help.c ---- */

struct probe_options {
    enum probe_mode mode;
    bool has_subcommand; /**< without one, what was there before the subcommands is as it was */
    char *socket;
    char *connect, *listen;
    gboolean server;
    char *strategy;
    char *holes;
    char *shmem_bit;
    char **regions;
    gboolean kvm;
    gboolean json;
    gboolean dump_wire;
    gboolean version;
    gboolean dax;
    gboolean for_qemu;
    gboolean summary;
    gboolean until_disconnect;
    double seconds; /**< --for; 0: not given */
    char *device;
    char *queues;
    char *config_size;
    char *features;
    char *record;
    char *capture; /**< the file of replay */
    char **only, **except;
};

/** @returns -1: go on; else the exit status: help was printed, or what is wrong. */
int probe_parse_options(struct probe_options *options, int argc, char **argv);
void probe_free_options(struct probe_options *options);
/**
 * Make the front-end that the options ask for. @returns 0, or the exit status, and the reason has
 * been printed.
 */
int probe_make_frontend(struct probe *probe, const struct probe_options *options);
/** Print "vhushmem-probe: ..." on standard error. @returns STATUS_USAGE. */
int probe_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
/** ID:SIZE. @returns false: it is neither. */
bool probe_parse_region(const char *option, uint64_t *shmid, uint64_t *size);
/**
 * The page of `vhushmem-probe help TOPIC` (NULL: the one screen of --help). @returns NULL: there is
 * no such topic.
 */
const char *probe_help(const char *topic);
/** "connect proxy ...": the topics, for a sentence. */
const char *probe_help_topics(void);

/* ---- probe-number.c ---- */

/**
 * A decimal number, or a hexadecimal one after 0x: digits only. @returns false: it is no number, or
 * larger than max.
 */
bool probe_parse_number(const char *text, uint64_t max, uint64_t *value);
/** The same, or a decimal number with a unit: 4K, 16M, 1GiB, 2TB (each a power of 1024). */
bool probe_parse_size(const char *text, uint64_t max, uint64_t *value);
/** Seconds: 5, 0.25. */
bool probe_parse_seconds(const char *text, double *seconds);
/** Bytes as people write them: 16 MiB; 0x5e6 where no unit fits. @returns a string (g_free). */
char *probe_size_text(uint64_t bytes);
/** Two hex digits a byte. @returns the bytes (g_free), or NULL. */
uint8_t *probe_parse_hex(const char *hex, uint64_t *len);

/* ---- probe-edit.c: a line that a person types ---- */

/**
 * Begin, if both ends are a terminal and libedit was there when this was built. @returns whether
 * lines come from there.
 */
bool edit_begin(struct probe *probe);
/**
 * Before and after something is written: a line takes the place of what is being typed, which comes
 * back behind it.
 */
void edit_hide(bool line);
void edit_show(bool line);
/** Give the terminal to the shell, as it was; and take it again. */
void edit_pause(void);
void edit_resume(void);
/** Leave the terminal as it was. */
void edit_end(void);

/* ---- probe-suspend.c: Ctrl-Z ---- */

/** From now on, if standard output is a terminal, the shell finds it as it was. */
void suspend_begin(struct probe *probe);

/* ---- probe-complete.c: what may follow ---- */

/**
 * What the last word of a line may be, by what stands there of it; safe in the editor's thread.
 *
 * @param begun_len  receives how many bytes of each are in the line already.
 * @returns words (g_ptr_array_unref), sorted.
 */
GPtrArray *complete_line(struct probe *probe, const char *line, size_t len, size_t *begun_len);
/**
 * The regions are those of this device from now on; or, one by one, of the device that is played.
 */
void complete_note_regions(vhushmem_device *device);
void complete_note_region(uint8_t shmid);

/* ---- probe-guest.c: what a guest would see ---- */

/** Make a guest without processors. @returns a sentence that says why not (g_free), or NULL. */
char *probe_kvm_open(struct probe *probe);
/** Where the regions are in a BAR, and, with --kvm, put them there in the guest. */
void probe_place(struct probe *probe, struct record *record);
void probe_kvm_close(struct probe *probe);

/* ---- probe-view.c: the live view ---- */

/** Begin to draw, if standard output is a terminal that is large enough. */
void probe_view_begin(struct probe *probe);
/** Show a request among the last ones. @returns false: there is no view, so it is to be printed. */
bool probe_view_takes(struct probe *probe, const vhushmem_event *event);
/**
 * Draw now. Before the number of regions changes what can be seen of it: what was printed below
 * goes then.
 */
void probe_view_refresh(struct probe *probe);
/** Leave the terminal as it was until the view is drawn the next time. */
void probe_view_pause(struct probe *probe);
/** Leave the terminal as it was. */
void probe_view_end(struct probe *probe);

/* ---- probe-input.c: standard input, line by line ---- */

/** The most bytes of one read or write. */
#define PROBE_MAX_LEN (UINT64_C(1) << 20)
/** A command is at most this long: a write of PROBE_MAX_LEN bytes, and room for its other words. */
#define PROBE_MAX_LINE (2 * PROBE_MAX_LEN + 256)

void probe_input_begin(struct probe *probe);
/** From the editor's thread: a line with its newline, or (NULL) the end. */
void probe_input_typed(struct probe *probe, const char *line);
/** Take up the commands that waited, soon. */
void probe_input_resume(struct probe *probe);
/**
 * End the program if there is nothing more to come from standard input and the handshake has had
 * its outcome.
 */
void probe_input_quit_if_done(struct probe *probe);
void probe_input_free(struct probe *probe);

/* ---- probe-commands.c ---- */

/** The most words of a command, its name among them. */
#define PROBE_MAX_WORDS 16

struct command {
    const char *name;
    const char *usage;
    const char *purpose;
    unsigned min_words, max_words;
    unsigned modes;
    enum {
        NEEDS_NOTHING, /**< answered at any time */
        NEEDS_READY,   /**< waits for READY, and may be asked when the connection is over */
        NEEDS_PEER     /**< waits for READY, and needs the connection */
    } needs;
    /** Puts what was found into the answer, or returns a sentence that says why not (g_free). */
    char *(*run)(struct probe *probe, char **words, struct record *answer);
    /** Instead: begins what is answered later, by probe_finish; or returns a sentence. */
    char *(*begin)(struct probe *probe, char **words);
};

extern const struct command memory_commands[], script_commands[], driver_commands[],
    dialogue_commands[], backend_commands[], filter_commands[];

/** The next command of this mode, for completion. @returns NULL at the end. `at` begins as 0. */
const struct command *probe_next_command(enum probe_mode mode, unsigned *at);
/** Run one command (its line without the newline, any bytes) and answer it, now or later. */
void probe_run_command(struct probe *probe, const char *line, size_t len);
/** Whether the command in this line waits for READY. */
bool probe_must_wait(struct probe *probe, const char *line, size_t len);
void probe_answer_error(struct probe *probe, const char *command, const char *sentence);
/** Begin the answer of the command that is under way; fields follow, then probe_answer_end. */
void probe_answer_begin(struct probe *probe, struct record *answer);
void probe_answer_end(struct probe *probe, struct record *answer);
/** End the command that is under way: error NULL (done), or a sentence, which is freed. */
void probe_finish(struct probe *probe, char *error);
/** The first status that is not 0 counts. */
void probe_set_status(struct probe *probe, int status);
/** Whether the other side is there, after the handshake. */
bool probe_has_peer(const struct probe *probe);
/**
 * What a call of the library has said. Frees the error, which comes by its address: the call may be
 * an argument of this one, and C evaluates arguments in any order.
 *
 * @returns a sentence (g_free), or NULL.
 */
char *probe_outcome(int rc, GError **error);
void probe_keep_bytes(struct probe *probe, const void *bytes, size_t len);

/* ---- probe-memory.c ---- */

struct range {
    vhushmem_region *region;
    uint64_t offset;
    uint64_t len;
};

char *probe_find_range(struct probe *probe, char **words, uint64_t len, bool write,
                       struct range *range);
/**
 * Copy by way of the kernel: a file that was truncated under its mapping makes this fail, and
 * raises no SIGBUS.
 */
char *probe_copy_range(const struct range *range, uint8_t *bytes, bool write);

/* ---- probe-script.c ---- */

/** Something happened: who waits for it goes on. */
void probe_note_event(struct probe *probe, const char *name);
void probe_script_free(struct probe *probe);

/* ---- probe-connect.c: the front-end's side ---- */

/** Begin the handshake. */
void probe_start(struct probe *probe);
void probe_connect_run(struct probe *probe, const struct probe_options *options);
/** Count a map or unmap, and show it. */
void probe_tell_mapping(struct probe *probe, const vhushmem_event *event);
/** No connection came to be. */
void probe_fail_handshake(struct probe *probe, int32_t result, const char *message);
void probe_lose(struct probe *probe, const char *message);

#endif
