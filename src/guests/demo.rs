//! Guests that ship inside the program.

/// The demo guest, an ELF64 image that is entered by PVH: our own driver of e1000 and VT-d. Its source is in
/// `guests/demo`, and so is the list of its command-line options; `build.rs` compiles it.
pub static DEMO_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo.elf"));

#[cfg(test)]
mod tests {
    use super::DEMO_ELF;
    use object::LittleEndian;
    use object::elf::{FileHeader64, NoteType, PF_W, PF_X, PT_LOAD, ProgramFlags};
    use object::read::elf::{FileHeader, ProgramHeader};

    /// `XEN_ELFNOTE_PHYS32_ENTRY` of Xen's public/elfnote.h.
    const PHYS32_ENTRY: NoteType = NoteType(18);

    fn header() -> &'static FileHeader64<LittleEndian> {
        FileHeader64::parse(DEMO_ELF).unwrap()
    }

    #[test]
    fn demo_names_its_pvh_entry_inside_an_executable_segment() {
        let segments = header().program_headers(LittleEndian, DEMO_ELF).unwrap();
        let entry = segments
            .iter()
            .filter_map(|segment| segment.notes(LittleEndian, DEMO_ELF).unwrap())
            .find_map(|mut notes| {
                let note = notes.next().unwrap()?;
                (note.name() == b"Xen" && note.n_type(LittleEndian) == PHYS32_ENTRY).then(|| note.desc())
            })
            .unwrap();
        let entry = u64::from(u32::from_le_bytes(entry.try_into().unwrap()));
        assert!(segments.iter().any(|segment| {
            let start = segment.p_paddr(LittleEndian);
            segment.p_type(LittleEndian) == PT_LOAD
                && segment.p_flags(LittleEndian) & PF_X != ProgramFlags(0)
                && (start..start + segment.p_filesz(LittleEndian)).contains(&entry)
        }));
    }

    #[test]
    fn demo_is_linked_where_it_is_loaded_and_never_writable_and_executable() {
        for segment in header().program_headers(LittleEndian, DEMO_ELF).unwrap() {
            assert_eq!(segment.p_vaddr(LittleEndian), segment.p_paddr(LittleEndian));
            let both = PF_W | PF_X;
            assert_ne!(segment.p_flags(LittleEndian) & both, both);
        }
    }

    #[test]
    fn demo_carries_no_path_of_the_machine_that_built_it() {
        let home = std::env::var("HOME").unwrap_or_default();
        for path in [env!("CARGO_MANIFEST_DIR"), env!("OUT_DIR"), home.as_str(), "/root/", "/home/"] {
            let found = DEMO_ELF.windows(path.len().max(1)).any(|window| window == path.as_bytes());
            assert!(!found, "{path} is in the image");
        }
    }
}
