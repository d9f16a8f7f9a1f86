//! Trace files of one record of each sort, cut, damaged and indexed.

use super::*;
use emu_core::trace::{
    BadAccess, CpuMode, DropReason, FilterRule, Granularity, IommuCache, RecordId, Ring, TraceEvent,
    TraceRecord,
};
use emu_core::{
    Bdf, DeliveryMode, DestinationMode, Gpa, Interrupt, Iova, Lin, Pin, Slot, TriggerMode, VirtTime, Width,
};
use proptest::prelude::*;
use std::io::Cursor;

const NIC: Bdf = Bdf::new(0, 2, 0);

/// Events of every shape that fields have.
fn events() -> Vec<TraceEvent> {
    let interrupt = Interrupt {
        vector: 0x50,
        mode: DeliveryMode::Fixed,
        trigger: TriggerMode::Level,
        dest_mode: DestinationMode::Logical,
        dest: u32::MAX,
    };
    vec![
        TraceEvent::FrameIn { packet: 7, len: 60 },
        TraceEvent::FrameFilter { packet: 7, rule: FilterRule::Exact(3) },
        TraceEvent::FrameFilter { packet: 7, rule: FilterRule::Broadcast },
        TraceEvent::FrameDrop { packet: 7, reason: DropReason::FifoFull },
        TraceEvent::DescFetch { ring: Ring::Rx, index: 1, iova: Iova(u64::MAX), raw: [u64::MAX, 0] },
        TraceEvent::DescUse { packet: 7, index: 1, fetch: RecordId(2) },
        TraceEvent::DmaWrite { bdf: NIC, iova: Iova(0xffff_d000), gpa: Gpa(0x41_4000), len: 60 },
        TraceEvent::Invalidate { cache: IommuCache::Iotlb, what: Granularity::Global, dropped: 1 },
        TraceEvent::Invalidate { cache: IommuCache::Context, what: Granularity::Domain(9), dropped: 0 },
        TraceEvent::Invalidate {
            cache: IommuCache::Iotlb,
            what: Granularity::Pages { domain: 1, iova: Iova(0x1000), mask: 2, leaf_only: true },
            dropped: 3,
        },
        TraceEvent::Invalidate { cache: IommuCache::PagingStructure, what: Granularity::Global, dropped: 2 },
        TraceEvent::Invalidate {
            cache: IommuCache::Pasid,
            what: Granularity::Pasid { domain: 1, pasid: 0xf_ffff },
            dropped: 1,
        },
        TraceEvent::PasidLookup { bdf: NIC, pasid: 7, hit: false, domain: 0 },
        TraceEvent::PagingInsert { domain: 1, iova: Iova(0x20_0000), level: 1, table: Gpa(0x4000), way: 3 },
        TraceEvent::PagingEvict { domain: 1, iova: Iova(0), level: 3, way: 0 },
        TraceEvent::IrteEvict { index: 9, way: 1 },
        TraceEvent::InterruptPosted { gpa: Gpa(0x7000), vector: 0x41, notified: true },
        TraceEvent::PinLevel { pin: Pin(0), high: true },
        TraceEvent::LapicAccept { interrupt },
        TraceEvent::CpuException {
            vector: 14,
            error: Some(2),
            rip: 0xffff_ffff_8100_0000,
            address: Some(Lin(8)),
        },
        TraceEvent::CpuException { vector: 6, error: None, rip: 0, address: None },
        TraceEvent::CpuMode { mode: CpuMode::Long64 },
        TraceEvent::MmioRead { offset: 0xc0, width: Width::B4, value: 0x80 },
        TraceEvent::BadAccess { offset: 1, width: Width::B8, write: true, error: BadAccess::Misaligned },
        TraceEvent::Snapshot,
    ]
}

fn items(count: u64) -> Vec<Item> {
    let events = events();
    (0..count)
        .map(|n| Item {
            record: TraceRecord {
                id: RecordId(n * 3),
                time: VirtTime(n * 1_000_003),
                insns: n * 17,
                source: if n % 2 == 0 { Slot::Nic(0) } else { Slot::Iommu(0) },
                cause: (n % 3 == 1).then_some(RecordId(n)),
                event: events[n as usize % events.len()],
            },
            bytes: if n % 5 == 0 { vec![n as u8; n as usize % 70] } else { Vec::new() },
        })
        .collect()
}

fn written(items: &[Item]) -> Vec<u8> {
    let (mut out, mut writer) = (Vec::new(), BinaryWriter::default());
    writer.begin(&mut out, &Meta::new("a run", TraceMask::ALL)).unwrap();
    for item in items {
        writer.record(&mut out, &item.record, &item.bytes).unwrap();
    }
    writer.finish(&mut out).unwrap();
    out
}

type Opened<'b> = (TraceFile<Cursor<&'b [u8]>>, Vec<Item>);

fn read(bytes: &[u8]) -> std::io::Result<Opened<'_>> {
    let mut file = TraceFile::read(Cursor::new(bytes))?;
    let mut items = Vec::new();
    let blocks = file.index().len();
    for at in 0..blocks {
        items.extend(file.block(at)?);
    }
    Ok((file, items))
}

#[test]
fn what_is_written_is_read() {
    for count in [0, 1, 18, 3 * BLOCK_RECORDS as u64 + 5] {
        let items = items(count);
        let bytes = written(&items);
        let (file, found) = read(&bytes).unwrap();
        assert_eq!(found, items);
        assert_eq!((file.cut(), file.meta().title.as_str(), file.meta().is_whole()), (None, "a run", true));
    }
}

#[test]
fn the_index_says_what_a_block_covers() {
    let items = items(BLOCK_RECORDS as u64 + 1);
    let bytes = written(&items);
    let file = TraceFile::read(Cursor::new(&bytes)).unwrap();
    let index: Vec<_> = file.index().collect();
    assert_eq!(index.len(), 2);
    assert_eq!(index[0].ids, (0, (BLOCK_RECORDS as u64 - 1) * 3));
    assert_eq!(index[1].ids.0, BLOCK_RECORDS as u64 * 3);
    assert_eq!(index[0].packets, Some((7, 7)));
    assert_eq!(index[0].kinds.iter().map(|(_, count)| count).sum::<u64>(), BLOCK_RECORDS as u64);
    assert!(index[0].has(TraceMask::NONE.with(TraceKind::Dma)));
    assert!(!index[1].has(TraceMask::NONE.with(TraceKind::Dma)), "its one record is of another kind");
}

#[test]
fn a_file_cut_off_anywhere_keeps_every_whole_block() {
    let items = items(2 * BLOCK_RECORDS as u64 + 9);
    let bytes = written(&items);
    let mut kept_before = 0;
    for len in (0..bytes.len()).step_by(997).chain(bytes.len() - 40..bytes.len()) {
        match read(&bytes[..len]) {
            Ok((file, found)) => {
                assert!(file.cut().is_some(), "{len} of {} bytes", bytes.len());
                assert_eq!(found, items[..found.len()]);
                assert!(found.len() >= kept_before);
                kept_before = found.len();
            }
            Err(error) => assert!(len < 300, "{len}: {error}"),
        }
    }
    assert_eq!(kept_before, items.len(), "without its last frame it has every record");
}

#[test]
fn a_variant_that_nobody_knows_is_named() {
    let item = Item {
        record: TraceRecord {
            id: RecordId(0),
            time: VirtTime(0),
            insns: 0,
            source: Slot::Pci,
            cause: None,
            event: TraceEvent::Snapshot,
        },
        bytes: Vec::new(),
    };
    let shapes = [("Slot", "Pci"), ("TraceEvent", "Frobnicate")].map(|(of, variant)| decode::Shape {
        of: of.to_owned(),
        variant: variant.to_owned(),
        fields: Vec::new(),
    });
    let event = decode::Decoder::new(&[1], &shapes).decode::<TraceEvent>();
    assert!(event.unwrap_err().0.contains("unknown variant `Frobnicate`"));
    assert_eq!(decode::Decoder::new(&[0], &shapes).decode::<Slot>(), Ok(item.record.source));
}

proptest! {
    #[test]
    fn a_damaged_file_is_refused_or_read_and_never_panics(at in 8usize..2000, value: u8, cut in 0usize..3000) {
        let mut bytes = written(&items(60));
        let (at, cut) = (at % bytes.len(), cut % bytes.len());
        bytes[at] ^= value;
        let _ = read(&bytes);
        let _ = read(&bytes[..cut]);
    }

    #[test]
    fn a_body_of_anything_is_refused_or_read_and_never_panics(bytes: Vec<u8>) {
        let shapes = [decode::Shape {
            of: "TraceEvent".to_owned(),
            variant: "FrameIn".to_owned(),
            fields: vec!["packet".to_owned(), "len".to_owned()],
        }];
        let _ = decode::Decoder::new(&bytes, &shapes).decode::<TraceEvent>();
    }
}
