//! Names for the guest's addresses: from a System.map, an ELF file, or the table that a running Linux keeps of itself
//! (kallsyms, as Linux 6.1 lays it out in its read-only data).

use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// Further behind a symbol than this, an address is not its.
const REACH: u64 = 1 << 20;

/// Addresses with names, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    fn new(mut symbols: Vec<(u64, String)>) -> Option<Self> {
        symbols.retain(|(address, name)| *address != 0 && !name.is_empty());
        symbols.sort();
        (!symbols.is_empty()).then_some(Self(symbols))
    }

    /// From the bytes of a file: ELF, or lines of address, type and name. `None` if it is neither.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        if file.starts_with(b"\x7fELF") { Self::elf(file) } else { Self::map(file) }
    }

    fn elf(file: &[u8]) -> Option<Self> {
        let file = object::File::parse(file).ok()?;
        let code =
            file.symbols().filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown));
        Self::new(code.filter_map(|symbol| Some((symbol.address(), readable(symbol.name().ok()?)))).collect())
    }

    fn map(file: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let symbol = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            (kind.len() == 1).then_some(())?;
            Some((address, words.next()?.to_owned()))
        };
        Self::new(text.lines().map(symbol).collect::<Option<_>>()?)
    }

    /// The symbol at or before `address`, with the distance: `e1000_intr+0x1c`.
    #[must_use]
    pub fn name(&self, address: u64) -> Option<String> {
        let at = self.0.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let (start, name) = &self.0[at];
        match address - start {
            0 => Some(name.clone()),
            beyond @ 1..REACH => Some(format!("{name}+{beyond:#x}")),
            _ => None,
        }
    }

    /// Where a symbol is.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(_, known)| known == name).map(|(address, _)| *address)
    }

    /// With more of them.
    #[must_use]
    pub fn with(mut self, more: Vec<(u64, String)>) -> Self {
        self.0.extend(more);
        Self::new(self.0).unwrap_or_default()
    }

    /// All, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.0.iter().map(|(address, name)| (*address, &name[..]))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Linux's own table, found in `memory`, which is physical memory from 0 on.
    #[must_use]
    pub fn kallsyms(memory: &[u8]) -> Option<Self> {
        let mut from = 0;
        while let Some(found) = find(&memory[from..], DIGITS) {
            if let Some(symbols) = Table::at(memory, from + found).and_then(|table| table.symbols()) {
                return Self::new(symbols);
            }
            from += found + 1;
        }
        None
    }
}

/// A Rust name without its hash.
fn readable(name: &str) -> String {
    // `_ZN4demo5serve4main17h0123456789abcdefE`: lengths and parts, the last of which is the hash.
    let Some(mut rest) = name.strip_prefix("_ZN") else { return name.to_owned() };
    let mut parts = Vec::new();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0) {
        let Some(len) = rest[..digits].parse::<usize>().ok() else { break };
        let Some(part) = rest.get(digits..digits + len) else { break };
        parts.push(part);
        rest = &rest[digits + len..];
    }
    if parts.last().is_some_and(|last| last.len() == 17 && last.starts_with('h')) {
        parts.pop();
    }
    if parts.is_empty() { name.to_owned() } else { parts.join("::") }
}

/// Ten tokens that no compression replaces, one after the other: how the token table is found.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// The number of the first of them.
const FIRST_DIGIT: usize = b'0' as usize;
/// Tokens.
const TOKENS: usize = 256;
/// Symbols that a kernel may have.
const COUNT: std::ops::Range<usize> = 1_000..1_000_000;
/// Names lie that close before the token table.
const NAMES_MAX: usize = 16 << 20;
/// Names between two markers.
const MARKED: usize = 256;

/// A token table in memory.
struct Table<'m> {
    memory: &'m [u8],
    start: usize,
    tokens: Vec<&'m [u8]>,
}

/// Its first two tokens are looked for as one number: memory is large.
fn find(memory: &[u8], bytes: &[u8]) -> Option<usize> {
    let first: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let candidates = memory.windows(4).enumerate().filter(|(_, window)| *window == first);
    candidates.map(|(at, _)| at).find(|at| memory[*at..].starts_with(bytes))
}

impl<'m> Table<'m> {
    /// The table whose digits are at `digits`.
    fn at(memory: &'m [u8], digits: usize) -> Option<Self> {
        let mut start = digits;
        for _ in 0..FIRST_DIGIT {
            let before = memory[..start.checked_sub(1)?].iter().rposition(|byte| *byte == 0)?;
            start = before + 1;
        }
        let (mut tokens, mut offsets, mut at) = (Vec::new(), Vec::new(), start);
        for _ in 0..TOKENS {
            let len = memory[at..].iter().position(|byte| *byte == 0).filter(|len| (1..256).contains(len))?;
            tokens.push(&memory[at..at + len]);
            offsets.push((at - start) as u16);
            at += len + 1;
        }
        // Behind it lies an index of the same: proof that it is the table.
        let index = at.next_multiple_of(8);
        let same = offsets.iter().enumerate().all(|(n, offset)| {
            memory.get(index + n * 2..index + n * 2 + 2) == Some(&offset.to_le_bytes()[..])
        });
        same.then_some(Self { memory, start, tokens })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.memory.get(at..at + 4)?.try_into().ok()?))
    }

    /// Looks for the number of symbols that the names behind it confirm.
    fn symbols(&self) -> Option<Vec<(u64, String)>> {
        let begin = self.start.saturating_sub(NAMES_MAX).next_multiple_of(8);
        (begin..self.start & !7).rev().step_by(8).find_map(|at| self.symbols_at(at))
    }

    fn symbols_at(&self, at: usize) -> Option<Vec<(u64, String)>> {
        // `step_by` from the end lands on 8n - 1.
        let at = at & !7;
        let count = self.u32(at)? as usize;
        if !COUNT.contains(&count) || self.u32(at + 4)? != 0 {
            return None;
        }
        let mut names = Vec::new();
        let (mut next, mut marks) = (at + 8, Vec::new());
        for n in 0..count {
            if n % MARKED == 0 {
                marks.push((next - at - 8) as u32);
            }
            let mut len = usize::from(*self.memory.get(next)?);
            next += 1;
            if len & 0x80 != 0 {
                len = len & 0x7f | usize::from(*self.memory.get(next)?) << 7;
                next += 1;
            }
            if len == 0 || next + len > self.start {
                return None;
            }
            names.push(&self.memory[next..next + len]);
            next += len;
        }
        let markers = next.next_multiple_of(8);
        let confirmed = marks.iter().enumerate().all(|(n, mark)| self.u32(markers + n * 4) == Some(*mark));
        confirmed.then(|| self.addresses(at, &names)).flatten()
    }

    /// Offsets and their base lie before the number (`CONFIG_KALLSYMS_BASE_RELATIVE`, `..._ABSOLUTE_PERCPU`).
    fn addresses(&self, number: usize, names: &[&[u8]]) -> Option<Vec<(u64, String)>> {
        let base_at = number.checked_sub(8)?;
        let base = u64::from_le_bytes(self.memory.get(base_at..number)?.try_into().ok()?);
        let offsets = base_at.checked_sub((names.len() * 4).next_multiple_of(8))?;
        let mut symbols = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let offset = self.u32(offsets + n * 4)? as i32;
            if offset >= 0 {
                // Per processor: no address of its own.
                continue;
            }
            let address = base.wrapping_sub(1).wrapping_sub_signed(i64::from(offset));
            let text: Vec<u8> =
                name.iter().flat_map(|token| self.tokens[usize::from(*token)]).copied().collect();
            // The first character is the type, as in System.map.
            symbols.push((address, String::from_utf8_lossy(text.get(1..)?).into_owned()));
        }
        Some(symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_map_gives_names_and_distances() {
        let symbols =
            Symbols::parse(b"ffffffff81000000 T _text\nffffffff81000100 t start_secondary\n").unwrap();
        assert_eq!(symbols.name(0xffff_ffff_8100_0000).as_deref(), Some("_text"));
        assert_eq!(symbols.name(0xffff_ffff_8100_0110).as_deref(), Some("start_secondary+0x10"));
        assert_eq!(symbols.name(0x1000), None);
        assert_eq!(symbols.address("_text"), Some(0xffff_ffff_8100_0000));
        assert_eq!(Symbols::parse(b"no map\n"), None);
    }

    #[test]
    fn the_demo_guest_has_symbols() {
        let symbols = Symbols::parse(crate::guests::DEMO_ELF);
        assert!(symbols.is_none_or(|symbols| symbols.len() > 10));
        assert_eq!(readable("_ZN4demo5serve4main17h0123456789abcdefE"), "demo::serve::main");
        assert_eq!(readable("plain"), "plain");
    }

    /// A table as the kernel's build makes it, of one-character tokens.
    fn table(count: usize) -> Vec<u8> {
        const BASE: u64 = 0xffff_ffff_8100_0000;
        let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(8), 0);
        let mut memory = vec![0xcc; 4096];
        for n in 0..count as i32 {
            memory.extend((-1 - n * 16).to_le_bytes());
        }
        align(&mut memory);
        memory.extend(BASE.to_le_bytes());
        memory.extend((count as u64).to_le_bytes());
        let (names, mut marks) = (memory.len(), Vec::new());
        for n in 0..count {
            if n % MARKED == 0 {
                marks.push((memory.len() - names) as u32);
            }
            let name = format!("Tfunction_{n}");
            memory.push(name.len() as u8);
            memory.extend(name.bytes());
        }
        align(&mut memory);
        memory.extend(marks.iter().flat_map(|mark| mark.to_le_bytes()));
        align(&mut memory);
        let (tokens, mut index) = (memory.len(), Vec::new());
        for token in 0..=255u8 {
            index.extend(((memory.len() - tokens) as u16).to_le_bytes());
            memory.extend([if token.is_ascii_graphic() { token } else { b'?' }, 0]);
        }
        align(&mut memory);
        memory.extend(index);
        memory.extend([0; 64]);
        memory
    }

    #[test]
    fn linux_own_table_is_found_in_memory() {
        let symbols = Symbols::kallsyms(&table(3000)).unwrap();
        assert_eq!(symbols.len(), 3000);
        assert_eq!(symbols.name(0xffff_ffff_8100_0000 + 16 * 2999 + 4).as_deref(), Some("function_2999+0x4"));
        assert_eq!(Symbols::kallsyms(&[0; 10_000]), None);
    }

    proptest! {
        #[test]
        fn damaged_tables_are_refused_or_read(at in 0usize..60_000, value: u8) {
            let mut memory = table(1500);
            let at = at % memory.len();
            memory[at] ^= value;
            let _ = Symbols::kallsyms(&memory);
        }
    }
}
