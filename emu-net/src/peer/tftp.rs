//! A TFTP server's side of a transfer: RFC 1350, with block size (RFC 2348), timeout and size (RFC 2349). Reading only.

use emu_core::{VirtDuration, VirtTime};
use smoltcp::socket::udp;
use smoltcp::wire::IpEndpoint;
use std::collections::BTreeMap;

/// Where transfers are asked for.
pub(super) const PORT: u16 = 69;
const RRQ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;
/// Sent again after that.
const PATIENCE: VirtDuration = VirtDuration::from_ms(500);
/// And given up after that many times.
const TRIES: u32 = 6;
/// The largest block that fits into a frame.
const BLOCK_MAX: usize = 1468;

/// One transfer.
pub(super) struct Transfer {
    to: IpEndpoint,
    file: Vec<u8>,
    block_size: usize,
    /// The block that is on its way; 0 is the acknowledgement of options.
    block: u64,
    /// The datagram on its way.
    message: Vec<u8>,
    /// When it is sent again; `None` before it is sent the first time.
    again: Option<VirtTime>,
    tries: u32,
    over: bool,
}

fn error(code: u16, text: &str) -> Vec<u8> {
    let mut message = [ERROR.to_be_bytes(), code.to_be_bytes()].concat();
    message.extend(text.bytes());
    message.push(0);
    message
}

impl Transfer {
    /// The answer to a request from `to`.
    pub(super) fn start(files: &BTreeMap<String, Vec<u8>>, request: &[u8], to: IpEndpoint) -> Self {
        let mut transfer = Self {
            to,
            file: Vec::new(),
            block_size: 512,
            block: 0,
            message: Vec::new(),
            again: None,
            tries: 0,
            over: false,
        };
        let words: Vec<String> = request
            .get(2..)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        if request.get(..2) != Some(&RRQ.to_be_bytes()) {
            transfer.fail(error(4, "only reading is served"));
        } else if let Some(file) = words.first().and_then(|name| files.get(name.trim_start_matches('/'))) {
            transfer.file.clone_from(file);
            transfer.negotiate(&words);
        } else {
            transfer.fail(error(1, "no such file"));
        }
        transfer
    }

    fn fail(&mut self, message: Vec<u8>) {
        self.message = message;
        self.tries = TRIES;
    }

    /// Options are pairs of words behind name and mode.
    fn negotiate(&mut self, words: &[String]) {
        let mut agreed = OACK.to_be_bytes().to_vec();
        for pair in words.get(2..).unwrap_or_default().chunks_exact(2) {
            let name = pair[0].to_ascii_lowercase();
            let value = match (name.as_str(), pair[1].parse::<usize>()) {
                ("blksize", Ok(size)) if size >= 8 => {
                    self.block_size = size.min(BLOCK_MAX);
                    self.block_size
                }
                ("tsize", Ok(_)) => self.file.len(),
                _ => continue,
            };
            agreed.extend(format!("{name}\0{value}\0").bytes());
        }
        if agreed.len() > 2 {
            self.message = agreed;
        } else {
            self.next_block();
        }
    }

    fn next_block(&mut self) {
        self.block += 1;
        let start = ((self.block - 1) as usize).saturating_mul(self.block_size).min(self.file.len());
        let end = self.file.len().min(start + self.block_size);
        self.message = [DATA.to_be_bytes(), (self.block as u16).to_be_bytes()].concat();
        self.message.extend(&self.file[start..end]);
        self.again = None;
        self.tries = 0;
    }

    /// Whether the block on its way is the last.
    fn is_last(&self) -> bool {
        self.block > 0 && self.message.len() < 4 + self.block_size
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// When it has something to do.
    pub(super) fn due(&self) -> Option<VirtTime> {
        self.again.filter(|_| !self.over)
    }

    /// Takes an acknowledgement, sends what is to be sent; whether there was anything to do.
    pub(super) fn serve(&mut self, socket: &mut udp::Socket<'_>, at: VirtTime) -> bool {
        let mut busy = false;
        while let Ok((message, from)) = socket.recv() {
            busy = true;
            let word =
                |at: usize| message.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
            if from.endpoint != self.to || self.over {
                continue;
            }
            if word(0) == ERROR || word(0) == ACK && word(2) == self.block as u16 && self.is_last() {
                self.over = true;
            } else if word(0) == ACK && word(2) == self.block as u16 {
                self.next_block();
            }
        }
        if self.over || self.again.is_some_and(|again| again > at) {
            return busy;
        }
        // A full queue is as good as a lost datagram.
        let _ = socket.send_slice(&self.message, self.to);
        self.again = Some(at.after(PATIENCE));
        self.tries += 1;
        self.over = self.tries > TRIES;
        true
    }
}
