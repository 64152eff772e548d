/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A net device with a host behind it that answers ARP and pings for any address. Other packets come back with their MAC
 * addresses exchanged: device-net SOCKET [client].
 */
#include "device.h"

enum { RECEIVE = 0, SEND = 1, HEADER = 12, MOST = 65562, ETHERNET = 14 };
static const uint8_t config[12] = {0x52, 0x54,           0, 0, 0, 9, /* status: the link is up */ 1, 0, /* pairs */ 1,
                                   0,    /* MTU */ 0xdc, 5};
static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0x77};

static void answer_arp(uint8_t *arp)
{
    uint8_t asked[4];
    memcpy(asked, arp + 24, 4);
    arp[7] = 2;                    /* a reply */
    memcpy(arp + 18, arp + 8, 10); /* to the sender */
    memcpy(arp + 8, mac, 6);
    memcpy(arp + 14, asked, 4);
}

static void answer_ping(uint8_t *ip)
{
    uint8_t from[4], *icmp = ip + 4 * (ip[0] & 15);
    uint32_t sum = (uint32_t)icmp[2] << 8 | icmp[3];

    memcpy(from, ip + 12, 4);
    memcpy(ip + 12, ip + 16, 4);
    memcpy(ip + 16, from, 4);
    icmp[0] = 0; /* 8 less than a request has, so the checksum grows by 8 */
    sum += 0x0800;
    sum = (sum & 0xffff) + (sum >> 16);
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
}

static void answer(uint8_t *frame, size_t size)
{
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, mac, 6);
    if (size >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1) {
        answer_arp(frame + ETHERNET);
    } else if (size >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == 1) {
        answer_ping(frame + ETHERNET);
    }
}

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *sent)
{
    static uint8_t packet[MOST];
    vhushmem_chain *chain;
    size_t size;

    if (queue == RECEIVE) {
        return -1; /* it waits there for something to receive */
    }
    size = vhushmem_chain_read(sent, 0, packet, sizeof(packet));
    chain = vhushmem_backend_pop(device->backend, RECEIVE, NULL);
    if (chain == NULL) {
        return 0; /* lost, as on a cable */
    }
    if (size <= HEADER || vhushmem_chain_writable_size(chain) < size) {
        vhushmem_backend_put_back(device->backend, chain, NULL);
        return 0;
    }
    answer(packet + HEADER, size - HEADER);
    memset(packet, 0, HEADER);
    packet[10] = 1; /* one buffer */
    vhushmem_chain_write(chain, 0, packet, size);
    if (vhushmem_backend_push(device->backend, chain, (uint32_t)size, NULL) < 0) {
        vhushmem_chain_free(chain);
    }
    return 0;
}

static void served(struct device *device, unsigned queue)
{
    if (queue == SEND) {
        vhushmem_backend_notify(device->backend, RECEIVE, NULL);
    }
}

int main(int argc, char **argv)
{
    /* MAC, MRG_RXBUF, STATUS, GUEST_ANNOUNCE */
    struct device device = {.features = BIT(5) | BIT(15) | BIT(16) | BIT(21),
                            .queues = 2,
                            .config = config,
                            .config_size = sizeof(config),
                            .serve = serve,
                            .served = served};
    return argc < 2 ? 2 : device_run(&device, argc, argv);
}
