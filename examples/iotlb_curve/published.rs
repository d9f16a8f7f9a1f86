//! What was measured on hardware: R. Neugebauer, G. Antichi, J. F. Zazo, Y. Audzevich, S. López-Buedo, A. W. Moore,
//! "Understanding PCIe performance for end host networking", SIGCOMM 2018; the authors' data at
//! github.com/pcie-bench/data, commit b2abf2f (Apache-2.0).
//!
//! Of a Netronome NFP-6000 in a Dell T630 with a Xeon E5-2620 v3 (Haswell): random reads of 64 bytes, caches warmed by the
//! host, from `lat_cmd_sweep_rd_rnd_64.csv` (mean of single reads) and `bw_dma_win_sweep_rd_rnd_64.csv` (payload; the
//! column is headed GB/s, the bytes and times beside it make it Gbit/s) of `nfp6000-1.2GHz_hsw-Xeon-E5-2620v3_dell-t630-iommu-nosp`
//! (pages of 4 KiB) and `...-iommu` (superpages). Rounded to a decimal and to two.

use crate::sweep::Page;

/// Working set in KiB, latency in nanoseconds, Gbit/s.
type Measured = (u64, f64, f64);

/// The IOMMU on, superpages off.
pub(crate) const SMALL: [Measured; 13] = [
    (4, 428.4, 31.68),
    (16, 428.3, 32.34),
    (256, 428.5, 32.63),
    (512, 444.5, 24.40),
    (1024, 551.0, 15.99),
    (1536, 586.2, 13.58),
    (2048, 603.9, 12.55),
    (3072, 621.8, 11.64),
    (4096, 630.5, 11.25),
    (8192, 643.8, 10.70),
    (16384, 655.8, 10.37),
    (32768, 682.6, 10.13),
    (65536, 696.6, 10.06),
];

/// The IOMMU on, with superpages. From 16 MiB on the working set outgrows the processor's cache.
pub(crate) const LARGE: [Measured; 13] = [
    (4, 427.5, 31.72),
    (16, 427.6, 32.37),
    (256, 427.6, 32.71),
    (512, 427.5, 32.70),
    (1024, 427.6, 32.72),
    (1536, 428.1, 32.70),
    (2048, 428.1, 32.72),
    (3072, 427.6, 32.71),
    (4096, 427.6, 32.72),
    (8192, 427.7, 32.73),
    (16384, 434.1, 30.44),
    (32768, 457.0, 29.02),
    (65536, 468.8, 28.79),
];

pub(crate) const fn of(page: Page) -> &'static [Measured] {
    match page {
        Page::Small => &SMALL,
        Page::Large => &LARGE,
    }
}

/// Latency and throughput at a working set that was measured.
pub(crate) fn at(page: Page, working_set: u64) -> Option<(f64, f64)> {
    let found = of(page).iter().find(|(kib, ..)| kib << 10 == working_set)?;
    Some((found.1, found.2))
}
