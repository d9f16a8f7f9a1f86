//! Every format, a little of each; and files that are none of them.

use super::dmar::Described;
use super::*;
use crate::dmar::Dmar;
use crate::machine::layout;
use emu_iommu::IommuConfig;
use proptest::prelude::*;
use std::io::Write;

const MIB: u64 = 1 << 20;

fn memory() -> PhysMem {
    PhysMem::new(16 * MIB).unwrap()
}

fn boot(append: &str) -> Boot<'_> {
    Boot { append, rsdp: Some(Gpa(0xe_0000)), linux: LinuxBoot::Whole, reserved: &[] }
}

fn kernel(bytes: Vec<u8>) -> Image {
    Image::Kernel { kernel: bytes.into(), modules: Vec::new() }
}

fn word(mem: &PhysMem, at: u64) -> u32 {
    mem.read_u32(Gpa(at)).unwrap()
}

/// An ELF32 file with one segment of `body` at `at`.
fn elf32(at: u32, body: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for field in [1u32, at, 52, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for field in [1u32, 84, at, at, body.len() as u32, body.len() as u32 + 16, 7, 4] {
        file.extend(field.to_le_bytes());
    }
    file.extend(body);
    file
}

/// A Multiboot kernel with address fields, loaded at 1 MiB.
fn multiboot_kernel(flags: u32) -> Vec<u8> {
    let magic = 0x1bad_b002u32;
    let sum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
    let base = MIB as u32;
    let mut file = Vec::new();
    for field in [magic, flags, sum, base, base, 0, base + 0x100, base + 32] {
        file.extend(field.to_le_bytes());
    }
    file.extend([0xf4; 16]);
    file
}

#[test]
fn an_elf_without_a_note_starts_flat_in_32_bit_mode() {
    let mut mem = memory();
    let entry = load(&mut mem, &kernel(elf32(MIB as u32, &[0xf4; 5])), boot("")).unwrap();
    assert_eq!(entry, Entry::Protected { eip: MIB as u32, eax: 0, ebx: 0, esp: low::START as u32 });
    assert_eq!(word(&mem, MIB), 0xf4f4_f4f4);
}

#[test]
fn the_demo_guest_starts_by_pvh_with_command_line_and_memory_map() {
    let mut mem = memory();
    let entry = load(&mut mem, &kernel(crate::guests::DEMO_ELF.to_vec()), boot("mode=normal")).unwrap();
    let Entry::Protected { ebx, .. } = entry else { panic!("{entry:?}") };
    assert_eq!(word(&mem, u64::from(ebx)), 0x336e_c578);
    let command_line = mem.read_u64(Gpa(u64::from(ebx) + 24)).unwrap();
    let mut text = [0; 12];
    mem.read(Gpa(command_line), &mut text).unwrap();
    assert_eq!(&text, b"mode=normal\0");
    assert_eq!(mem.read_u64(Gpa(u64::from(ebx) + 32)).unwrap(), 0xe_0000);
    assert_eq!(word(&mem, u64::from(ebx) + 48) as usize, memory_map(&mem, &[]).len());
}

#[test]
fn multiboot_kernels_get_their_information_and_modules() {
    let mut mem = memory();
    let modules = vec![Cow::Owned(vec![7; 5000])];
    let image = Image::Kernel { kernel: multiboot_kernel(0x1_0003).into(), modules };
    let entry = load(&mut mem, &image, boot("x=1")).unwrap();
    let Entry::Protected { eip, eax, ebx, .. } = entry else { panic!("{entry:?}") };
    assert_eq!((eip, eax), (MIB as u32 + 32, 0x2bad_b002));
    let info = u64::from(ebx);
    assert_eq!(word(&mem, info + 20), 1);
    let first = u64::from(word(&mem, info + 24));
    let (start, end) = (word(&mem, first), word(&mem, first + 4));
    assert_eq!((end - start, start % 4096), (5000, 0));
    assert_eq!(word(&mem, u64::from(start)), 0x0707_0707);
}

/// A bzImage with one setup sector; the payload lies 0x300 bytes into the kernel.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    const PAYLOAD: usize = 0x300;
    let mut file = vec![0; 1024 + PAYLOAD];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]);
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x20fu16.to_le_bytes());
    put(0x22c, &0x7fff_ffffu32.to_le_bytes());
    put(0x236, &1u16.to_le_bytes());
    put(0x238, &2047u32.to_le_bytes());
    put(0x248, &(PAYLOAD as u32).to_le_bytes());
    put(0x24c, &(payload.len() as u32).to_le_bytes());
    put(0x258, &(2 * MIB).to_le_bytes());
    put(0x260, &(MIB as u32).to_le_bytes());
    file.extend(payload);
    file
}

/// The same bytes in every way that is unpacked here.
fn packed(plain: &[u8]) -> [(&'static str, Vec<u8>); 5] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(plain).unwrap();
    let block = lz4_flex::block::compress(plain);
    let lz4 = [&[0x02, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block, &[0; 4]].concat();
    let zstd = ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest);
    [
        ("nothing", plain.to_vec()),
        ("gzip", gzip.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zstd", zstd),
        ("LZ4", lz4),
    ]
}

#[test]
fn a_bzimage_starts_at_its_64_bit_entry_or_unpacked() {
    let elf = elf32(3 * MIB as u32, &[0xf4; 64]);
    for (name, payload) in packed(&elf) {
        for (linux, start) in [(LinuxBoot::Whole, 2 * MIB + 0x200), (LinuxBoot::Direct, 3 * MIB)] {
            let mut mem = memory();
            let initrd = vec![7; 5000];
            let image =
                Image::Kernel { kernel: bzimage(&payload).into(), modules: vec![initrd.clone().into()] };
            let entry = load(&mut mem, &image, Boot { linux, ..boot("quiet") }).unwrap();
            let Entry::Long { rip, rsi, .. } = entry else { panic!("{name}: {entry:?}") };
            assert_eq!(rip, start, "{name}");
            assert_eq!(word(&mem, rsi + 0x202), u32::from_le_bytes(*b"HdrS"));
            assert_eq!((word(&mem, rsi + 0x218) % 4096, word(&mem, rsi + 0x21c)), (0, 5000));
            assert_eq!(word(&mem, u64::from(word(&mem, rsi + 0x218))), 0x0707_0707);
            assert_eq!(word(&mem, u64::from(word(&mem, rsi + 0x228))), u32::from_le_bytes(*b"quie"));
            assert_eq!(word(&mem, rsi + 0x70), 0xe_0000);
        }
    }
}

#[test]
fn a_payload_that_cannot_be_unpacked_is_named_with_its_place() {
    let [_, (_, gzip), (_, xz), (_, zstd), (_, lz4)] = packed(&elf32(3 * MIB as u32, &[0xf4; 64]));
    for (payload, words) in [
        (b"BZh91AY".to_vec(), "compressed with bzip2"),
        (lz4[..lz4.len() - 20].to_vec(), "goes beyond the end"),
        (b"hello".to_vec(), "neither ELF nor compressed"),
        (gzip[..30].to_vec(), "damaged"),
        (xz[..30].to_vec(), "damaged"),
        (zstd[..zstd.len() - 5].to_vec(), "damaged"),
    ] {
        let error =
            load(&mut memory(), &kernel(bzimage(&payload)), Boot { linux: LinuxBoot::Direct, ..boot("") })
                .unwrap_err()
                .to_string();
        assert!(error.contains(words) && error.contains("offset 0x700"), "{error} does not say {words}");
    }
}

#[test]
fn a_multiboot_kernel_that_wants_the_impossible_is_refused() {
    let error = load(&mut memory(), &kernel(multiboot_kernel(0x1_0008)), boot("")).unwrap_err();
    assert!(error.to_string().contains("at offset 0x0: flags 0x10008"), "{error}");
}

#[test]
fn flat_images_start_where_and_how_they_are_told() {
    let image = |at, mode| Image::Flat { image: vec![0x90; 8].into(), at: Gpa(at), mode };
    let real = load(&mut memory(), &image(0x7c00, FlatMode::Real), boot("")).unwrap();
    assert_eq!(real, Entry::Real { segment: 0x7c0, ip: 0 });
    let long = load(&mut memory(), &image(MIB, FlatMode::Long), boot("")).unwrap();
    assert!(matches!(long, Entry::Long { rip: MIB, .. }));
    assert!(load(&mut memory(), &image(2 * MIB, FlatMode::Real), boot("")).is_err());
    assert!(load(&mut memory(), &image(64 * MIB, FlatMode::Protected), boot("")).is_err());
}

#[test]
fn a_rom_lies_below_4_gib() {
    let mut mem = memory();
    let mut image = vec![0; 65536];
    image[0xfff0] = 0xea;
    assert_eq!(load(&mut mem, &Image::Rom { image: image.into() }, boot("")).unwrap(), Entry::Reset);
    let mut byte = [0];
    mem.read(Gpa(0xffff_fff0), &mut byte).unwrap();
    assert_eq!(byte, [0xea]);
    assert!(load(&mut memory(), &Image::Rom { image: vec![0; 100].into() }, boot("")).is_err());
}

#[test]
fn kernels_that_are_not_kernels_are_named_as_such() {
    let elf = elf32(MIB as u32, &[0xf4; 64]);
    let mut other_machine = elf.clone();
    other_machine[18] = 40;
    let mut absurd = elf.clone();
    absurd[52 + 20..52 + 24].copy_from_slice(&u32::MAX.to_le_bytes());
    for (file, words) in [
        (b"hello".to_vec(), "no known kernel format"),
        (Vec::new(), "no known kernel format"),
        (elf[..90].to_vec(), "cut off: segment at offset 0x54"),
        (other_machine, "machine 40 is not x86"),
        (elf32(0x6000, &[0; 16]), "collides"),
        (elf32(0xffff_0000, &[0; 16]), "not inside guest memory"),
        (absurd, "segment"),
    ] {
        let error = load(&mut memory(), &kernel(file), boot("")).unwrap_err().to_string();
        assert!(error.contains(words), "{error} does not say {words}");
    }
}

#[test]
fn a_command_line_that_is_too_long_is_refused() {
    let long = "x".repeat(5000);
    let error = load(&mut memory(), &kernel(multiboot_kernel(0x1_0000)), boot(&long)).unwrap_err();
    assert!(matches!(error, LoadError::CommandLine { len: 5000, .. }));
}

#[test]
fn the_memory_map_is_ascending_and_leaves_device_ranges_out_of_ram() {
    for size in [1, 16, 4096] {
        let mem = PhysMem::new(size * MIB).unwrap();
        let map = memory_map(&mem, &[]);
        for pair in map.windows(2) {
            assert!(pair[0].base.0 + pair[0].len <= pair[1].base.0, "{pair:?}");
        }
        for address in [layout::ECAM, layout::IOAPIC, layout::LAPIC, layout::VTD] {
            let ram = map.iter().filter(|range| range.kind == MemoryKind::Ram);
            assert!(ram.clone().all(|range| address.0.wrapping_sub(range.base.0) >= range.len));
        }
    }
}

#[test]
fn acpi_tables_have_right_checksums() {
    let mut mem = memory();
    let (iommu, dmar) = (IommuConfig::default(), Dmar::default());
    let remapping = Described { iommu: Some(&iommu), dmar: &dmar };
    let rsdp = acpi::write(&mut mem, &acpi::Platform { remapping, bridge: true, ioapic_id: 8 }).unwrap();
    let bytes = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        mem.read(Gpa(at), &mut bytes).unwrap();
        bytes
    };
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!((sum(&bytes(rsdp.0, 20)), sum(&bytes(rsdp.0, 36))), (0, 0));
    let xsdt = mem.read_u64(rsdp.plus(24)).unwrap();
    let len = word(&mem, xsdt + 4) as usize;
    let mut seen = Vec::new();
    for entry in bytes(xsdt, len)[36..].chunks_exact(8) {
        let at = u64::from_le_bytes(entry.try_into().unwrap());
        let len = word(&mem, at + 4) as usize;
        assert_eq!(sum(&bytes(at, len)), 0, "{:?}", bytes(at, 4));
        seen.push(String::from_utf8(bytes(at, 4)).unwrap());
    }
    assert_eq!(seen, ["FACP", "APIC", "MCFG", "DMAR"]);
}

proptest! {
    #[test]
    fn damaged_kernels_are_errors_or_entries(
        which in 0..4usize,
        direct in any::<bool>(),
        at in 0..1400usize,
        garbage in proptest::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut file = match which {
            0 => elf32(MIB as u32, &[0xf4; 64]),
            1 => multiboot_kernel(0x1_0000),
            2 => bzimage(&packed(&elf32(3 * MIB as u32, &[0xf4; 64]))[2].1),
            _ => crate::guests::DEMO_ELF.to_vec(),
        };
        let at = at % (file.len() - garbage.len());
        file[at..at + garbage.len()].copy_from_slice(&garbage);
        let linux = if direct { LinuxBoot::Direct } else { LinuxBoot::Whole };
        let _ = load(&mut memory(), &kernel(file), Boot { linux, ..boot("") });
    }
}

#[test]
fn reserved_memory_is_cut_out_of_the_map_and_kept_free_of_modules() {
    let mut mem = memory();
    let end = mem.ram_ranges()[0].1.0;
    let reserved = end - 2 * MIB..end - MIB;
    let reserved = std::slice::from_ref(&reserved);
    let map = memory_map(&mem, reserved);
    let kinds: Vec<_> = map.iter().filter(|range| range.base.0 >= MIB && range.base.0 < end).collect();
    let expected = [
        (MIB, end - 3 * MIB, MemoryKind::Ram),
        (end - 2 * MIB, MIB, MemoryKind::Reserved),
        (end - MIB, MIB, MemoryKind::Ram),
    ];
    assert!(kinds.iter().map(|range| (range.base.0, range.len, range.kind)).eq(expected), "{kinds:?}");
    // One module fits above what is reserved, the next goes below it.
    let modules = [vec![1; MIB as usize].into(), vec![2; MIB as usize].into()];
    let placed = put_modules(&mut mem, &modules, MIB, u64::MAX, reserved).unwrap();
    assert_eq!(placed, [(Gpa(end - MIB), MIB), (Gpa(end - 3 * MIB), MIB)]);
}

/// The structures of a DMAR table: type and body.
fn structures(dmar: &Dmar) -> Vec<(u16, Vec<u8>)> {
    let iommu = IommuConfig::default();
    let table = Described { iommu: Some(&iommu), dmar }.table(*b"GLSBOX", *b"GLASSBOX", 8);
    let mut bytes = Vec::new();
    acpi_tables::Aml::to_aml_bytes(&table, &mut bytes);
    let (mut found, mut at) = (Vec::new(), 48);
    while at < bytes.len() {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let len = usize::from(half(at + 2));
        found.push((half(at), bytes[at + 4..at + len].to_vec()));
        at += len;
    }
    found
}

#[test]
fn the_dmar_table_says_what_the_scenario_does() {
    let dmar: Dmar = ron::from_str(
        r#"(
            units: [(scope: [Endpoint("00:02.0"), Bridge("00:1e.0")])],
            reserved: [(base: 0x3000000, len: "1M", scope: [Endpoint("00:1e.0/02.0")])],
            ats: Some((all: true)),
            satc: [(atc_required: true, scope: [Endpoint("00:02.0")])],
        )"#,
    )
    .unwrap();
    let nic = [1, 8, 0, 0, 0, 0, 2, 0];
    let expected: Vec<(u16, Vec<u8>)> = vec![
        (0, [&[0, 0, 0, 0][..], &0xfed9_1000u64.to_le_bytes(), &nic, &[2, 8, 0, 0, 0, 0, 0x1e, 0]].concat()),
        (0, [&[1, 0, 0, 0][..], &0xfed9_0000u64.to_le_bytes(), &[3, 8, 0, 0, 8, 0xf0, 0x1f, 0]].concat()),
        (
            1,
            [
                &[0; 4][..],
                &0x300_0000u64.to_le_bytes(),
                &0x30f_ffffu64.to_le_bytes(),
                &[1, 10, 0, 0, 0, 0, 0x1e, 0, 2, 0],
            ]
            .concat(),
        ),
        (2, vec![1, 0, 0, 0]),
        (5, [&[1, 0, 0, 0][..], &nic].concat()),
    ];
    assert_eq!(structures(&dmar), expected);
}

#[test]
fn mistakes_are_in_the_table_alone() {
    let with = |mistake: &str, scope: &str| {
        let dmar = format!("(mistakes: [{mistake}], units: [(scope: [Endpoint(\"{scope}\")])])");
        structures(&ron::from_str(&dmar).unwrap())
    };
    let registers = |structures: &[(u16, Vec<u8>)]| structures[1].1[4..12].to_vec();
    assert_eq!(registers(&with("UnitAtZero", "00:02.0")), [0; 8]);
    assert_eq!(registers(&with("UnitSilent", "00:02.0")), 0xfed8_0000u64.to_le_bytes());
    assert_eq!(with("WrongEndpoint", "00:02.0")[0].1[18], 0x0a);
    assert_eq!(with("NoIoapic", "00:02.0")[1].1.len(), 12);
}
