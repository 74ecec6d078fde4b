//! `AUSPEX_ISA` decides, in a process of its own.
#![cfg(not(miri))]

use std::ffi::OsString;
use std::process::Command;

use auspex_kernel::{ISA_VARIABLE, Isa, kernels, kernels_for};

/// What a process with this value of the variable says of its kernels.
fn kernels_in_child(value: Option<&str>) -> String {
    // Where the machine does not run the tests itself, this one starts with the emulator's command.
    let emulator = std::env::var("AUSPEX_TEST_EMULATOR").unwrap_or_default();
    let mut command = emulator.split_whitespace().map(OsString::from).chain([std::env::current_exe().unwrap().into()]);
    let mut child = Command::new(command.next().unwrap());
    child.args(command).args(["--exact", "forced::says_its_kernels", "--nocapture"]).env("AUSPEX_ISA_TEST_CHILD", "1");
    match value {
        Some(value) => child.env(ISA_VARIABLE, value),
        None => child.env_remove(ISA_VARIABLE),
    };
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let (_, said) = stdout.split_once("kernels: ").unwrap();
    said.lines().next().unwrap().to_owned()
}

/// The child's part; nothing to see otherwise.
#[test]
fn says_its_kernels() {
    if std::env::var_os("AUSPEX_ISA_TEST_CHILD").is_none() {
        return;
    }
    let first = kernels();
    match &first {
        Ok(kernels) => println!("kernels: {}", kernels.isa),
        Err(error) => println!("kernels: error: {error}"),
    }
    assert_eq!(kernels().err(), first.err(), "the answer is the same every time");
}

#[test]
fn nothing_forced_is_the_best() {
    assert_eq!(kernels_in_child(None), Isa::available()[0].name());
    assert_eq!(kernels_in_child(Some("")), Isa::available()[0].name());
}

#[test]
fn each_available_one_can_be_forced() {
    for isa in Isa::available() {
        assert_eq!(kernels_in_child(Some(isa.name())), isa.name());
    }
}

#[test]
fn a_forced_but_absent_one_is_an_error() {
    let here = Isa::available();
    for isa in Isa::ALL.iter().filter(|isa| !here.contains(isa)) {
        let said = kernels_in_child(Some(isa.name()));
        let begin =
            format!("error: AUSPEX_ISA=\"{isa}\": the instruction set {isa} is not available; this machine has ");
        assert!(said.starts_with(&begin) && said.ends_with("scalar"), "{said}");
        assert!(kernels_for(*isa).unwrap_err().to_string().starts_with("the instruction set "));
    }
}

#[test]
fn an_unknown_one_is_an_error() {
    let said = kernels_in_child(Some("sse9"));
    assert!(said.starts_with("error: AUSPEX_ISA=\"sse9\": \"sse9\" is no instruction set, expected one of "), "{said}");
}
