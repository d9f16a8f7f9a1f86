//! The symbols of Linux's loaded modules, from the list that the kernel keeps (`kernel/module/main.c`, Linux 6.1). Where in a
//! `struct module` its symbols are depends on the kernel's configuration: the pointer to them that points right behind itself is it.

use super::Machine;
use crate::view::symbols::Symbols;
use emu_core::Lin;

/// `list` in `struct module`, and behind it `name`.
const LIST: u64 = 8;
/// A `struct module` in words, at most.
const WORDS: u64 = 256;
/// So many are loaded at most, each with so many symbols.
const MODULES_MAX: usize = 1000;
const SYMBOLS_MAX: u32 = 100_000;
/// Bytes of an ELF symbol, and of a name at most.
const SYMBOL: usize = 24;
const NAME_MAX: usize = 512;

impl Machine {
    fn word(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.peek(Lin(at), &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
    }

    /// Symbols of every module, if the kernel's own say where the list is.
    pub(super) fn module_symbols(&self, kernel: &Symbols) -> Vec<(u64, String)> {
        let mut symbols = Vec::new();
        let Some(head) = kernel.address("modules") else { return symbols };
        let mut next = self.word(head);
        for _ in 0..MODULES_MAX {
            let Some(at) = next.filter(|at| *at != head) else { break };
            let module = at.wrapping_sub(LIST);
            symbols.extend((0..WORDS).find_map(|n| self.symbols_behind(module + n * 8)).unwrap_or_default());
            next = self.word(at);
        }
        symbols
    }

    /// If the word there points behind itself: symbol table, number, names.
    fn symbols_behind(&self, pointer: u64) -> Option<Vec<(u64, String)>> {
        let table = pointer + 8;
        if self.word(pointer)? != table {
            return None;
        }
        let (symtab, count, strtab) =
            (self.word(table)?, self.word(table + 8)? as u32, self.word(table + 16)?);
        if count == 0 || count > SYMBOLS_MAX {
            return None;
        }
        let mut bytes = vec![0; count as usize * SYMBOL];
        // The first symbol of every table is empty.
        if self.peek(Lin(symtab), &mut bytes) < bytes.len() || bytes[..SYMBOL] != [0; SYMBOL] {
            return None;
        }
        let symbol = |entry: &[u8]| {
            let name = u32::from_le_bytes(entry[..4].try_into().ok()?);
            let section = u16::from_le_bytes(entry[6..8].try_into().ok()?);
            let address = u64::from_le_bytes(entry[8..16].try_into().ok()?);
            let mut text = [0; NAME_MAX];
            let len = self.peek(Lin(strtab.wrapping_add(name.into())), &mut text);
            let end = text[..len].iter().position(|byte| *byte == 0)?;
            (section != 0).then(|| (address, String::from_utf8_lossy(&text[..end]).into_owned()))
        };
        Some(bytes.chunks_exact(SYMBOL).filter_map(symbol).collect())
    }
}
