/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_H
#define VHUSHMEM_H

/**
 * @file
 * libvhushmem: vhost-user shared memory for any VMM. This header includes the whole `vhushmem_*`
 * family. Each header that it names may also be included alone. It does not include
 * <vhushmem/series.h>, which has the QEMU-like names.
 */

#include <vhushmem/backend-call.h>
#include <vhushmem/backend-options.h>
#include <vhushmem/backend.h>
#include <vhushmem/base.h>
#include <vhushmem/channel.h>
#include <vhushmem/device.h>
#include <vhushmem/error.h>
#include <vhushmem/event.h>
#include <vhushmem/fault.h>
#include <vhushmem/frontend-options.h>
#include <vhushmem/frontend.h>
#include <vhushmem/guard.h>
#include <vhushmem/kvm.h>
#include <vhushmem/mapping.h>
#include <vhushmem/migration.h>
#include <vhushmem/pci.h>
#include <vhushmem/queue.h>
#include <vhushmem/region-options.h>
#include <vhushmem/region.h>
#include <vhushmem/request.h>
#include <vhushmem/shared-object.h>
#include <vhushmem/status.h>
#include <vhushmem/trace.h>
#include <vhushmem/version.h>
#include <vhushmem/vhost-user.h>
#include <vhushmem/virtqueue.h>

#endif
