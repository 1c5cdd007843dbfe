//! Arbitrary bytes as a segment file and as a footer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| alluvium::fuzzing::segment(data));
