//! Replays what the fuzzers kept, and as many inputs of chance as `AUSPEX_FUZZ` says.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

/// What panicked, in whichever thread: the place and the message.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ALONE: Mutex<()> = Mutex::new(());

fn panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a target over a corpus and over inputs of chance.
fn replay(name: &str, target: fn(&[u8])) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let text = info.payload_as_str().unwrap_or_default().to_owned();
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{place}: {text}"));
    }));
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut inputs: Vec<Vec<u8>> =
        std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    let (kept, mut x) = (inputs.len(), 7_u64);
    let chance: u64 = std::env::var("AUSPEX_FUZZ").map_or(300, |count| count.parse().unwrap());
    for _ in 0..chance {
        let mut next = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let y = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (y ^ (y >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 24
        };
        let len = next() % 64;
        inputs.push((0..len).map(|_| next() as u8).collect());
    }
    let mut findings: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for input in &inputs {
        let _ = catch_unwind(|| target(input));
        for panic in panics() {
            let hex = input.iter().map(|byte| format!("{byte:02x}")).collect();
            findings.entry(panic).or_insert((0, hex)).0 += 1;
        }
    }
    let _ = std::panic::take_hook();
    println!("{name}: {kept} inputs kept, {chance} of chance, {} findings", findings.len());
    for (panic, (times, input)) in &findings {
        println!("{times} x {panic}\n    {input}");
    }
    assert!(kept > 0 && findings.is_empty());
}

#[test]
fn open() {
    replay("open", auspex_fuzz::open);
}

#[test]
fn operations() {
    replay("operations", auspex_fuzz::operations);
}
