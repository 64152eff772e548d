/* SPDX-License-Identifier: BSD-3-Clause */

/** --help, which fits one screen, and what `help TOPIC` has of the rest. */

#include "probe.h"

#include <string.h>

#include "probe-wire.h"

static const char overview[] = "vhushmem-probe: look at vhost-user devices, play them, play their VMM\n"
                               "\n"
                               "  vhushmem-probe connect SOCKET             play a VMM (or --socket PATH alone)\n"
                               "  vhushmem-probe backend SOCKET             play a device\n"
                               "  vhushmem-probe proxy --listen A --connect B      show what passes in between\n"
                               "  vhushmem-probe record FILE --listen A --connect B      keep what passes\n"
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
                               "Exit status: 0 as asked, 1 not as expected, 2 usage, 3 connection lost,\n"
                               "             4 the device has no shared memory\n";

static const char connect_page[] = "vhushmem-probe connect SOCKET [OPTION...]: play a VMM\n"
                                   "\n"
                                   "  --socket PATH        the back-end's socket; @NAME: an abstract one\n"
                                   "  --server             listen at PATH instead of connecting to it\n"
                                   "  --region ID:SIZE     a region of a back-end that cannot tell its own\n"
                                   "  --strategy window|slots    how mappings reach a guest\n"
                                   "  --holes fault|zero   what is where nothing is mapped\n"
                                   "  --dax                regions as virtiofs DAX needs them: files may end within a\n"
                                   "                       mapping, and a mapping may take the place of one like it\n"
                                   "  --shmem-bit 20|21|22 the protocol feature bit that means SHMEM\n"
                                   "  --kvm                place the regions in a KVM guest, as a VMM would\n"
                                   "  --queues N           virtqueues that `start` may start (1; --device fs: 2)\n"
                                   "  --device NAME        fs, blk, net, gpu, ... or a number: names of its features\n"
                                   "  --dump-wire          print each message, decoded (see help proxy for filters)\n"
                                   "  --record FILE        keep each message (see help record)\n"
                                   "  --json, --for SECONDS, --until-disconnect\n"
                                   "\n"
                                   "It ends at the end of standard input, at `quit`, or as --for and\n"
                                   "--until-disconnect say: then the end of standard input does not end it.\n"
                                   "`vhushmem-probe --socket PATH` is the same, as it was before there were subcommands; its\n"
                                   "exit statuses are those of then (see help exit).\n";

static const char proxy_page[] = "vhushmem-probe proxy --listen A --connect B [OPTION...]: stand in between\n"
                                 "\n"
                                 "The VMM connects to A, the device listens at B; both are left as they are. Each\n"
                                 "message of both sockets and of the back-end channel is printed, with the kinds of\n"
                                 "its descriptors, the time since the last one, and round-trip times. Mappings show\n"
                                 "in the live view of a terminal, and `read` and `status` look at them. There is one\n"
                                 "VMM at a time: the next one waits until this one has left.\n"
                                 "\n"
                                 "  --only NAME[,NAME]   these requests alone; * and ? stand for any characters, and\n"
                                 "                       main and channel for a socket: --only 'SHMEM_*,SET_MEM_TABLE'\n"
                                 "                       (help requests lists them)\n"
                                 "  --except NAME[,NAME] not these\n"
                                 "  --summary            at the end: counts, and round-trip times (p50, p99, max)\n"
                                 "  --record FILE        keep what passes in a file; add --dump-wire to print it too\n"
                                 "  --until-disconnect   end when the first connection ends; else another may come\n";

static const char record_page[] = "vhushmem-probe record FILE --listen A --connect B: keep what passes\n"
                                  "\n"
                                  "As proxy --record FILE. FILE is pcapng, which Wireshark opens with the dissector\n"
                                  "vhost-user.lua that is installed beside this program (share/vhushmem/wireshark):\n"
                                  "  wireshark -X lua_script:vhost-user.lua FILE\n"
                                  "--dump-wire, --only, --except, --summary and --until-disconnect are as for proxy.\n"
                                  "The option --record FILE of connect does the same for a VMM that is played.\n";

static const char replay_page[] = "vhushmem-probe replay FILE --connect B: play the recorded VMM to the device at B\n"
                                  "vhushmem-probe replay FILE --listen A:  play the recorded device to a VMM\n"
                                  "\n"
                                  "Messages are sent in their order, and what the other side says is compared with\n"
                                  "what was said then; addresses of another process are left out. Descriptors are\n"
                                  "made anew by their kinds: what stood in memory and in files is not in a capture.\n"
                                  "The exit status is 1 if something differs.\n";

static const char backend_page[] = "vhushmem-probe backend SOCKET [OPTION...]: play a device\n"
                                   "\n"
                                   "  --listen PATH        where it listens (or SOCKET)\n"
                                   "  --connect PATH       connect to a front-end that listens\n"
                                   "  --region ID:SIZE     a shared memory region: --region 1:16M\n"
                                   "  --queues N           virtqueues (1)\n"
                                   "  --config-size SIZE   bytes of the configuration space (none)\n"
                                   "  --features NUMBER    virtio features to offer besides VERSION_1\n"
                                   "  --for-qemu           do nothing that ends QEMU 11.1\n"
                                   "  --shmem-bit 20|21|22, --json, --for SECONDS, --until-disconnect\n"
                                   "\n"
                                   "Commands:\n"
                                   "  map SHMID OFFSET LEN FILE|memfd [FILE-OFFSET] [rw]\n"
                                   "  unmap SHMID OFFSET LEN\n"
                                   "  give CHAIN [HEX]         give a request back that an event has told\n"
                                   "  config-changed, wait, sleep, expect, help, quit\n";

static const char commands_page[] = "Commands of connect, one a line; numbers are decimal, hex after 0x, or have a unit\n"
                                    "(4K, 16M, 1GiB). A line that begins with # is a comment.\n"
                                    "\n"
                                    "  read SHMID OFFSET LEN [--raw]    show bytes of a region; --raw: as they are\n"
                                    "  touch SHMID OFFSET LEN [--raw]   the same as a VMM's thread would: what a file\n"
                                    "                                   has lost becomes zeros\n"
                                    "  write SHMID OFFSET HEX           change bytes of a region\n"
                                    "  status                           show regions, mappings and counters\n"
                                    "  reset                            reset the device\n"
                                    "  help [COMMAND], quit\n"
                                    "\n"
                                    "proxy has read, status, help, quit, and\n"
                                    "  only [NAME]..., except [NAME]...  which messages are shown from now on (no name: all)\n"
                                    "See also help driver and help scripts.\n"
                                    "\n"
                                    "On a terminal a line is edited as in a shell: arrows, history, and Tab, which\n"
                                    "completes commands, region ids, files, and names of requests, features and events.\n";

static const char driver_page[] = "Commands of connect that play a driver\n"
                                  "\n"
                                  "  memory SIZE              the guest's memory (16M)\n"
                                  "  features [NAME|BIT]...   accept these virtio features (VERSION_1), or show them\n"
                                  "  start [QUEUES [SIZE]]    start the queues; SIZE entries each (64)\n"
                                  "  push QUEUE [out HEX|@FILE]... [in LEN]... [--later]\n"
                                  "                           make a request, tell the device, show what comes back;\n"
                                  "                           --later: do not tell, and show it as an event\n"
                                  "  kick QUEUE               tell the device\n"
                                  "  stop                     stop the queues\n"
                                  "  config read OFFSET LEN, config write OFFSET HEX\n"
                                  "  device-status [VALUE]    the virtio device status\n"
                                  "  inflight                 have the device track requests in flight\n"
                                  "\n"
                                  "Ready-made dialogues, which start the queues if need be:\n"
                                  "  virtio-fs FILE           INIT, LOOKUP, OPEN, SETUPMAPPING, and a look at the\n"
                                  "                           file through the window (--device fs, or --queues 2)\n"
                                  "  virtio-blk [SECTOR]      read a sector\n"
                                  "  virtio-rng [LEN]         get random bytes\n";

static const char scripts_page[] = "Scripts: commands on standard input wait for the handshake, and for each other.\n"
                                   "\n"
                                   "  wait ready [SECONDS]\n"
                                   "  wait map N, wait unmap N [SECONDS]   so many since the beginning\n"
                                   "  wait event NAME [SECONDS]            one that no earlier wait has seen: reset,\n"
                                   "                                       disconnect, used, config_change, ...\n"
                                   "  sleep SECONDS\n"
                                   "  expect VALUE =|!=|<|<=|>|>= NUMBER   VALUE: maps unmaps refused resets mappings\n"
                                   "                                       mapped_bytes total_mapped_bytes regions\n"
                                   "                                       ready channel\n"
                                   "  expect hex HEX           the last command's bytes begin with these\n"
                                   "  expect ok                the last command was done\n"
                                   "  expect error TEXT        it failed, and its error has this in it\n"
                                   "\n"
                                   "A wait lasts 30 seconds at most if nothing else is said. What is not as expected\n"
                                   "makes the exit status 1; the script goes on. See help exit.\n";

static const char json_page[] = "--json prints one object a line, the first key of which is \"event\". Each is described\n"
                                "in docs/probe-json.md, and in the JSON Schema docs/probe-json.schema.json.\n"
                                "\n"
                                "Standard output that nobody reads stops nothing: 8 MiB wait, what comes then is\n"
                                "dropped, and {\"event\":\"dropped\",\"lines\":N} says how much.\n";

static const char exit_page[] = "Exit status\n"
                                "\n"
                                "  0  as asked: quit, the end of standard input, --for, or --until-disconnect\n"
                                "  1  an expectation failed, a wait took too long, a replay differs, or standard\n"
                                "     output could not be written\n"
                                "  2  an option is wrong\n"
                                "  3  there was no connection, or it ended before it was asked to (a script that\n"
                                "     waits for `event disconnect` has asked for it)\n"
                                "  4  the device has no shared memory regions, and its queues were not started either\n"
                                "The first of 1, 3 and 4 that a command ran into counts.\n"
                                "\n"
                                "Without a subcommand (vhushmem-probe --socket PATH), as before there were any: 1 without\n"
                                "a handshake, and 0 at quit or the end of input though the connection was lost or there\n"
                                "is no shared memory; 1, 3 and 4 where a `wait` or an `expect` asked for it.\n";

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

/** The names of all requests, which the library knows. */
static const char *requests_page(void)
{
    static GString *page;
    bool on_channel = false, was_on_channel = false;
    uint32_t id = 0;

    if (page != NULL) {
        return page->str;
    }
    page = g_string_new("Requests, as --only and --except name them (main and channel stand for all of a socket).\n\nmain:\n");
    for (const char *name; (name = next_request_name(&on_channel, &id)) != NULL;) {
        if (on_channel && !was_on_channel) {
            g_string_append(page, "\nchannel:\n");
            was_on_channel = true;
        }
        g_string_append_printf(page, "  %2u  %s\n", id - 1, name);
    }
    return page->str;
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
    return NULL;
}
