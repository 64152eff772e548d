/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_kvm_pre_fault fills the guest's tables if the kernel has KVM_PRE_FAULT_MEMORY and can do it for this guest, and
 * the guest reads the file. Otherwise it says why not. It refuses nonsense in any case.
 */
#include "slots.h"

static bool is_pre_faulted(void)
{
    slots_rig s;
    vcpu c;
    bool has_it;
    uint64_t page = PAGE;
    int file = memfd_of(4 * page, 1);
    slots_begin(&s, 8, 0);
    vhushmem_region *region = s.rig.region;
    vcpu_open(&c, &s.vm, 0);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, 0, page, &error), -ENOENT, "region 0");
    ok(vhushmem_kvm_place(s.kvm, region, WINDOW_ADDRESS, &error));
    ok(vhushmem_region_map(region, file, 0, 4 * page, 4 * page, 0, &error));

    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, 1, page, &error), -EINVAL);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, 0, 1, &error), -EINVAL);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, 0, 0, &error), -EINVAL);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, page, 16 * page, &error), -EINVAL);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, c.fd, UINT64_MAX - page + 1, 2 * page, &error), -EINVAL);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, file, 4 * page, page, &error), -ENOTTY);
    refused(vhushmem_kvm_pre_fault(s.kvm, region, -1, 4 * page, page, &error), -EBADF);
    EQ(vhushmem_kvm_pre_fault(NULL, region, c.fd, 0, page, NULL), -EFAULT);
    EQ(vhushmem_kvm_pre_fault(s.kvm, NULL, c.fd, 0, page, NULL), -EFAULT);

    int result = vhushmem_kvm_pre_fault(s.kvm, region, c.fd, 4 * page, 4 * page, &error);
    has_it = result == 0;
    if (!has_it) {
        CHECK(result == -ENOTTY || result == -EINVAL || result == -EOPNOTSUPP);
        CHECK(error != NULL && strstr(error->message, "pre-fault") != NULL);
        printf("note: %s\n", error->message);
        g_clear_error(&error);
    }
    for (uint64_t i = 0; i < 4; i++) {
        guest_shows(&c, (4 + i) * page, 1, i * page);
    }
    vcpu_close(&c);
    slots_end(&s);
    close(file);
    return has_it;
}

int main(void)
{
    if (!is_pre_faulted()) {
        skip("this host's KVM has no KVM_PRE_FAULT_MEMORY; only the refusals were checked");
    }
    return 0;
}
