/* SPDX-License-Identifier: BSD-3-Clause */

/** The text of --help, which fits one screen, and the pages of `help TOPIC`. */

#include "probe.h"

#include <string.h>

#include "probe-wire.h"

static const char overview[] = "vhushmem-probe: look at vhost-user devices, play them, play their VMM\n"
                               "\n"
                               "  vhushmem-probe connect SOCKET             play a VMM (or only --socket PATH)\n"
                               "  vhushmem-probe backend SOCKET             play a device\n"
                               "  vhushmem-probe proxy --listen A --connect B      show their messages\n"
                               "  vhushmem-probe record FILE --listen A --connect B      record their messages\n"
                               "  vhushmem-probe replay FILE --connect B|--listen A      play one side again\n"
                               "\n"
                               "  --json             one JSON object a line      --version\n"
                               "  --for SECONDS      end after this time         --until-disconnect\n"
                               "  --server, --region ID:SIZE, --holes zero, --kvm, --dax    see help connect\n"
                               "\n"
                               "Commands on standard input, one a line; sizes are 4096, 0x1000, 4K, 16M:\n"
                               "  read SHMID OFFSET LEN     write SHMID OFFSET HEX     status     reset\n"
                               "  start     push QUEUE out HEX in LEN     virtio-fs FILE     quit     help\n"
                               "\n"
                               "More: vhushmem-probe help connect|proxy|record|replay|backend|commands|driver|\n"
                               "      scripts|requests|json|exit\n"
                               "Exit status: 0 done, 1 not as expected, 2 usage, 3 connection lost,\n"
                               "             4 the device has no shared memory\n";

static const char connect_page[] = "vhushmem-probe connect SOCKET [OPTION...]: play a VMM\n"
                                   "\n"
                                   "  --socket PATH        the back-end's socket; @NAME: an abstract one\n"
                                   "  --server             listen at PATH instead of connecting to it\n"
                                   "  --region ID:SIZE     a region, for a back-end that cannot report its own\n"
                                   "  --strategy window|slots    how mappings reach a guest\n"
                                   "  --holes fault|zero   what a guest finds where nothing is mapped\n"
                                   "  --dax                set regions up for virtiofs DAX: files may end within a\n"
                                   "                       mapping, and a mapping may replace a live one like it\n"
                                   "  --shmem-bit 20|21|22 the protocol feature bit that means SHMEM\n"
                                   "  --kvm                place the regions in a KVM guest, as a VMM would\n"
                                   "  --queues N           how many queues `start` may start (1; --device fs: 2)\n"
                                   "  --device NAME        fs, blk, net, gpu, ... or a number: for feature names\n"
                                   "  --dump-wire          print each message, decoded (see help proxy for filters)\n"
                                   "  --record FILE        record each message (see help record)\n"
                                   "  --json, --for SECONDS, --until-disconnect\n"
                                   "\n"
                                   "It ends at the end of standard input or at `quit`. With --for or --until-disconnect\n"
                                   "it ends as these say, and the end of standard input does not end it.\n"
                                   "`vhushmem-probe --socket PATH` does the same, with the exit statuses of the first\n"
                                   "versions (see help exit).\n";

static const char proxy_page[] = "vhushmem-probe proxy --listen A --connect B [OPTION...]: show messages\n"
                                 "\n"
                                 "The VMM connects to A, the device listens at B. Neither needs a change. The proxy\n"
                                 "prints each message of both sockets and of the back-end channel, with the kinds of\n"
                                 "its descriptors, the time since the last one, and round-trip times. A terminal's\n"
                                 "live view shows mappings, and `read` and `status` look at them. The proxy serves\n"
                                 "one VMM at a time. The next one waits until this one has left.\n"
                                 "\n"
                                 "  --only NAME[,NAME]   only these requests; * and ? match any characters, and\n"
                                 "                       main and channel name a socket: --only 'SHMEM_*,SET_MEM_TABLE'\n"
                                 "                       (help requests lists them)\n"
                                 "  --except NAME[,NAME] not these\n"
                                 "  --summary            at the end print counts and round-trip times (p50, p99, max)\n"
                                 "  --record FILE        record the messages; --dump-wire prints them too\n"
                                 "  --until-disconnect   end when the first connection ends; else serve the next\n";

static const char record_page[] = "vhushmem-probe record FILE --listen A --connect B: record messages\n"
                                  "\n"
                                  "The same as proxy --record FILE. FILE is pcapng. Wireshark opens it with the dissector\n"
                                  "vhost-user.lua that is installed with this program (share/vhushmem/wireshark):\n"
                                  "  wireshark -X lua_script:vhost-user.lua FILE\n"
                                  "--dump-wire, --only, --except, --summary and --until-disconnect work as in proxy.\n"
                                  "The option --record FILE of connect does the same while it plays a VMM.\n";

static const char replay_page[] = "vhushmem-probe replay FILE --connect B: play the recorded VMM to the device at B\n"
                                  "vhushmem-probe replay FILE --listen A:  play the recorded device to a VMM\n"
                                  "\n"
                                  "The program sends the messages in their order and compares the other side's messages\n"
                                  "with the recorded ones, except for addresses of another process. It makes new\n"
                                  "descriptors of the same kinds: a capture has no contents of memory and files.\n"
                                  "The exit status is 1 if something differs.\n";

static const char backend_page[] = "vhushmem-probe backend SOCKET [OPTION...]: play a device\n"
                                   "\n"
                                   "  --listen PATH        the socket at which it listens (or SOCKET)\n"
                                   "  --connect PATH       connect to a front-end that listens\n"
                                   "  --region ID:SIZE     a shared memory region: --region 1:16M\n"
                                   "  --queues N           how many virtqueues there are (1)\n"
                                   "  --config-size SIZE   size of the configuration space (none)\n"
                                   "  --features NUMBER    virtio features to offer besides VERSION_1\n"
                                   "  --for-qemu           avoid everything that ends QEMU 11.1\n"
                                   "  --shmem-bit 20|21|22, --json, --for SECONDS, --until-disconnect\n"
                                   "\n"
                                   "Commands:\n"
                                   "  map SHMID OFFSET LEN FILE|memfd [FILE-OFFSET] [rw]\n"
                                   "  unmap SHMID OFFSET LEN\n"
                                   "  give CHAIN [HEX]         give back a request that an event has reported\n"
                                   "  config-changed, wait, sleep, expect, help, quit\n";

static const char commands_page[] = "Commands of connect, one a line; numbers are decimal, hex after 0x, or have a unit\n"
                                    "(4K, 16M, 1GiB). A line that begins with # is a comment.\n"
                                    "\n"
                                    "  read SHMID OFFSET LEN [--raw]    show bytes of a region; --raw: print them unchanged\n"
                                    "  touch SHMID OFFSET LEN [--raw]   the same, as a VMM's thread would: pages that a\n"
                                    "                                   file has lost become zeros\n"
                                    "  write SHMID OFFSET HEX           change bytes of a region\n"
                                    "  status                           show regions, mappings and counters\n"
                                    "  reset                            reset the device\n"
                                    "  help [COMMAND], quit\n"
                                    "\n"
                                    "proxy has read, status, help, quit, and\n"
                                    "  only [NAME]..., except [NAME]...  which messages to show from now on (no name: all)\n"
                                    "See also help driver and help scripts.\n"
                                    "\n"
                                    "On a terminal you edit a line as in a shell: arrows, history, and Tab, which\n"
                                    "completes commands, region ids, files, and names of requests, features and events.\n";

static const char driver_page[] = "Commands of connect that play a driver\n"
                                  "\n"
                                  "  memory SIZE              the guest's memory (16M)\n"
                                  "  features [NAME|BIT]...   accept these virtio features (VERSION_1), or show them\n"
                                  "  start [QUEUES [SIZE]]    start the queues; SIZE entries each (64)\n"
                                  "  push QUEUE [out HEX|@FILE]... [in LEN]... [--later]\n"
                                  "                           make a request, tell the device, show the answer;\n"
                                  "                           --later: do not tell it, and show an event instead\n"
                                  "  kick QUEUE               tell the device\n"
                                  "  stop                     stop the queues\n"
                                  "  config read OFFSET LEN, config write OFFSET HEX\n"
                                  "  device-status [VALUE]    the virtio device status\n"
                                  "  inflight                 let the device track requests in flight\n"
                                  "\n"
                                  "Ready-made dialogues, which start the queues if they are stopped:\n"
                                  "  virtio-fs FILE           INIT, LOOKUP, OPEN, SETUPMAPPING, and read the\n"
                                  "                           file through the window (--device fs, or --queues 2)\n"
                                  "  virtio-blk [SECTOR]      read a sector\n"
                                  "  virtio-rng [LEN]         get random bytes\n";

static const char scripts_page[] = "Scripts: commands on standard input wait for the handshake, and for each other.\n"
                                   "\n"
                                   "  wait ready [SECONDS]\n"
                                   "  wait map N, wait unmap N [SECONDS]   until there were N since the beginning\n"
                                   "  wait event NAME [SECONDS]            an event that no earlier wait saw: reset,\n"
                                   "                                       disconnect, used, config_change, ...\n"
                                   "  sleep SECONDS\n"
                                   "  expect VALUE =|!=|<|<=|>|>= NUMBER   VALUE: maps unmaps refused resets mappings\n"
                                   "                                       mapped_bytes total_mapped_bytes regions\n"
                                   "                                       ready channel\n"
                                   "  expect hex HEX           the last command's bytes begin with these\n"
                                   "  expect ok                the last command was done\n"
                                   "  expect error TEXT        it failed, and its error contains TEXT\n"
                                   "\n"
                                   "Without SECONDS a wait lasts 30 seconds at most. If an expectation fails, the script\n"
                                   "goes on, and the exit status is 1. See help exit.\n";

static const char json_page[] = "--json prints one object a line. Its first key is \"event\". docs/probe-json.md and the\n"
                                "JSON Schema docs/probe-json.schema.json describe them.\n"
                                "\n"
                                "If nobody reads standard output, nothing stops: 8 MiB wait, the program drops later\n"
                                "lines, and {\"event\":\"dropped\",\"lines\":N} says how many.\n";

static const char exit_page[] = "Exit status\n"
                                "\n"
                                "  0  done: quit, the end of standard input, --for, or --until-disconnect\n"
                                "  1  an expectation failed, a wait took too long, a replay differs, or standard\n"
                                "     output could not be written\n"
                                "  2  an option is wrong\n"
                                "  3  there was no connection, or it ended too early (not if a script\n"
                                "     waits for `event disconnect`)\n"
                                "  4  the device has no shared memory regions, and its queues were not started either\n"
                                "If several of 1, 3 and 4 apply, the first that a command ran into counts.\n"
                                "\n"
                                "Without a subcommand (vhushmem-probe --socket PATH) the statuses are those of the first\n"
                                "versions: 1 without a handshake. 0 at quit or the end of input, even if the connection\n"
                                "was lost or there is no shared memory. 1, 3 or 4 if a `wait` or an `expect` asked for it.\n";

static const struct {
    const char *topic, *page;
} pages[] = {
    {"connect", connect_page}, {"proxy", proxy_page},       {"record", record_page}, {"replay", replay_page},
    {"backend", backend_page}, {"commands", commands_page}, {"driver", driver_page}, {"scripts", scripts_page},
    {"json", json_page},       {"exit", exit_page},
};

const char *probe_help_topics(void)
{
    return "connect, proxy, record, replay, backend, commands, driver, scripts, requests, json and exit";
}

/** The page with the names of all requests that the library knows. */
static const char *requests_page(void)
{
    static GString *page;
    bool on_channel = false, was_on_channel = false;
    uint32_t id = 0;

    if (page != NULL) {
        return page->str;
    }
    page = g_string_new("Requests for --only and --except (main and channel name all requests of a socket).\n\nmain:\n");
    for (const char *name; (name = next_request_name(&on_channel, &id)) != NULL;) {
        if (on_channel && !was_on_channel) {
            g_string_append(page, "\nchannel:\n");
            was_on_channel = true;
        }
        g_string_append_printf(page, "  %2u  %s\n", id - 1, name);
    }
    return page->str;
}

/** The page of a command of standard input. @returns NULL: there is no such command. */
static const char *command_page(const char *name)
{
    static const struct {
        enum probe_mode mode;
        const char *name;
    } modes[] = {{MODE_CONNECT, "connect"}, {MODE_PROXY, "proxy"}, {MODE_BACKEND, "backend"}};
    static GString *page;
    unsigned at = 0;

    for (const struct command *c; (c = probe_next_command(MODE_CONNECT | MODE_PROXY | MODE_BACKEND, &at)) != NULL;) {
        if (strcmp(c->name, name) != 0) {
            continue;
        }
        page = page != NULL ? g_string_truncate(page, 0) : g_string_new(NULL);
        g_string_append_printf(page, "%s\n  %s\n\nA command of", c->usage, c->purpose);
        for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
            if ((c->modes & modes[i].mode) != 0) {
                g_string_append_printf(page, " %s", modes[i].name);
            }
        }
        g_string_append(page, ", on standard input.\n");
        return page->str;
    }
    return NULL;
}

const char *probe_help(const char *topic)
{
    if (topic == NULL) {
        return overview;
    }
    if (strcmp(topic, "requests") == 0) {
        return requests_page();
    }
    for (size_t i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (strcmp(pages[i].topic, topic) == 0) {
            return pages[i].page;
        }
    }
    return command_page(topic);
}
