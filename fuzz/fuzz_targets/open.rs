#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| auspex_fuzz::open(data));
