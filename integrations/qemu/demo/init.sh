#!/bin/busybox sh
# The first program of the demo's guest: loads the modules that were packed, and has a shell on the serial line.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /mnt /scratch /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || echo "init: $module is not loaded"
done </modules/order
echo GUEST IS UP
exec setsid cttyhack sh
