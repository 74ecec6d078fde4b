//! The instruction sets: their names, which of them this machine has, which one it was told to use.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that forces an instruction set, by one of the names of [`Isa::name`].
pub const ISA_VARIABLE: &str = "AUSPEX_ISA";

/// An instruction set for which there are kernels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Isa {
    /// Plain Rust, everywhere: the truth that the others are compared with.
    Scalar,
    /// x86-64 with AVX2 and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI. A machine without one of these has [`Isa::Avx2`].
    Avx512,
    /// 64-bit ARM, with the dot product instructions where they exist.
    Neon,
}

impl Isa {
    /// Every instruction set, on this machine or not.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon];

    /// The name that [`ISA_VARIABLE`] takes: `scalar`, `avx2`, `avx512` or `neon`.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// What this machine has, the best first; the last is always [`Isa::Scalar`].
    pub fn available() -> &'static [Isa] {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let best_first = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Scalar];
            best_first.into_iter().filter(|isa| isa.detected()).collect()
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => has!("avx2") && has!("f16c"),
            Isa::Avx512 => {
                has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") && has!("avx512vnni")
            }
            Isa::Neon => false,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn detected(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn detected(self) -> bool {
        self == Isa::Scalar
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        let found = Isa::ALL.into_iter().find(|isa| isa.name() == name);
        found.ok_or_else(|| IsaError { asked: name.to_owned(), known: false, forced: false })
    }
}

/// An instruction set was asked for that has no kernels, or that this machine does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IsaError {
    asked: String,
    known: bool,
    forced: bool,
}

impl IsaError {
    /// The name that was asked for.
    pub fn asked(&self) -> &str {
        &self.asked
    }
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |isas: &[Isa]| isas.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        if self.forced {
            write!(f, "{ISA_VARIABLE}={:?}: ", self.asked)?;
        }
        match self.known {
            true => write!(f, "the instruction set {} is not available", self.asked)?,
            false => write!(f, "{:?} is no instruction set, expected one of {}", self.asked, names(&Isa::ALL))?,
        }
        write!(f, "; this machine has {}", names(Isa::available()))
    }
}

impl std::error::Error for IsaError {}

/// `isa` itself if it is one of `available`.
pub(crate) fn require(isa: Isa, available: &[Isa]) -> Result<Isa, IsaError> {
    match available.contains(&isa) {
        true => Ok(isa),
        false => Err(IsaError { asked: isa.name().to_owned(), known: true, forced: false }),
    }
}

/// The one that [`ISA_VARIABLE`], set to `forced`, asks for; the best of `available` if it is not set, or empty.
pub(crate) fn choose(forced: Option<&OsStr>, available: &[Isa]) -> Result<Isa, IsaError> {
    let Some(forced) = forced.filter(|value| !value.is_empty()) else {
        return Ok(available[0]);
    };
    let isa = forced.to_string_lossy().parse().and_then(|isa| require(isa, available));
    isa.map_err(|error| IsaError { forced: true, ..error })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &[Isa] = &[Isa::Avx2, Isa::Scalar];

    fn forced(value: &str) -> Result<Isa, IsaError> {
        choose(Some(OsStr::new(value)), HERE)
    }

    #[test]
    fn the_best_is_chosen_when_nothing_is_forced() {
        assert_eq!(choose(None, HERE), Ok(Isa::Avx2));
        assert_eq!(forced(""), Ok(Isa::Avx2));
    }

    #[test]
    fn an_available_one_can_be_forced() {
        assert_eq!(forced("avx2"), Ok(Isa::Avx2));
        assert_eq!(forced("scalar"), Ok(Isa::Scalar));
    }

    #[test]
    fn a_forced_but_absent_one_is_an_error() {
        for absent in ["avx512", "neon"] {
            let error = forced(absent).unwrap_err();
            assert_eq!(error.asked(), absent);
            let message = error.to_string();
            assert!(
                message.starts_with(&format!("AUSPEX_ISA={absent:?}: the instruction set {absent} is not available")),
                "{message}"
            );
            assert!(message.ends_with("scalar"), "{message}");
        }
    }

    #[test]
    fn an_unknown_one_is_an_error() {
        for unknown in ["avx", "AVX2", " scalar", "scalar ", "0"] {
            let message = forced(unknown).unwrap_err().to_string();
            let begin = format!("AUSPEX_ISA={unknown:?}: {unknown:?} is no instruction set, expected one of scalar,");
            assert!(message.starts_with(&begin), "{message}");
        }
    }

    #[test]
    fn a_name_parses_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
            assert_eq!(isa.to_string(), isa.name());
        }
        let message = "sse".parse::<Isa>().unwrap_err().to_string();
        assert!(message.starts_with("\"sse\" is no instruction set"), "{message}");
    }

    #[test]
    fn scalar_is_always_there_and_last() {
        assert_eq!(Isa::available().last(), Some(&Isa::Scalar));
    }
}
