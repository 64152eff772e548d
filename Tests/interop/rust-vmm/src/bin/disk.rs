// SPDX-License-Identifier: BSD-3-Clause
//! A vhost-user-blk device on rust-vmm's vhost-user-backend: disk SOCKET FILE.
//!
//! It has a shared memory region too. A request of type SHOW maps a page of the file there and one of type HIDE undoes it; `sector`
//! counts pages then. It serves one front-end after another.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use vhost::vhost_user::message::{VhostUserMMap, VhostUserMMapFlags, VhostUserProtocolFeatures, VhostUserShMemConfig};
use vhost::vhost_user::{Backend, Listener, VhostUserFrontendReqHandler};
use vhost_user_backend::{VhostUserBackendMut, VhostUserDaemon, VringRwLock, VringT};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{new_event_consumer_and_notifier, EventConsumer, EventFlag, EventNotifier};

const QUEUES: usize = 2;
const SECTOR: u64 = 512;
const PAGE: u64 = 4096;
const REGION: u8 = 0;
const REGION_SIZE: u64 = 1 << 20;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const SHOW: u32 = 0x1000;
const HIDE: u32 = 0x1001;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const UNKNOWN: u8 = 2;

const FEATURES: u64 = 1 << 32 | 1 << 30 | 1 << 29 | 1 << 28 | 1 << 9; // version 1, protocol, event indices, indirect, flush

struct Disk {
    file: File,
    config: Vec<u8>,
    memory: GuestMemoryAtomic<GuestMemoryMmap>,
    has_event_idx: bool,
    channel: Option<Backend>,
}

impl Disk {
    fn page(&self, kind: u32, page: u64) -> bool {
        let Some(channel) = &self.channel else { return false };
        let at = page.wrapping_mul(PAGE);
        let mut request = VhostUserMMap { shmid: REGION, fd_offset: at, shm_offset: at, len: PAGE, ..Default::default() };
        if kind == SHOW {
            channel.shmem_map(&request, &self.file).is_ok()
        } else {
            request.fd_offset = 0;
            request.flags = VhostUserMMapFlags::empty().bits();
            channel.shmem_unmap(&request).is_ok()
        }
    }

    /// Returns the status.
    fn obey(&self, input: &mut impl Read, readable: usize, output: &mut impl Write, room: usize) -> u8 {
        let mut header = [0; 16];
        if input.read_exact(&mut header).is_err() {
            return FAILED;
        }
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(header[8..].try_into().unwrap());
        let at = sector.wrapping_mul(SECTOR);
        let is_good = match kind {
            READ => {
                let mut bytes = vec![0; room];
                sector < 1 << 50 && self.file.read_exact_at(&mut bytes, at).is_ok() && output.write_all(&bytes).is_ok()
            }
            WRITE => {
                let mut bytes = vec![0; readable - header.len()];
                sector < 1 << 50 && input.read_exact(&mut bytes).is_ok() && self.file.write_all_at(&bytes, at).is_ok()
            }
            FLUSH => self.file.sync_data().is_ok(),
            SHOW | HIDE => self.page(kind, sector),
            _ => return UNKNOWN,
        };
        if is_good { DONE } else { FAILED }
    }

    fn serve(&self, vring: &VringRwLock) -> Result<()> {
        let memory = self.memory.memory();
        loop {
            let Some(chain) = vring.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone()) else { break };
            let head = chain.head_index();
            let mut written = 0;
            if let (Ok(mut input), Ok(mut output)) = (chain.clone().reader(&*memory), chain.writer(&*memory)) {
                let (readable, room) = (input.available_bytes(), output.available_bytes());
                if readable >= 16 && room > 0 {
                    let mut last = output.split_at(room - 1).unwrap();
                    let status = self.obey(&mut input, readable, &mut output, room - 1);
                    last.write_all(&[status])?;
                    written = room as u32;
                }
            }
            vring.add_used(head, written).map_err(std::io::Error::other)?;
        }
        if vring.needs_notification().map_err(std::io::Error::other)? {
            vring.signal_used_queue()?;
        }
        Ok(())
    }
}

impl VhostUserBackendMut for Disk {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        256
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::BACKEND_REQ
            | VhostUserProtocolFeatures::BACKEND_SEND_FD
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::SHMEM
    }

    fn set_event_idx(&mut self, enabled: bool) {
        self.has_event_idx = enabled;
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        self.config.get(offset as usize..(offset + size) as usize).unwrap_or(&[]).to_vec()
    }

    fn update_memory(&mut self, memory: GuestMemoryAtomic<GuestMemoryMmap>) -> Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn set_backend_req_fd(&mut self, channel: Backend) {
        self.channel = Some(channel);
    }

    fn get_shmem_config(&self) -> Result<VhostUserShMemConfig> {
        Ok(VhostUserShMemConfig::new(1, &[REGION_SIZE]))
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }

    fn handle_event(&mut self, queue: u16, _: EventSet, vrings: &[VringRwLock], _thread: usize) -> Result<()> {
        let vring = &vrings[queue as usize];
        if !self.has_event_idx {
            return self.serve(vring);
        }
        loop {
            vring.disable_notification().map_err(std::io::Error::other)?;
            self.serve(vring)?;
            if !vring.enable_notification().map_err(std::io::Error::other)? {
                return Ok(());
            }
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let file = OpenOptions::new().read(true).write(true).open(&words[2]).unwrap();
    let mut config = vec![0; 64];
    config[..8].copy_from_slice(&(file.metadata().unwrap().len() / SECTOR).to_le_bytes());
    let mut listener = Listener::new(&words[1], true).unwrap();

    loop {
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let disk = Disk {
            file: file.try_clone().unwrap(),
            config: config.clone(),
            memory: memory.clone(),
            has_event_idx: false,
            channel: None,
        };
        let mut daemon = VhostUserDaemon::new("disk".to_string(), Arc::new(Mutex::new(disk)), memory).unwrap();
        daemon.start(&mut listener).unwrap();
        println!("disk  connected");
        println!("disk  {:?}", daemon.wait());
    }
}
