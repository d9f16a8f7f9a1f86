//! An HTTP server's side of a connection: RFC 9112, one request a connection.
//!
//! `GET /NAME` is one of the peer's files, `GET /bytes/N` is N bytes that need no file, `PUT` and `POST` of anything are
//! answered with how much came and its FNV-1a hash: for bulk transfers whose bytes can be checked on both sides.

use super::host::Served;
use smoltcp::socket::tcp;
use std::collections::BTreeMap;

/// Its port.
const PORT: u16 = 80;
/// A request's head at most.
const HEAD_MAX: usize = 16 << 10;
/// Bytes made at a time.
const PIECE: usize = 4096;

/// What a connection is doing.
#[derive(Default)]
enum Phase {
    /// Waiting for a client, or for the rest of its request's head.
    #[default]
    Head,
    /// Taking a body of so many bytes more.
    Body { left: u64, total: u64, hash: u64 },
    /// Sending.
    Reply { head: Vec<u8>, body: Body, sent: u64 },
    /// All is sent.
    Done,
}

enum Body {
    Bytes(Vec<u8>),
    Made(u64),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Made(len) => *len,
        }
    }

    /// Up to [`PIECE`] bytes from `at` on.
    fn piece(&self, at: u64) -> Vec<u8> {
        let end = self.len().min(at + PIECE as u64);
        match self {
            Self::Bytes(bytes) => bytes[at as usize..end as usize].to_vec(),
            Self::Made(_) => (at..end).map(made_byte).collect(),
        }
    }
}

/// Byte `at` of what `/bytes/N` answers: no period that fits into a segment or a page.
pub(super) fn made_byte(at: u64) -> u8 {
    (at % 251) as u8
}

/// FNV-1a, one step.
pub(super) fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// FNV-1a of nothing.
pub(super) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// One connection.
#[derive(Default)]
pub(super) struct Connection {
    request: Vec<u8>,
    phase: Phase,
}

impl Connection {
    /// Takes what came and sends what has room; whether there was anything to do.
    pub(super) fn serve(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        files: &BTreeMap<String, Vec<u8>>,
        served: &mut Served,
    ) -> bool {
        if !socket.is_open() {
            *self = Self::default();
            // A closed socket and a port that is not 0 can't fail to listen.
            return socket.listen(PORT).is_ok();
        }
        let mut busy = self.take(socket, files, served);
        busy |= self.give(socket, served);
        if matches!(self.phase, Phase::Head) && !socket.may_recv() && socket.may_send() {
            // The client has left without a whole request.
            socket.close();
            self.phase = Phase::Done;
            busy = true;
        }
        busy
    }

    fn take(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        files: &BTreeMap<String, Vec<u8>>,
        served: &mut Served,
    ) -> bool {
        if !socket.can_recv() {
            return false;
        }
        let came = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap_or_default();
        match &mut self.phase {
            Phase::Head => {
                self.request.extend(&came);
                self.take_head(files, served);
            }
            Phase::Body { .. } => self.take_body(&came, served),
            Phase::Reply { .. } | Phase::Done => {}
        }
        true
    }

    fn take_head(&mut self, files: &BTreeMap<String, Vec<u8>>, served: &mut Served) {
        let Some(end) = self.request.windows(4).position(|four| four == b"\r\n\r\n") else {
            if self.request.len() > HEAD_MAX {
                self.reply("431 Request Header Fields Too Large", Body::Bytes(Vec::new()), false);
            }
            return;
        };
        served.requests += 1;
        let head = String::from_utf8_lossy(&self.request[..end]).into_owned();
        let rest = self.request.split_off(end + 4);
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        match method {
            "GET" | "HEAD" => {
                let name = path.trim_start_matches('/');
                let made = name.strip_prefix("bytes/").and_then(|count| count.parse().ok());
                let body = made.map(Body::Made).or_else(|| files.get(name).cloned().map(Body::Bytes));
                match body {
                    Some(body) => self.reply("200 OK", body, method == "HEAD"),
                    None => self.reply("404 Not Found", Body::Bytes(b"no such file\n".to_vec()), false),
                }
            }
            "PUT" | "POST" => {
                self.phase = Phase::Body { left: length, total: length, hash: FNV_START };
                self.take_body(&rest, served);
            }
            _ => self.reply("501 Not Implemented", Body::Bytes(Vec::new()), false),
        }
    }

    fn take_body(&mut self, came: &[u8], served: &mut Served) {
        let Phase::Body { left, total, hash } = &mut self.phase else { return };
        let take = (came.len() as u64).min(*left);
        *hash = came[..take as usize].iter().fold(*hash, |hash, byte| fnv(hash, *byte));
        *left -= take;
        served.bytes_in += take;
        if *left == 0 {
            let text = format!("{total} bytes, hash {hash:016x}\n");
            self.reply("200 OK", Body::Bytes(text.into_bytes()), false);
        }
    }

    fn reply(&mut self, status: &str, body: Body, head_only: bool) {
        let len = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
        let body = if head_only { Body::Made(0) } else { body };
        self.phase = Phase::Reply { head: head.into_bytes(), body, sent: 0 };
    }

    fn give(&mut self, socket: &mut tcp::Socket<'_>, served: &mut Served) -> bool {
        let Phase::Reply { head, body, sent } = &mut self.phase else { return false };
        let before = *sent;
        let start = head.len() as u64;
        while socket.can_send() && *sent < start + body.len() {
            let piece =
                if *sent < start { head[*sent as usize..].to_vec() } else { body.piece(*sent - start) };
            let took = socket.send_slice(&piece).unwrap_or(0);
            *sent += took as u64;
            if took < piece.len() {
                break;
            }
        }
        served.bytes_out += sent.max(&mut start.clone()).saturating_sub(before.max(start));
        let moved = *sent > before;
        if *sent == start + body.len() {
            socket.close();
            self.phase = Phase::Done;
            return true;
        }
        moved
    }
}
