//! Where compiled code lies: chunks that are writable while something is put into them, and executable otherwise, never both.

use memmap2::{Mmap, MmapMut};

/// Bytes of a chunk: a change of its protection costs by its size.
pub(super) const CHUNK: usize = 256 << 10;
/// Functions start at multiples of this.
const ALIGN: usize = 32;

/// Executable memory of a bounded size. Code is never moved, and freed all at once.
#[derive(Debug, Default)]
pub(super) struct Arena {
    full: Vec<Mmap>,
    /// The chunk that is being filled, and how far it is.
    current: Option<Mmap>,
    used: usize,
    chunks_max: usize,
}

impl Arena {
    /// `bytes` at most, rounded up to whole chunks.
    pub(super) fn new(bytes: usize) -> Self {
        Self { chunks_max: bytes.div_ceil(CHUNK).max(1), ..Self::default() }
    }

    /// The address of a copy of `code`; `None` if there is no room for it, or the host refuses executable memory.
    #[allow(clippy::expect_used, reason = "blocks lead into a chunk that is lost with its protection")]
    pub(super) fn put(&mut self, code: &[u8]) -> Option<usize> {
        if code.len() > CHUNK {
            return None;
        }
        if self.current.is_none() || self.used + code.len() > CHUNK {
            if self.full.len() + usize::from(self.current.is_some()) >= self.chunks_max {
                return None;
            }
            self.full.extend(self.current.take());
            self.current = MmapMut::map_anon(CHUNK).ok()?.make_exec().ok();
            self.used = 0;
        }
        let mut open = self.current.take()?.make_mut().expect("a chunk can be made writable");
        open[self.used..self.used + code.len()].copy_from_slice(code);
        let chunk = open.make_exec().expect("a chunk can be made executable again");
        let at = chunk.as_ptr().expose_provenance() + self.used;
        self.current = Some(chunk);
        self.used = (self.used + code.len()).next_multiple_of(ALIGN);
        Some(at)
    }

    /// Frees everything. Only when none of it runs.
    pub(super) fn clear(&mut self) {
        self.full.clear();
        self.current = None;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_where_it_was_put_until_all_is_freed() {
        let mut arena = Arena::new(2 * CHUNK);
        let large = vec![0xc3; CHUNK - 10];
        let small = arena.put(&[0x90, 0xc3]).unwrap();
        assert!(arena.put(&large).is_some_and(|at| at != small));
        assert!(arena.put(&large).is_none(), "a third chunk");
        arena.clear();
        assert!(arena.put(&large).is_some());
        assert!(arena.put(&vec![0; CHUNK + 1]).is_none(), "more than a chunk");
    }
}
