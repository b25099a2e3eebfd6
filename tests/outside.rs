//! Input from others that root reads is never misread. Here the input is random; `tests/fuzz` searches for hours.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a claim that does not hold"
)]

#[path = "fuzz/claims/btf.rs"]
mod btf;
#[path = "fuzz/claims/diag.rs"]
mod diag;
#[path = "fuzz/claims/proc.rs"]
mod proc;
#[path = "fuzz/claims/request.rs"]
mod request;
#[path = "fuzz/claims/shown.rs"]
mod shown;
#[path = "fuzz/claims/state.rs"]
mod state;
#[path = "fuzz/claims/variables.rs"]
mod variables;

use proptest::prelude::*;
use proptest::sample::select;

/// Parts of the files of /proc, and a carriage return, which does not end a line there.
const PROC: &str = "tfd:| events:| data:| pos:0 ino:|socket:[|]|flags:|+|-|0x|) |(| S |[vdso]| r-xp 00000000 00:00 0 \
    |7f00-7f01|\r|\n0::/a/web@3.service\
    |\n7f00-7f01 r-xp 00000000 00:00 0 [vdso]|\n7f00-7f01 r-xp 00000000 fd:01 61 [vdso]\
    |\\012|0::|1:name=systemd:|4:memory:|/a/web@3.service|/.control| (deleted)|\nTracerPid:\t0";

/// Parts of the texts that rsgen writes, and characters that a terminal interprets.
const WORDS: &str = "failed|idle|errored|trying|\n[X-rsgen]\n|App=|web|../|Instances=|max|--timeout=|--way=|--app=\
    |--message=|--state=|off|us|min|4294967295|18446744073709551615\
    |\u{1b}|\\x1b|\u{9b}|\u{202e}|\u{61c}|\u{2028}|\u{85}|\t";

/// Parts of environment files.
const ASSIGNMENTS: &str = "A|B=|=|\n|\r\n| |\t|'|\"|\\|\\\n|#|;|$|`|A=1\n|é|\u{fffe}|\0";

/// A text that often contains what one of the readers looks for.
fn text() -> impl Strategy<Value = String> {
    let of = |words: &'static str| select(words.split('|').collect::<Vec<_>>());
    let piece = prop_oneof![
        2 => of(PROC).prop_map(str::to_owned),
        2 => of(WORDS).prop_map(str::to_owned),
        3 => of(" |\n|/|:|0|61").prop_map(str::to_owned),
        1 => "[0-9a-f]{1,8}",
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Environment files, and any other bytes.
fn assignments() -> impl Strategy<Value = Vec<u8>> {
    let word = select(ASSIGNMENTS.split('|').collect::<Vec<_>>());
    let words = prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes());
    prop_oneof![4 => words, 1 => prop::collection::vec(any::<u8>(), 0..99)]
}

/// Any number, and often the smallest or the largest one.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..99_u64,
        select(vec![u64::MAX, u64::MAX - 1, 1 << 32, (1 << 32) - 1])
    ]
}

fn numbers() -> impl Strategy<Value = [u64; 4]> {
    [number(), number(), number(), number()]
}

/// Messages and attributes whose lengths may be right, and whose kinds are often those that are looked for.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let length = (0..300_u16).prop_map(|n| n.to_ne_bytes().to_vec());
    let kind = (0..3_u16).prop_map(|n| n.to_ne_bytes().to_vec());
    let some = prop::collection::vec(any::<u8>(), 0..99);
    let none = (0..220_usize).prop_map(|n| vec![0; n]);
    let line = text().prop_map(String::into_bytes);
    let piece = prop_oneof![3 => length, 3 => kind, 1 => some, 1 => none, 1 => line];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_program_cannot_forge_a_file_of_proc(text in text(), numbers in numbers()) {
        proc::of_any_text(&text, numbers);
    }

    #[test]
    fn no_answer_is_read_beyond_its_end(bytes in bytes(), path in bytes(), inode in any::<u32>()) {
        diag::of_any_bytes(&bytes, &path, inode);
    }

    #[test]
    fn no_description_of_types_is_read_beyond_its_end(types in bytes(), names in "[\0sab]{0,20}") {
        btf::of_any_bytes(&types, names.as_bytes());
    }

    #[test]
    fn a_request_cannot_choose_what_is_drained(text in text(), micros in number()) {
        request::of_any_text(&text, micros);
    }

    #[test]
    fn no_terminal_interprets_what_is_shown(bytes in bytes(), piece in any::<u8>()) {
        shown::of_any_bytes(&bytes, piece);
    }

    #[test]
    fn only_assigned_variables_are_read(bytes in assignments()) {
        variables::of_any_bytes(&bytes);
    }

    #[test]
    fn no_state_file_causes_a_long_pause(text in text(), numbers in numbers()) {
        state::of_any_text(&text, numbers);
    }
}

/// A program may write more and longer lines than random pieces contain.
#[test]
fn many_long_lines_are_cut_to_a_few_short_ones() {
    let long = ["é".repeat(700), "😀".repeat(501), "x\u{fffd}".repeat(400)]
        .join("\n")
        .repeat(5);
    let mut bytes = long.into_bytes();
    for piece in [1, 7, 255] {
        shown::of_any_bytes(&bytes, piece);
        bytes.extend([0xff, 0xf0, 0x9f, b'\n']);
        bytes.extend([0xf0; 3000]);
    }
}
