// SPDX-License-Identifier: BSD-3-Clause
//! For scripts/bench: a front-end on rust-vmm's vhost that serves the back-end at the other end of a descriptor: serve DESCRIPTOR SIZE.
//!
//! It maps each request, as bench/floor.c does: no list, and only the checks of the crate.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserMMap, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, FrontendReqHandler, HandlerResult, VhostUserFrontend, VhostUserFrontendReqHandler};
use vhost::VhostBackend;

struct Window(usize);

impl Window {
    fn place(&self, request: &VhostUserMMap, protection: i32, flags: i32, fd: RawFd) -> HandlerResult<u64> {
        let at = (self.0 + request.shm_offset as usize) as *mut libc::c_void;
        // SAFETY: the back-end is the benchmark's own, and stays inside of the window.
        let seen = unsafe { libc::mmap(at, request.len as usize, protection, flags | libc::MAP_FIXED, fd, request.fd_offset as i64) };
        if seen == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(0) }
    }
}

impl VhostUserFrontendReqHandler for Window {
    fn shmem_map(&self, request: &VhostUserMMap, fd: &dyn AsRawFd) -> HandlerResult<u64> {
        self.place(request, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd())
    }

    fn shmem_unmap(&self, request: &VhostUserMMap) -> HandlerResult<u64> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        self.place(&VhostUserMMap { fd_offset: 0, ..*request }, libc::PROT_NONE, flags, -1)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let size: usize = words[2].parse().unwrap();
    // SAFETY: the descriptor was inherited for this.
    let stream = unsafe { UnixStream::from_raw_fd(words[1].parse().unwrap()) };
    let mut frontend = Frontend::from_stream(stream, 1);
    frontend.get_features().unwrap();
    frontend.set_owner().unwrap();
    frontend.set_features(1 << 30).unwrap();
    let wanted = VhostUserProtocolFeatures::REPLY_ACK
        | VhostUserProtocolFeatures::BACKEND_REQ
        | VhostUserProtocolFeatures::BACKEND_SEND_FD
        | VhostUserProtocolFeatures::SHMEM;
    frontend.get_protocol_features().unwrap();
    frontend.set_protocol_features(wanted).unwrap();
    frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: addresses that nobody has.
    let window = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    assert!(window != libc::MAP_FAILED);
    let mut channel = FrontendReqHandler::new(Arc::new(Window(window as usize))).unwrap();
    channel.set_reply_ack_flag(true);
    frontend.set_backend_request_fd(&channel.get_tx_raw_fd()).unwrap();
    frontend.get_shmem_config().unwrap();
    // SAFETY: the back-end has its own. While this one is open, the end of the back-end would not show.
    unsafe { libc::close(channel.get_tx_raw_fd()) };
    while channel.handle_request().is_ok() {}
    // Dropping it would close that descriptor again.
    std::process::exit(0);
}
