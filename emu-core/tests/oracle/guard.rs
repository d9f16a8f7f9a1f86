//! The comparison in a process of its own: whatever a case does to it, this one lives to tell which it was.
//!
//! The child is this program again, asked for the same test. It writes each case's number into a file before it runs it. A child that
//! gets no further for a while is ended.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the guard is no machine: it waits by the host's clock"
)]
#![allow(clippy::panic, reason = "a test that can't go on fails")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Tells the child where to write.
const PROGRESS: &str = "ORACLE_PROGRESS";
/// A case takes microseconds, but a busy host may have no time for the child.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// Where the child tells how far it is.
pub(crate) struct Progress(File);

impl Progress {
    /// The next case.
    pub(crate) fn at(&self, index: u64) {
        self.0.write_all_at(&index.to_le_bytes(), 0).expect("room for eight bytes");
    }
}

/// In memory, if Linux offers that: a disk that is busy would hold up every case.
fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn last_case(progress: &Path) -> Option<u64> {
    let bytes = std::fs::read(progress).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Waits for the child as long as it gets further.
fn wait(child: &mut Child, progress: &Path) -> Option<ExitStatus> {
    let (mut seen, mut since) = (None, Instant::now());
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        let now = last_case(progress);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            child.kill().expect("a child of ours");
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs `body` over so many cases in a process of its own. `test` is the name of the test that asks.
pub(crate) fn run(test: &str, cases: u64, body: fn(u64, &Progress)) {
    if let Some(path) = std::env::var_os(PROGRESS) {
        return body(cases, &Progress(File::create(path).expect("a file of the parent's")));
    }
    let progress: PathBuf = folder().join(format!("oracle-{}-{test}", std::process::id()));
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(PROGRESS, &progress)
        .spawn()
        .expect("this program runs");
    let status = wait(&mut child, &progress);
    let at = last_case(&progress);
    let _ = std::fs::remove_file(&progress);
    match status {
        None => panic!("case {at:?} does not end"),
        Some(status) => assert!(status.success(), "{status}, at case {at:?}"),
    }
}
