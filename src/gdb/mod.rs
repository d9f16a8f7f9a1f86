//! gdb's remote protocol: the machine as a target that can also be run backwards. The protocol is the crate gdbstub's; what a
//! register, a stop and a step are is said here.
//!
//! Nothing that the debugger does reaches the guest: breakpoints are not written to memory ([`crate::machine::Stops`]), reading
//! memory marks nothing as accessed, and the clock stands still. Only writing a register or memory makes another run of it.

mod monitor;
mod registers;
mod target;
mod watch;

use crate::error::Error;
use crate::machine::{Goal, Stop, Timeline};
use gdbstub::stub::{DisconnectReason, GdbStub};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;

/// Instructions between two looks at the connection.
const SLICE: u64 = 2_000_000;

/// Where gdb is awaited: `HOST:PORT`, or `:PORT` on this host alone.
pub fn listen(address: &str) -> Result<(TcpListener, SocketAddr), Error> {
    let name = Path::new(address);
    let full = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    let resolved: Vec<SocketAddr> = full.to_socket_addrs().map_err(Error::file(name))?.collect();
    let listener = TcpListener::bind(&resolved[..]).map_err(Error::file(name))?;
    let bound = listener.local_addr().map_err(Error::file(name))?;
    Ok((listener, bound))
}

/// What the guest prints while it is debugged.
pub type Told<'t> = &'t mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// Serves one gdb, to its end. With `runs_before` the guest runs until it has come, and may have ended by then.
pub fn serve(
    timeline: Timeline,
    listener: &TcpListener,
    runs_before: bool,
    told: Told<'_>,
) -> Result<Timeline, Error> {
    let name = Path::new("gdb");
    let mut target = target::Target::new(timeline, told);
    listener.set_nonblocking(runs_before).map_err(Error::file(name))?;
    let connection = loop {
        match listener.accept() {
            Ok((connection, _)) => break connection,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let goal = Goal { slice: Some(SLICE), ..Goal::default() };
                if target.timeline.run(&goal) != Stop::Slice {
                    listener.set_nonblocking(false).map_err(Error::file(name))?;
                }
                target.tell()?;
            }
            Err(error) => return Err(Error::file(name)(error)),
        }
    };
    connection.set_nonblocking(false).map_err(Error::file(name))?;
    match GdbStub::new(connection).run_blocking::<target::Loop<'_>>(&mut target) {
        Ok(
            DisconnectReason::Disconnect
            | DisconnectReason::Kill
            | DisconnectReason::TargetExited(_)
            | DisconnectReason::TargetTerminated(_),
        ) => Ok(target.timeline),
        // gdb has gone without a word.
        Err(error) if error.is_connection_error() => Ok(target.timeline),
        Err(error) if error.is_target_error() => {
            error.into_target_error().map_or_else(|| Ok(target.timeline), Err)
        }
        Err(error) => Err(Error::file(name)(std::io::Error::other(error.to_string()))),
    }
}
