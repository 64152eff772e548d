# What the least QEMU has: two kinds of machine, PCI with hot plug, an IOMMU, the device, and another one for the tests.
CONFIG_Q35=y
CONFIG_MICROVM=y
CONFIG_PCIE_PORT=y
CONFIG_VTD=y
CONFIG_VIRTIO_PCI=y
CONFIG_VHOST_USER_FS=y
CONFIG_VHOST_USER_BLK=y
