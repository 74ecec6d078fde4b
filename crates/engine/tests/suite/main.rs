//! The engine as its users call it. One program, as linking takes longer than most of these tests:
//! `cargo test -p auspex-engine --test suite reopen::` runs those of one file.

mod allocation;
mod bulk;
mod common;
mod compaction;
mod concurrency;
mod determinism;
mod edges;
mod filters;
mod guard;
mod model;
mod quality;
mod quantization;
mod recall;
mod reopen;
mod text;

/// A file that is not named above would not be run.
#[test]
fn every_file_is_a_module() {
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(name == "main" || include_str!("main.rs").lines().any(|line| line == format!("mod {name};")), "{name}");
    }
}
