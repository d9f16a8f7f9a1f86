//! The processor.
