//! Arbitrary bytes as a chunk of the stage.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| alluvium::fuzzing::stage(data));
