// SPDX-License-Identifier: BSD-3-Clause
//! A VMM without a guest on rust-vmm's vhost, before the device of examples/file-window.c: vmm SOCKET FILE.
//!
//! It does all that it knows once, reports each step as a line, and panics if something is wrong.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserMMap, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, FrontendReqHandler, HandlerResult, VhostUserFrontend, VhostUserFrontendReqHandler};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

const RAM_AT: u64 = 0x10_0000;
const RAM_SIZE: usize = 1 << 20;
const DESC: u64 = RAM_AT;
const AVAIL: u64 = RAM_AT + 0x1000;
const USED: u64 = RAM_AT + 0x2000;
const BUFFERS: u64 = RAM_AT + 0x4000;
const SIZE: u16 = 16;
const PAGE: u64 = 4096;
const REGION_SIZE: u64 = 16 << 20;

const VERSION_1: u64 = 1 << 32;
const PROTOCOL: u64 = 1 << 30;
const MAP: u32 = 1;
const UNMAP: u32 = 2;

/// The requests of the device: maps with the first bytes of the file's range, and unmaps.
#[derive(Default)]
struct Window {
    maps: Mutex<Vec<(VhostUserMMap, [u8; 64])>>,
    unmaps: Mutex<Vec<VhostUserMMap>>,
}

impl VhostUserFrontendReqHandler for Window {
    fn shmem_map(&self, request: &VhostUserMMap, fd: &dyn AsRawFd) -> HandlerResult<u64> {
        if request.shm_offset + request.len > REGION_SIZE || request.fd_offset >= 1 << 20 {
            return Err(io::Error::from_raw_os_error(22));
        }
        let mut bytes = [0; 64];
        let mut file = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(request.fd_offset))?;
        file.read_exact(&mut bytes)?;
        self.maps.lock().unwrap().push((*request, bytes));
        Ok(0)
    }

    fn shmem_unmap(&self, request: &VhostUserMMap) -> HandlerResult<u64> {
        self.unmaps.lock().unwrap().push(*request);
        Ok(0)
    }
}

struct Vmm {
    frontend: Frontend,
    memory: GuestMemoryMmap,
    kick: EventFd,
    call: EventFd,
    next: u16,
}

impl Vmm {
    fn start(&mut self, base: u16) {
        let at = |address| self.memory.get_host_address(GuestAddress(address)).unwrap() as u64;
        let rings = VringConfigData {
            queue_max_size: SIZE,
            queue_size: SIZE,
            flags: 0,
            desc_table_addr: at(DESC),
            used_ring_addr: at(USED),
            avail_ring_addr: at(AVAIL),
            log_addr: None,
        };
        self.frontend.set_vring_num(0, SIZE).unwrap();
        self.frontend.set_vring_addr(0, &rings).unwrap();
        self.frontend.set_vring_base(0, base).unwrap();
        self.frontend.set_vring_call(0, &self.call).unwrap();
        self.frontend.set_vring_kick(0, &self.kick).unwrap();
        self.frontend.set_vring_enable(0, true).unwrap();
    }

    /// Puts a request into the ring, without a kick.
    fn put(&mut self, operation: u32, offset: u64, length: u64) {
        let mut request = [0; 24];
        request[..4].copy_from_slice(&operation.to_le_bytes());
        request[8..16].copy_from_slice(&offset.to_le_bytes());
        request[16..].copy_from_slice(&length.to_le_bytes());
        let write = |at: u64, bytes: &[u8]| self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
        write(BUFFERS, &request);
        write(BUFFERS + 64, &[0xff; 16]);
        for (n, at, length, flags) in [(0u64, BUFFERS, 24u32, 1u16), (1, BUFFERS + 64, 16, 2)] {
            write(DESC + 16 * n, &at.to_le_bytes());
            write(DESC + 16 * n + 8, &length.to_le_bytes());
            write(DESC + 16 * n + 12, &flags.to_le_bytes());
            write(DESC + 16 * n + 14, &1u16.to_le_bytes());
        }
        write(AVAIL + 4 + 2 * u64::from(self.next % SIZE), &0u16.to_le_bytes());
        self.next = self.next.wrapping_add(1);
        write(AVAIL + 2, &self.next.to_le_bytes());
    }

    /// Waits for the answer to the last request. Returns the result and the place in the region.
    fn answer(&self) -> (i32, u64) {
        while self.memory.read_obj::<u16>(GuestAddress(USED + 2)).unwrap() != self.next {
            self.call.read().unwrap();
        }
        let at = GuestAddress(BUFFERS + 64);
        (self.memory.read_obj(at).unwrap(), self.memory.read_obj(GuestAddress(BUFFERS + 72)).unwrap())
    }

    fn ask(&mut self, operation: u32, offset: u64, length: u64) -> (i32, u64) {
        self.put(operation, offset, length);
        self.kick.write(1).unwrap();
        self.answer()
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let content = fs::read(&words[2]).unwrap();
    let mut frontend = Frontend::connect(&words[1], 1).unwrap();
    let features = frontend.get_features().unwrap();
    assert_eq!(features & (VERSION_1 | PROTOCOL), VERSION_1 | PROTOCOL);
    frontend.set_owner().unwrap();
    frontend.set_features(VERSION_1 | PROTOCOL).unwrap();
    let wanted = VhostUserProtocolFeatures::MQ
        | VhostUserProtocolFeatures::REPLY_ACK
        | VhostUserProtocolFeatures::BACKEND_REQ
        | VhostUserProtocolFeatures::BACKEND_SEND_FD
        | VhostUserProtocolFeatures::RESET_DEVICE
        | VhostUserProtocolFeatures::SHMEM;
    let offered = frontend.get_protocol_features().unwrap();
    assert!(offered.contains(wanted), "{offered:?}");
    frontend.set_protocol_features(wanted).unwrap();
    frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    assert!(frontend.get_queue_num().unwrap() >= 1);
    let regions = frontend.get_shmem_config().unwrap();
    assert_eq!((regions.nregions, { regions.memory_sizes }[0]), (1, REGION_SIZE));
    println!("vmm  handshake");

    let window = Arc::new(Window::default());
    let mut channel = FrontendReqHandler::new(window.clone()).unwrap();
    channel.set_reply_ack_flag(true);
    frontend.set_backend_request_fd(&channel.get_tx_raw_fd()).unwrap();
    std::thread::spawn(move || loop {
        // A refused request is answered, and the next one is served.
        let _ = channel.handle_request();
    });

    let path = format!("{}.ram", words[1]);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    file.set_len(RAM_SIZE as u64).unwrap();
    let ranges = [(GuestAddress(RAM_AT), RAM_SIZE, Some(FileOffset::new(file, 0)))];
    let memory = GuestMemoryMmap::from_ranges_with_files(&ranges).unwrap();
    let region = memory.find_region(GuestAddress(RAM_AT)).unwrap();
    frontend.set_mem_table(&[VhostUserMemoryRegionInfo::from_guest_region(region).unwrap()]).unwrap();
    let (kick, call) = (EventFd::new(0).unwrap(), EventFd::new(0).unwrap());
    let mut vmm = Vmm { frontend, memory, kick, call, next: 0 };
    vmm.start(0);
    println!("vmm  started");

    let (result, at) = vmm.ask(MAP, 3 * PAGE, 2 * PAGE);
    assert_eq!(result, 0);
    let (request, bytes) = window.maps.lock().unwrap()[0];
    assert_eq!(({ request.fd_offset }, { request.shm_offset }, { request.len }), (3 * PAGE, at, 2 * PAGE));
    assert_eq!(bytes, content[3 * PAGE as usize..3 * PAGE as usize + 64]);
    assert_eq!(vmm.ask(UNMAP, at, 2 * PAGE).0, 0);
    assert_eq!({ window.unmaps.lock().unwrap()[0].shm_offset }, at);
    println!("vmm  mapped and unmapped");

    assert!(vmm.ask(MAP, content.len() as u64, PAGE).0 < 0);
    assert!(vmm.ask(77, 0, 0).0 < 0);
    assert_eq!(vmm.ask(MAP, 0, PAGE).0, 0);
    println!("vmm  refused, and served again");

    for n in 0..20 {
        let base = vmm.frontend.get_vring_base(0).unwrap() as u16;
        assert_eq!(base, vmm.next);
        vmm.put(MAP, n * PAGE, PAGE);
        vmm.kick.write(1).unwrap();
        vmm.start(base);
        let (result, at) = vmm.answer();
        assert_eq!(result, 0);
        assert_eq!(vmm.ask(UNMAP, at, PAGE).0, 0);
    }
    println!("vmm  stopped and started");

    vmm.frontend.reset_device().unwrap();
    vmm.memory.write_slice(&[0; 0x3000], GuestAddress(DESC)).unwrap();
    vmm.next = 0;
    vmm.start(0);
    assert_eq!(vmm.ask(MAP, 5 * PAGE, PAGE), (0, 0), "the device counts on nothing that was mapped before");
    println!("vmm  reset");
}
