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

/** The exit status of the program. */
enum {
    STATUS_DONE = 0,
    STATUS_UNEXPECTED = 1, /**< an expectation failed, or standard output could not be written */
    STATUS_USAGE = 2,
    STATUS_LOST = 3,    /**< there was no connection, or it ended before the user asked for that */
    STATUS_NO_SHMEM = 4 /**< the device has no shared memory regions */
};

/** The subcommand. */
enum probe_mode { MODE_CONNECT = 1, MODE_PROXY = 2, MODE_BACKEND = 4, MODE_REPLAY = 8 };

/** Counters since the program began. */
struct probe_counters {
    uint64_t maps;
    uint64_t unmaps;
    uint64_t refused; /**< requests of any kind */
    uint64_t resets;
    uint64_t total_mapped_bytes; /**< the bytes of all maps that were served */
    uint64_t read_bytes;         /**< the bytes that the command `read` has read */
    uint64_t written_bytes;
};

/** Commands from standard input. */
struct probe_input {
    GString *bytes; /**< bytes that are not a whole command yet */
    guint watch;    /**< on standard input; 0: it is not watched */
    bool skipping;  /**< inside a line that is too long, until its end */
    bool ended;
    bool is_person; /**< lines come from the editor of a terminal */
    GMutex lock;    /**< guards the lines that the editor has handed over */
    GString *typed;
    bool typed_end;
};

/** The live view shows so many requests. */
#define PROBE_LAST_REQUESTS 5

/** The live view of a terminal. */
struct probe_view {
    guint timer; /**< 0: there is no view */
    unsigned rows;
    unsigned columns;
    unsigned region_rows;
    char *last[PROBE_LAST_REQUESTS]; /**< a ring buffer */
    unsigned next;                   /**< the index of the oldest one */
    gint64 measured_at;
    uint64_t measured_total; /**< the number of requests at that time */
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
    /* the front-end's device, which outlives the connection, or the proxy's picture of a device */
    vhushmem_device *device;
    bool json;
    bool zero_holes; /**< a hole can be read */
    unsigned shmem_bit;
    unsigned device_id; /**< the virtio device id, for names of features; 0: not known */
    bool was_ready;
    bool handshake_failed;
    bool channel_lost;
    bool lost;
    unsigned connections; /**< that the proxy has made */
    bool loss_expected;   /**< a script waited for the loss, or --until-disconnect was given */
    bool no_shmem;
    bool was_driven; /**< queues were started: also a device without regions has a use */
    bool stays;      /**< the end of standard input does not end the program */
    int vm;          /**< the VM with --kvm; else -1 */
    vhushmem_kvm *kvm;
    const struct command *busy; /**< a command whose answer comes later; commands after it wait */
    bool in_command;            /**< inside the call that began the command */
    bool quitting;
    bool last_failed;       /**< the last command ended with an error: */
    char *last_error;       /**< this one */
    GByteArray *last_bytes; /**< the bytes that the last read, push or config returned */
    int status;             /**< the exit status */
    struct probe_counters counters;
    struct probe_input input;
    struct probe_view view;
    struct probe_wait wait;
    GHashTable *events; /**< name -> the number of events that no `wait event` has taken */
    struct driver *driver;
    struct traffic *traffic;
    struct capture *capture;
    /* if messages are relayed: the other end of the front-end's socket; else -1 */
    int front;
    const char *path;
    const struct probe_options *options;
};

#include "probe-options.h"

/* ---- probe-edit.c: a line that a person types ---- */

/**
 * Begin, if both ends are a terminal and the program was built with libedit. @returns whether lines
 * come from the editor.
 */
bool edit_begin(struct probe *probe);
/**
 * Call these before and after a write to the terminal. `line`: it is a whole line, which takes the
 * place of the typed text. The typed text comes back after it.
 */
void edit_hide(bool line);
void edit_show(bool line);
/** Give the terminal to the shell as it was, and take it again. */
void edit_pause(void);
void edit_resume(void);
/** Give the terminal back as it was. */
void edit_end(void);

/* ---- probe-suspend.c: Ctrl-Z ---- */

/** From now on the shell finds the terminal as it was, if standard output is one. */
void suspend_begin(struct probe *probe);

/* ---- probe-complete.c: completion of a line ---- */

/**
 * Find the words that can complete the last word of a line. The editor's thread may call it.
 *
 * @param begun_len  receives how many bytes of each word the line has already.
 * @returns words (g_ptr_array_unref), sorted.
 */
GPtrArray *complete_line(struct probe *probe, const char *line, size_t len, size_t *begun_len);
/**
 * Complete the ids of this device's regions from now on, or of one region after the other of the
 * device that is played.
 */
void complete_note_regions(vhushmem_device *device);
void complete_note_region(uint8_t shmid);

/* ---- probe-guest.c: the guest's view ---- */

/** Make a guest without processors. @returns NULL, or a sentence with the reason (g_free). */
char *probe_kvm_open(struct probe *probe);
/** Record where the regions are in a BAR. With --kvm, put them there in the guest. */
void probe_place(struct probe *probe, struct record *record);
void probe_kvm_close(struct probe *probe);

/* ---- probe-view.c: the live view ---- */

/** Begin to draw, if standard output is a terminal that is large enough. */
void probe_view_begin(struct probe *probe);
/** Show a request among the last ones. @returns false: there is no view, so print the request. */
bool probe_view_takes(struct probe *probe, const vhushmem_event *event);
/**
 * Draw now. Call it before the number of regions changes: lines that were printed below the view go
 * then.
 */
void probe_view_refresh(struct probe *probe);
/** Give the terminal back as it was, until the view is drawn the next time. */
void probe_view_pause(struct probe *probe);
/** Give the terminal back as it was. */
void probe_view_end(struct probe *probe);

/* ---- probe-input.c: standard input, line by line ---- */

/** The most bytes of one read or write. */
#define PROBE_MAX_LEN (UINT64_C(1) << 20)
/** The longest command: a write of PROBE_MAX_LEN bytes, and room for its other words. */
#define PROBE_MAX_LINE (2 * PROBE_MAX_LEN + 256)

void probe_input_begin(struct probe *probe);
/** Called in the editor's thread: a line with its newline, or (NULL) the end. */
void probe_input_typed(struct probe *probe, const char *line);
/** Run the commands that waited, soon. */
void probe_input_resume(struct probe *probe);
/**
 * End the program if standard input has ended and the handshake is complete or has failed.
 */
void probe_input_quit_if_done(struct probe *probe);
void probe_input_free(struct probe *probe);

/* ---- probe-commands.c ---- */

/** The most words of a command, with its name. */
#define PROBE_MAX_WORDS 16

struct command {
    const char *name;
    const char *usage;
    const char *purpose;
    unsigned min_words, max_words;
    unsigned modes;
    enum {
        NEEDS_NOTHING, /**< runs at any time */
        NEEDS_READY,   /**< waits for READY, and also runs when the connection is over */
        NEEDS_PEER     /**< waits for READY, and needs the connection */
    } needs;
    /**
     * Puts its results into the answer, or returns a sentence with the reason of a failure
     * (g_free).
     */
    char *(*run)(struct probe *probe, char **words, struct record *answer);
    /** For a command whose answer comes later by probe_finish: begins it, or returns a sentence. */
    char *(*begin)(struct probe *probe, char **words);
};

extern const struct command memory_commands[], script_commands[], driver_commands[],
    dialogue_commands[], backend_commands[], filter_commands[];

/** The next command of this mode, for completion. @returns NULL at the end. `at` begins as 0. */
const struct command *probe_next_command(enum probe_mode mode, unsigned *at);
/** Run one command and answer it, now or later. The line has no newline and may have any bytes. */
void probe_run_command(struct probe *probe, const char *line, size_t len);
/** Whether the command in this line waits for READY. */
bool probe_must_wait(struct probe *probe, const char *line, size_t len);
void probe_answer_error(struct probe *probe, const char *command, const char *sentence);
/** Begin the answer of the running command. Fields follow, then probe_answer_end. */
void probe_answer_begin(struct probe *probe, struct record *answer);
void probe_answer_end(struct probe *probe, struct record *answer);
/** End the running command: error NULL (done), or a sentence, which is freed. */
void probe_finish(struct probe *probe, char *error);
/** Set the exit status, unless it is set already. */
void probe_set_status(struct probe *probe, int status);
/** Whether the other side is connected and the handshake is complete. */
bool probe_has_peer(const struct probe *probe);
/**
 * The outcome of a call of the library. It frees the error. The parameter is the address of the
 * error, because the call may be an argument of this one, and C evaluates arguments in any order.
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
 * Copy through the kernel. If a file was truncated under its mapping, this fails and raises no
 * SIGBUS.
 */
char *probe_copy_range(const struct range *range, uint8_t *bytes, bool write);

/* ---- probe-script.c ---- */

/** An event has come: a `wait` for it goes on. */
void probe_note_event(struct probe *probe, const char *name);
void probe_script_free(struct probe *probe);

/* ---- probe-connect.c: the front-end's side ---- */

/** Begin the handshake. */
void probe_start(struct probe *probe);
void probe_connect_run(struct probe *probe, const struct probe_options *options);
/** Count a map or unmap, and show it. */
void probe_tell_mapping(struct probe *probe, const vhushmem_event *event);
/** The handshake failed: there is no connection. */
void probe_fail_handshake(struct probe *probe, int32_t result, const char *message);
void probe_lose(struct probe *probe, const char *message);

#endif
