/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PCI_H
#define VHUSHMEM_PCI_H

/**
 * @file
 * The places of a device's regions for a guest's virtio-pci and virtio-mmio drivers (VIRTIO 1.2,
 * 4.1.4.7 and 4.2.2). The functions do not touch a guest. They give the numbers and bytes that a
 * VMM puts where its guest looks.
 */

#include <vhushmem/base.h>
#include <vhushmem/device.h>

G_BEGIN_DECLS

/**
 * A region's place in the BAR. Set struct_size to sizeof(vhushmem_pci_region), also before a
 * function fills it.
 */
typedef struct vhushmem_pci_region {
    uint32_t struct_size;
    uint8_t shmid;
    uint8_t reserved[3]; /**< 0 */
    uint64_t offset;     /**< bytes from the beginning of the BAR */
    uint64_t len;        /**< bytes: the region's size */
} vhushmem_pci_region;

/** Bytes of a capability (struct virtio_pci_cap64). */
#define VHUSHMEM_PCI_CAP_SIZE 24

/**
 * Bytes for all capabilities of a PCI function: configuration space from 0x40, behind the standard
 * header, to 0xff.
 */
#define VHUSHMEM_PCI_CAPS_SPACE 192

/**
 * Lay out all regions of a device in one BAR. Each region begins at a multiple of its window's
 * alignment, so that KVM can use large pages if the BAR is aligned to its own size.
 *
 * @param regions   receives at most `count` places, in the order of the ids; may be NULL if count
 *                  is 0. The caller sets the struct_size of the first, which is that of all. The
 *                  function sets it in the others, and zeroes what lies beyond this library's
 *                  struct.
 * @param bar_size  receives the size of the BAR in bytes: a power of two, or 0 if there is no
 *                  region. May be NULL.
 * @returns how many regions there are; or -EOVERFLOW (together they are larger than 2^63
 *          bytes), -EINVAL (struct_size), -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_pci_layout(vhushmem_device *device, vhushmem_pci_region *regions,
                                     unsigned count, uint64_t *bar_size);

/**
 * Tell how many regions have room for a capability each. A device may have 256 regions, but its
 * capabilities share VHUSHMEM_PCI_CAPS_SPACE bytes. Check this before you write the first
 * capability: if vhushmem_pci_layout returns more regions, a driver of virtio-pci cannot learn of
 * all of them. The virtio capabilities that every device has take 88 bytes (16 for the common, ISR
 * and device configuration each, 20 for notifications and for VIRTIO_PCI_CAP_PCI_CFG each), and
 * MSI-X takes 12: then 3 regions fit.
 *
 * @param other_size  bytes that the device's other capabilities take together, each rounded up to a
 *                    multiple of 4.
 * @returns how many regions fit, 0 to 8; or -EINVAL (other_size is more than
 *          VHUSHMEM_PCI_CAPS_SPACE).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_pci_max_regions(unsigned other_size);

/**
 * Write the capability that tells a driver of a region (VIRTIO_PCI_CAP_SHARED_MEMORY_CFG).
 * vhushmem_pci_max_regions tells how many fit.
 *
 * @param region    from vhushmem_pci_layout.
 * @param bar       the number of the BAR, 0 to 5.
 * @param cap_next  offset of the next capability in configuration space, a multiple of 4 from 0x40
 *                  to 0xfc; 0: this is the last.
 * @param cap       receives VHUSHMEM_PCI_CAP_SIZE bytes, in the form of the configuration space.
 * @returns 0, or -EINVAL (bar, cap_next, struct_size or reserved), -EFAULT (region or cap is NULL).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_pci_write_cap(const vhushmem_pci_region *region, uint8_t bar,
                                        uint8_t cap_next, uint8_t *cap);

/*
 * QEMU's generic device (vhost-user-test-device-pci of QEMU 11.1, patch 7 of the series) places the
 * regions of its back-end by these rules. They concern a VMM that has QEMU's code, or guests that
 * were made for it:
 *
 *  - All regions are in one BAR, VHUSHMEM_PCI_QEMU_SHMEM_BAR, of 64-bit prefetchable memory. Other
 *    virtio devices have their modern interface there. This device has it in
 *    VHUSHMEM_PCI_QEMU_MODERN_BAR, with regions or without.
 *  - The property modern-pio-notify takes BAR 2, too. The patch refuses it if there are regions.
 *    QEMU 11.1.3 does not get so far: it ends by an assertion, with regions or without.
 *  - While a device has regions, mapped or not, migration is blocked.
 *  - The regions lie one after the other, in the order of their ids, without a gap. The BAR is as
 *    large as their plain sum. If the sum is no power of two, QEMU ends by an assertion.
 *    vhushmem_pci_layout aligns each region and rounds the BAR up, so it has room for any sizes.
 *  - Sizes are multiples of the page size, as they are here.
 */
enum { VHUSHMEM_PCI_QEMU_MODERN_BAR = 2, VHUSHMEM_PCI_QEMU_SHMEM_BAR = 4 };

/** What a program wants of the device besides its regions. */
enum {
    VHUSHMEM_PCI_QEMU_PIO_NOTIFY = 1 << 0, /**< modern-pio-notify */
    /** migration; vhushmem_frontend_can_migrate tells what this library asks for */
    VHUSHMEM_PCI_QEMU_MIGRATION = 1 << 1
};

/**
 * Tell whether QEMU's generic device would accept the regions of this device, by the rules above.
 * Check the sizes with this function if the back-end must work with QEMU too, or if the VMM follows
 * QEMU and refuses what QEMU refuses.
 *
 * @param flags     VHUSHMEM_PCI_QEMU_*, or'ed.
 * @param bar_size  receives the size of QEMU's BAR in bytes: the sum of the regions' sizes, 0 if
 *                  there is none. Also if the result is -EADDRINUSE, -EBUSY or -EDOM. May be NULL.
 * @returns 0: it would; or -EADDRINUSE (modern-pio-notify), -EBUSY (migration, and there are
 *          regions), -EDOM (the sum is no power of two), -EINVAL (flags), -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_pci_check_qemu(vhushmem_device *device, unsigned flags,
                                         uint64_t *bar_size, GError **errp);

/** Registers of virtio-mmio. A driver writes SHMSel and reads the others. */
enum {
    VHUSHMEM_MMIO_SHM_SEL = 0x0ac,
    VHUSHMEM_MMIO_SHM_LEN_LOW = 0x0b0,
    VHUSHMEM_MMIO_SHM_LEN_HIGH = 0x0b4,
    VHUSHMEM_MMIO_SHM_BASE_LOW = 0x0b8,
    VHUSHMEM_MMIO_SHM_BASE_HIGH = 0x0bc
};

/**
 * Return what a driver reads from a register of shared memory. If there is no such region, the
 * length and the base are -1.
 *
 * @param offset      of the register, VHUSHMEM_MMIO_SHM_LEN_LOW to _BASE_HIGH.
 * @param selected    the id that the driver wrote to SHMSel.
 * @param guest_addr  guest address of that region; ignored if there is none.
 * @param value       receives what the driver reads.
 * @returns 0, or -EINVAL (another register), -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_mmio_read(vhushmem_device *device, uint32_t offset, uint32_t selected,
                                    uint64_t guest_addr, uint32_t *value);

G_END_DECLS

#endif
