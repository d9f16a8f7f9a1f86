//! Symbols as an ELF file that debuggers load: names and addresses, no code. ELF-64 Object File Format, version 1.5.

use super::symbols::Symbols;

const EHDR: u64 = 64;
const SHDR: u64 = 64;
/// Names of sections, after the empty one.
const SECTION_NAMES: &[u8] = b"\0.text\0.symtab\0.strtab\0.shstrtab\0";

/// A section header's numbers: name, type, flags, address, offset, size, link, info, alignment, entry size.
type Section = (u32, u32, u64, u64, u64, u64, u32, u32, u64, u64);

fn section(out: &mut Vec<u8>, section: Section) {
    let (name, kind, flags, address, offset, size, link, info, align, entry) = section;
    out.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
    out.extend([flags, address, offset, size].iter().flat_map(|word| word.to_le_bytes()));
    out.extend([link, info].iter().flat_map(|word| word.to_le_bytes()));
    out.extend([align, entry].iter().flat_map(|word| word.to_le_bytes()));
}

/// Makes the file. Each symbol is a function that reaches to the next one.
#[must_use]
pub fn elf(symbols: &Symbols) -> Vec<u8> {
    let (mut table, mut names) = (vec![0; 24], vec![0]);
    let mut all = symbols.iter().peekable();
    let first = all.peek().map_or(0, |(address, _)| *address);
    let mut last = first;
    while let Some((address, name)) = all.next() {
        last = address;
        let size = all.peek().map_or(1, |(next, _)| next - address);
        table.extend((names.len() as u32).to_le_bytes());
        // A global function in section 1.
        table.extend([1 << 4 | 2, 0, 1, 0]);
        table.extend(address.to_le_bytes());
        table.extend(size.to_le_bytes());
        names.extend(name.bytes().filter(|byte| *byte != 0));
        names.push(0);
    }
    let (table_at, names_at) = (EHDR, EHDR + table.len() as u64);
    let sections_at = names_at + names.len() as u64;
    let headers_at = (sections_at + SECTION_NAMES.len() as u64).next_multiple_of(8);
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, EM_X86_64, EV_CURRENT.
    out.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    out.extend(1u32.to_le_bytes());
    out.extend([first, 0, headers_at].iter().flat_map(|word| word.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    out.extend([EHDR as u16, 56, 0, SHDR as u16, 5, 4].iter().flat_map(|half| half.to_le_bytes()));
    out.extend(&table);
    out.extend(&names);
    out.extend(SECTION_NAMES);
    out.resize(headers_at as usize, 0);
    section(&mut out, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    // SHT_NOBITS, allocated and executable.
    section(&mut out, (1, 8, 6, first, EHDR, last - first + 1, 0, 0, 1, 0));
    section(&mut out, (7, 2, 0, 0, table_at, table.len() as u64, 3, 1, 8, 24));
    section(&mut out, (15, 3, 0, 0, names_at, names.len() as u64, 0, 0, 1, 0));
    section(&mut out, (23, 3, 0, 0, sections_at, SECTION_NAMES.len() as u64, 0, 0, 1, 0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let map =
            b"ffffffff81000000 T _text\nffffffff81000100 t start_secondary\nffffffffc0201000 t e1000_intr\n";
        let symbols = Symbols::parse(map).unwrap();
        assert_eq!(Symbols::parse(&elf(&symbols)).unwrap(), symbols);
    }
}
