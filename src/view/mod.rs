//! How a run is shown: records in every form that people and tools read, and a packet's journey. Nothing here reaches the
//! machine.

pub mod bits;
mod csv;
pub mod explain;
mod export;
pub mod expression;
pub mod file;
pub mod filter;
pub mod frame;
pub mod journey;
pub mod jsonl;
pub mod names;
mod perfetto;
pub mod plain;
pub mod report;
pub mod sink;
pub mod stages;
pub mod symbol_file;
pub mod symbols;
pub mod table;
pub mod tell;
pub mod text;
mod vcd;

pub use csv::Csv;
pub use export::{CSV_INTERVAL, Exporter, Format};
pub use journey::{Journey, Subject};
pub use perfetto::Perfetto;
pub use sink::FileSink;
pub use vcd::Vcd;
