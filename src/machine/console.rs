//! What comes out of the serial port and the debug console: kept until it is taken, and compared with texts that are waited for.

/// One console.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// Not yet taken.
    pub(super) pending: Vec<u8>,
    /// The last bytes, as many as a text that is waited for may have.
    tail: Vec<u8>,
    told: Once,
}

/// Texts to wait for are at most this long.
const TAIL_MAX: usize = 4096;

impl Console {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let old = self.told.pass(bytes.len() as u64).min(bytes.len() as u64) as usize;
        self.pending.extend_from_slice(&bytes[old..]);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL_MAX {
            self.tail.drain(..self.tail.len() - TAIL_MAX);
        }
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.tail.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }

    /// What texts are compared with.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Goes back to such a tail.
    pub(super) fn rewind(&mut self, mut tail: Vec<u8>) {
        tail.drain(..tail.len().saturating_sub(2 * TAIL_MAX));
        self.tail = tail;
    }

    /// How much of it was told.
    pub(super) fn told(&mut self) -> &mut Once {
        &mut self.told
    }
}

/// Something that is told outside as the run goes on. When the machine is taken back to an earlier moment and runs on as it did
/// before, what was told is not told again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Once {
    seen: u64,
    told: u64,
}

impl Once {
    /// `count` more; answers how many of them were told before.
    pub(super) fn pass(&mut self, count: u64) -> u64 {
        let old = self.told.saturating_sub(self.seen).min(count);
        self.seen += count;
        self.told = self.told.max(self.seen);
        old
    }

    /// Where the run is.
    pub(super) fn seen(self) -> u64 {
        self.seen
    }

    /// The run is there again.
    pub(super) fn rewind(&mut self, seen: u64) {
        self.seen = seen;
    }

    /// What follows is another run: all of it is told.
    pub(super) fn tell_again(&mut self) {
        self.told = self.seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_not_told_again_but_is_compared() {
        let mut console = Console::default();
        console.push(b"one ");
        let (seen, tail) = (console.told().seen(), console.tail().to_vec());
        console.push(b"two");
        console.rewind(tail.clone());
        console.told().rewind(seen);
        assert!(!console.has("two"));
        console.push(b"two three");
        assert!(console.has("one two three"));
        assert_eq!(console.pending, b"one two three");
        console.rewind(tail);
        console.told().rewind(seen);
        console.told().tell_again();
        console.push(b"four");
        assert_eq!(console.pending, b"one two threefour");
    }
}
