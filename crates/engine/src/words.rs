//! What a word is: the parts of a text that are indexed and asked for.
//!
//! A word is what Unicode's word boundaries (UAX #29) leave between two of them, where it has a letter or a digit. It is
//! brought into one form (NFKC: wide and narrow, composed and decomposed are the same) and into small letters. A row
//! and a query go the same way, so whatever is decided here, a word finds itself.

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes of a word that count.
pub(crate) const LONGEST: usize = 255;

/// What these words depend on: the rule above, and the versions of the tables. An index of other words is none.
pub(crate) fn rules() -> [u8; 16] {
    let (major, minor, update) = unicode_segmentation::UNICODE_VERSION;
    let (forms, letters) = (unicode_normalization::UNICODE_VERSION, char::UNICODE_VERSION);
    let mut rules = [0; 16];
    rules[0] = 1;
    rules[1..4].copy_from_slice(&[major as u8, minor as u8, update as u8]);
    rules[4..7].copy_from_slice(&[forms.0, forms.1, forms.2]);
    rules[7..10].copy_from_slice(&[letters.0, letters.1, letters.2]);
    rules
}

/// Shows the words of a text to `take`, in their order, until it returns false. None is longer than [`LONGEST`].
pub(crate) fn each(text: &str, take: &mut impl FnMut(&str) -> bool) {
    let mut word = String::new();
    for part in text.unicode_words() {
        let part = cut(part);
        word.clear();
        if part.is_ascii() {
            word.push_str(part);
            word.make_ascii_lowercase();
        } else {
            // As a whole: how a letter becomes small may depend on its place.
            word.push_str(&part.nfkc().collect::<String>().to_lowercase());
            let end = cut(&word).len();
            word.truncate(end);
        }
        if !take(&word) {
            return;
        }
    }
}

/// The text's first [`LONGEST`] bytes, less what is left of a character.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each(text, &mut |word| {
            words.push(word.to_owned());
            true
        });
        words
    }

    #[test]
    fn words_of_many_languages() {
        for (text, expected) in [
            ("", &[][..]),
            (" -- !? \u{1f600} \n", &[]),
            (
                "The quick (\"brown\") fox can't jump 32.3 feet, right?",
                &["the", "quick", "brown", "fox", "can't", "jump", "32.3", "feet", "right"],
            ),
            ("C++ e-mail snake_case v2", &["c", "e", "mail", "snake_case", "v2"]),
            ("Straße ÉCOLE e\u{301}cole ŁÓDŹ", &["straße", "école", "école", "łódź"]),
            ("ΟΔΟΣ οδος Ελλάδα", &["οδος", "οδος", "ελλάδα"]),
            ("Привет, МИР", &["привет", "мир"]),
            ("नमस्ते दुनिया", &["नमस्ते", "दुनिया"]),
            ("مرحبا بالعالم", &["مرحبا", "بالعالم"]),
            ("שלום עולם", &["שלום", "עולם"]),
            ("向量 ベクトル 데이터베이스", &["向", "量", "ベクトル", "데이터베이스"]),
            ("ＡＢＣ　１２３ ﾍﾞｸﾄﾙ", &["abc", "123", "ベクトル"]),
            ("a\u{0}b\u{fffd}c", &["a", "b", "c"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_word_counts_with_its_first_bytes() {
        let long = "x".repeat(1 << 20);
        assert_eq!(words(&long), [&long[..LONGEST]]);
        // Cut between characters, before and after they grew.
        for text in ["é".repeat(500), "\u{fdfa}".repeat(500), "İ".repeat(500)] {
            let words = words(&text);
            assert!(!words.is_empty() && words.iter().all(|word| (1..=LONGEST).contains(&word.len())), "{words:?}");
        }
    }

    #[test]
    fn no_text_takes_long() {
        let parts = [
            "a",
            " ",
            "a.",
            "a'",
            "'",
            "\u{301}",
            "a\u{301}",
            "\u{200d}",
            "\u{1f468}\u{200d}",
            "\u{1f1e6}",
            "ก",
            "語",
            "カ",
            "\u{5d0}\"",
            "1,",
            "_",
            "\r\n",
            "\u{fdfa}",
            "\u{1100}",
        ];
        for part in parts {
            let text = part.repeat((1 << 20) / part.len());
            let start = Instant::now();
            let mut bytes = 0;
            each(&text, &mut |word| {
                bytes += word.len();
                true
            });
            // A guard against what grows with the square, which would take minutes.
            assert!(start.elapsed() < Duration::from_secs(20), "{part:?}");
            assert!(bytes <= 8 * text.len(), "{part:?}");
        }
    }
}
