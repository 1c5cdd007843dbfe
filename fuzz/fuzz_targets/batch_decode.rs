//! Arbitrary bytes as a batch header and as records.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| alluvium::fuzzing::batch(data));
