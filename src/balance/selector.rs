//! The instructions of the selector in `selector.c`, and the places in them that depend on the host.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::btf::Btf;

/// Offsets in the kernel's own data structures, in bytes. They differ between kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offsets {
    selected: u16,
    accept_head: u16,
    ports: u16,
}

impl Offsets {
    /// The offsets in the kernel with this description.
    pub(super) fn of(btf: &Btf<'_>) -> Option<Self> {
        let offset = |of: &str, path: &[&str]| u16::try_from(btf.offset(of, path)?).ok();
        Some(Self {
            selected: offset("sk_reuseport_kern", &["selected_sk"])?,
            accept_head: offset(
                "inet_connection_sock",
                &["icsk_accept_queue", "rskq_accept_head"],
            )?,
            ports: offset("sock_common", &["skc_portpair"])?,
        })
    }
}

/// The maps of the selector, in the order of their numbers in `selector.c`.
pub(super) type Maps<'a> = [BorrowedFd<'a>; 7];

/// The instructions for these maps. Without offsets the selector never reads the kernel's memory, see `PATIENCE` in `selector.c`.
pub(super) fn instructions(maps: Maps<'_>, offsets: Option<Offsets>, by_source: bool) -> Vec<u64> {
    let [selected, accept_head, ports] =
        offsets.map_or([0; 3], |o| [o.selected, o.accept_head, o.ports]);
    let offsets = [selected, accept_head, ports, u16::from(by_source)];
    let mut patched = Vec::with_capacity(INSTRUCTIONS.len());
    let mut code = INSTRUCTIONS.iter().copied().peekable();
    while let Some(instruction) = code.next() {
        let value = instruction >> 32;
        if instruction & 0xff == LOAD && code.peek() == Some(&(MARK << 32)) {
            code.next();
            let map = number(value).and_then(|n| maps.get(n));
            let map = map.map_or(-1, AsRawFd::as_raw_fd);
            patched.push(instruction & 0xffff_ffff | OF_A_MAP | of(map.cast_unsigned()));
            patched.push(0);
            continue;
        }
        let offset = value.checked_sub(MARK).and_then(number);
        let offset = offset.and_then(|n| offsets.get(n));
        patched.push(match offset {
            Some(offset) => instruction & 0xffff_ffff | of(u32::from(*offset)),
            None => instruction,
        });
    }
    patched
}

/// The upper half of the placeholder of a map, and that of an offset without its number.
const MARK: u64 = 0x7e57_0000;
/// The operation code of an instruction that loads 64 bits, and takes up two instructions.
const LOAD: u64 = 0x18;
/// `BPF_PSEUDO_MAP_FD` as the source register: the number is that of a descriptor.
const OF_A_MAP: u64 = 1 << 12;

/// Placeholders count from 1.
fn number(placeholder: u64) -> Option<usize> {
    usize::try_from(placeholder).ok()?.checked_sub(1)
}

/// The field `imm` of an instruction.
fn of(value: u32) -> u64 {
    u64::from(value) << 32
}

/// The output of clang 14 for `selector.c` with `-target bpf -O2 -mcpu=v3`, as a little-endian host stores
/// it. On a big-endian host the kernel refuses it, and the app's instances share one listener.
#[rustfmt::skip]
const INSTRUCTIONS: &[u64] = &[
    0x0000_0000_0000_07b4, 0x0000_0000_0000_a3bf, 0xffff_ffc0_0000_0307, 0x0000_0001_0000_06b4,
    0x0000_0000_ffb0_1a7b, 0x0000_0000_0000_02b4, 0x0000_0010_0000_04b4, 0x0000_0001_0000_05b4,
    0x0000_0044_0000_0085, 0x0000_0000_0007_0055, 0x0000_0000_ffc0_a171, 0x0000_00f0_0000_0154,
    0x0000_0040_0004_0156, 0x0000_0000_ffcc_a171, 0x0000_007f_0002_0156, 0x0000_0000_ffcd_a171,
    0x0000_0072_00d5_0116, 0x0000_0000_ffd0_7a63, 0x0000_0000_0000_a2bf, 0xffff_ffd0_0000_0207,
    0x0000_0003_0000_0118, 0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_0000_08bf,
    0x0000_0000_ffd0_6a63, 0x0000_0000_0000_a2bf, 0xffff_ffd0_0000_0207, 0x0000_0003_0000_0118,
    0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_0000_06bf, 0x0000_0000_ffb0_a779,
    0x0000_0000_ffb8_8a7b, 0x0000_0000_016f_0815, 0x0000_0000_016e_0615, 0x0000_0000_ffb8_a179,
    0x0000_0000_0000_1161, 0x0000_0000_016b_0116, 0x7e57_0004_0000_01b7, 0x0000_0000_0060_0115,
    0x0000_0000_0000_01b4, 0x0000_0000_fff0_1a63, 0x0000_0000_0000_a2bf, 0xffff_fff0_0000_0207,
    0x0000_0005_0000_0118, 0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_0000_09bf,
    0x0000_0000_00db_0915, 0x0000_0000_0000_01b7, 0x0000_0000_ffd8_1a7b, 0x0000_0000_ffd0_1a7b,
    0x0000_0000_0000_a3bf, 0xffff_ffec_0000_0307, 0x0000_0000_0000_71bf, 0x0000_0000_0000_02b4,
    0x0000_0001_0000_04b4, 0x0000_0001_0000_05b4, 0x0000_0044_0000_0085, 0x0000_0000_00d0_0055,
    0x0000_0000_ffec_a171, 0x0000_00f0_0000_0154, 0x0000_0040_00c5_0156, 0x0000_0000_0000_a3bf,
    0xffff_ffd0_0000_0307, 0x0000_0000_0000_71bf, 0x0000_000c_0000_02b4, 0x0000_0004_0000_04b4,
    0x0000_0001_0000_05b4, 0x0000_0044_0000_0085, 0x0000_0000_0001_0015, 0x0000_0000_00c4_0005,
    0x0000_0000_ffd0_a161, 0x0000_0000_0000_12bc, 0x0000_0010_0000_0274, 0x0000_0000_0000_12ac,
    0x85eb_ca6b_0000_0224, 0x0000_0000_0000_21bc, 0x0000_000d_0000_0174, 0x0000_0000_0000_21ac,
    0xc2b2_ae35_0000_0124, 0x0000_0000_0000_12bc, 0x0000_0010_0000_0274, 0x0000_0000_0000_12ac,
    0x0000_0000_ffd4_a161, 0x0000_0000_0000_120c, 0x0000_0000_0000_21bc, 0x0000_0010_0000_0174,
    0x0000_0000_0000_21ac, 0x85eb_ca6b_0000_0124, 0x0000_0000_0000_12bc, 0x0000_000d_0000_0274,
    0x0000_0000_0000_12ac, 0xc2b2_ae35_0000_0224, 0x0000_0000_0000_21bc, 0x0000_0010_0000_0174,
    0x0000_0000_0000_21ac, 0x0000_0000_ffd8_a261, 0x0000_0000_0000_210c, 0x0000_0000_0000_12bc,
    0x0000_0010_0000_0274, 0x0000_0000_0000_12ac, 0x85eb_ca6b_0000_0224, 0x0000_0000_0000_21bc,
    0x0000_000d_0000_0174, 0x0000_0000_0000_21ac, 0xc2b2_ae35_0000_0124, 0x0000_0000_0000_12bc,
    0x0000_0010_0000_0274, 0x0000_0000_0000_12ac, 0x0000_0000_ffdc_a161, 0x0000_0000_0000_120c,
    0x0000_0000_0000_21bc, 0x0000_0010_0000_0174, 0x0000_0000_0000_21ac, 0x85eb_ca6b_0000_0124,
    0x0000_0000_0000_12bc, 0x0000_000d_0000_0274, 0x0000_0000_0000_12ac, 0xc2b2_ae35_0000_0224,
    0x0000_0000_0000_21bc, 0x0000_0010_0000_0174, 0x0000_0000_0000_21ac, 0x0000_0fff_0000_0154,
    0x0000_0001_0000_0167, 0x0000_0000_0000_190f, 0x0000_0000_0000_9169, 0x0000_0000_fffc_1a63,
    0x0000_0000_0000_a3bf, 0xffff_fffc_0000_0307, 0x0000_0000_0000_71bf, 0x0000_0001_0000_0218,
    0x7e57_0000_0000_0000, 0x0000_0000_0000_04b7, 0x0000_0052_0000_0085, 0x0000_0000_0109_0015,
    0x0000_0000_ffa8_6a7b, 0x0000_0000_0000_01b4, 0x0000_0000_ffe8_1a63, 0x0000_0000_0000_a2bf,
    0xffff_ffe8_0000_0207, 0x0000_0006_0000_0118, 0x7e57_0000_0000_0000, 0x0000_0001_0000_0085,
    0x0000_0000_0000_06bf, 0x0000_0000_0052_0615, 0x0000_0000_000c_6161, 0x0000_0000_0008_6261,
    0x0000_0000_004f_123e, 0x0000_0005_0000_0085, 0x0000_0000_0000_6179, 0x0000_0000_004c_102d,
    0x0000_0001_0000_01b4, 0x0000_0001_0008_16c3, 0x0000_0000_000c_6261, 0x0000_0000_0048_213e,
    0x0000_0000_0010_6261, 0x0000_001f_0000_0254, 0x0000_0000_0000_217c, 0x0000_0fff_0000_0154,
    0x0000_0001_0000_0167, 0x0000_0000_0000_160f, 0x0000_0000_0018_6169, 0x0000_0000_ffe4_1a63,
    0x0000_0000_0000_a3bf, 0xffff_ffe4_0000_0307, 0x0000_0000_0000_06b7, 0x0000_0000_0000_71bf,
    0x0000_0001_0000_0218, 0x7e57_0000_0000_0000, 0x0000_0000_0000_04b7, 0x0000_0052_0000_0085,
    0x0000_0000_0037_0055, 0x0000_0000_ffd0_6a7b, 0x0000_0000_fff0_6a7b, 0x0000_0000_0000_01b4,
    0x0000_0000_ffec_1a63, 0x0000_0004_0000_01b4, 0x0000_0000_fffc_1a63, 0x0000_0000_0000_a2bf,
    0xffff_fffc_0000_0207, 0x0000_0003_0000_0118, 0x7e57_0000_0000_0000, 0x0000_0001_0000_0085,
    0x0000_0000_0000_09bf, 0x0000_0000_0000_a2bf, 0xffff_ffe4_0000_0207, 0x0000_0004_0000_0118,
    0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_0000_07bf, 0x0000_0000_00d1_0915,
    0x0000_0000_0000_9161, 0x0000_0000_00cf_0116, 0x0000_0000_00ce_0715, 0x0000_0000_ffb0_a379,
    0x7e57_0001_0000_0307, 0x0000_0000_0000_a1bf, 0xffff_ffd0_0000_0107, 0x0000_0008_0000_02b4,
    0x0000_0071_0000_0085, 0x0000_0000_ffd0_a379, 0x7e57_0002_0000_0307, 0x0000_0000_0000_a1bf,
    0xffff_fff0_0000_0107, 0x0000_0008_0000_02b4, 0x0000_0071_0000_0085, 0x0000_0000_0000_00b7,
    0x0000_0000_fff0_a379, 0x0000_0000_0010_0315, 0x7e57_0003_0000_0307, 0x0000_0000_0000_a1bf,
    0xffff_ffec_0000_0107, 0x0000_0004_0000_02b4, 0x0000_0071_0000_0085, 0x0000_0000_ffec_a161,
    0x0000_0020_0000_0167, 0x0000_0000_fff0_a279, 0x0000_0000_0000_21af, 0x0000_0000_fff0_1a7b,
    0x0000_0005_0000_0085, 0x0000_0000_0000_7279, 0x0000_0000_fff0_a179, 0x0000_0000_002d_121d,
    0x0000_0000_0000_177b, 0x0000_0008_0000_0707, 0x0000_0000_0000_077b, 0x0000_0000_00ad_0005,
    0x0000_0000_ffa8_a279, 0x0000_0000_002e_0005, 0x0000_0000_ffce_a171, 0x0000_0008_0000_0164,
    0x0000_0000_ffcf_a271, 0x0000_0000_0000_214c, 0x0000_0000_ffd0_1a63, 0x0000_00ff_0000_01b4,
    0x0000_0000_fff0_1a6b, 0x0000_0000_0000_a2bf, 0xffff_ffd0_0000_0207, 0x0000_0007_0000_0118,
    0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_000f_0015, 0x0000_0000_0000_0161,
    0x0000_0001_000d_0156, 0x0000_0000_ffc0_a271, 0x0000_0002_0000_0264, 0x0000_003c_0000_0254,
    0x0000_0000_0000_a3bf, 0xffff_fff0_0000_0307, 0x0000_0000_ffb0_a679, 0x0000_0000_0000_61bf,
    0x0000_0002_0000_04b4, 0x0000_0001_0000_05b4, 0x0000_0044_0000_0085, 0x0000_0000_0084_0015,
    0x0000_0000_0000_00b4, 0x0000_0000_0090_0005, 0x0000_0000_ffb0_a679, 0x0000_0000_0083_0005,
    0x0000_0000_0000_a3bf, 0xffff_ffd0_0000_0307, 0x0000_0000_0000_71bf, 0x0000_0008_0000_02b4,
    0x0000_0010_0000_04b4, 0x0000_0001_0000_05b4, 0x0000_0044_0000_0085, 0x0000_0000_ff3c_0015,
    0x0000_0000_ff7b_0005, 0x0000_0000_0008_7179, 0x0000_0000_0000_101f, 0x0000_0000_0000_9161,
    0x0000_000a_0000_0124, 0x0000_0000_ffb0_a779, 0x0000_0000_ffa8_a279, 0x0000_0000_007d_10bd,
    0x0000_0001_0000_09b4, 0x0000_0001_0000_92c3, 0x0000_0000_0000_71bf, 0x7e57_0001_0000_0107,
    0x0000_0000_ffa0_1a7b, 0x0000_0000_0000_08b4, 0x0000_0000_ffb8_a179, 0x0000_0000_0000_1161,
    0x0000_0000_0074_183e, 0x0000_0000_0000_92bc, 0x0000_0000_0000_820c, 0x0000_0000_0000_23bc,
    0x0000_0000_0000_133c, 0x0000_0000_0000_132c, 0x0000_0000_0000_321c, 0x0000_0000_ffe4_2a63,
    0x0000_0000_0000_a2bf, 0xffff_ffe4_0000_0207, 0x0000_0002_0000_0118, 0x7e57_0000_0000_0000,
    0x0000_0001_0000_0085, 0x0000_0000_0067_0015, 0x0000_0000_0000_0161, 0x7fff_ffff_0000_0154,
    0x0000_0000_ffe8_1a63, 0x0000_0000_0000_a3bf, 0xffff_ffe8_0000_0307, 0x0000_0000_0000_71bf,
    0x0000_0001_0000_0218, 0x7e57_0000_0000_0000, 0x0000_0000_0000_04b7, 0x0000_0052_0000_0085,
    0x0000_0000_003d_0055, 0x0000_0000_0000_01b7, 0x0000_0000_ffd0_1a7b, 0x0000_0000_fff0_1a7b,
    0x0000_0000_0000_01b4, 0x0000_0000_ffec_1a63, 0x0000_0004_0000_01b4, 0x0000_0000_fffc_1a63,
    0x0000_0000_0000_a2bf, 0xffff_fffc_0000_0207, 0x0000_0003_0000_0118, 0x7e57_0000_0000_0000,
    0x0000_0001_0000_0085, 0x0000_0000_0000_06bf, 0x0000_0000_0000_a2bf, 0xffff_ffe8_0000_0207,
    0x0000_0004_0000_0118, 0x7e57_0000_0000_0000, 0x0000_0001_0000_0085, 0x0000_0000_0000_07bf,
    0x0000_0000_002e_0615, 0x0000_0000_0000_6161, 0x0000_0000_002c_0116, 0x0000_0000_002b_0715,
    0x0000_0000_0000_a1bf, 0xffff_ffd0_0000_0107, 0x0000_0008_0000_02b4, 0x0000_0000_ffa0_a379,
    0x0000_0071_0000_0085, 0x0000_0000_ffd0_a379, 0x7e57_0002_0000_0307, 0x0000_0000_0000_a1bf,
    0xffff_fff0_0000_0107, 0x0000_0008_0000_02b4, 0x0000_0071_0000_0085, 0x0000_0000_0000_00b7,
    0x0000_0000_fff0_a379, 0x0000_0000_0027_0315, 0x7e57_0003_0000_0307, 0x0000_0000_0000_a1bf,
    0xffff_ffec_0000_0107, 0x0000_0004_0000_02b4, 0x0000_0071_0000_0085, 0x0000_0000_ffec_a161,
    0x0000_0020_0000_0167, 0x0000_0000_fff0_a279, 0x0000_0000_0000_21af, 0x0000_0000_fff0_1a7b,
    0x0000_0005_0000_0085, 0x0000_0000_0000_7279, 0x0000_0000_fff0_a179, 0x0000_0000_0003_121d,
    0x0000_0000_0000_177b, 0x0000_0008_0000_0707, 0x0000_0000_0016_0005, 0x0000_0000_0008_7279,
    0x0000_0000_0000_01bf, 0x0000_0000_0000_211f, 0x0000_0000_0000_6261, 0x0000_0000_0005_21bd,
    0x0000_0000_0010_077b, 0x0000_0000_ffb0_a779, 0x0000_0001_0000_0804, 0x0000_0020_ffa6_0856,
    0x0000_0000_001c_0005, 0x0000_000a_0000_0234, 0x0000_0000_0002_212d, 0x0000_0000_ffa8_a179,
    0x0000_0000_0005_0005, 0x0000_0000_0010_7179, 0x0000_0000_0000_101f, 0x0000_0000_ffb0_a779,
    0x0000_0000_ffa8_a179, 0x3b9a_ca00_fff4_00a5, 0x0000_0000_0012_0816, 0x0000_0000_0000_81c3,
    0x0000_0000_0010_0005, 0x0000_0000_0000_077b, 0x0000_0000_ffa8_a179, 0x0000_0000_fffa_0005,
    0x0000_0000_0000_00b4, 0x0000_0000_fff0_a171, 0x0000_0003_000b_0126, 0x0000_0000_0000_a3bf,
    0xffff_ffd0_0000_0307, 0x0000_0000_0000_61bf, 0x0000_0001_0000_0218, 0x7e57_0000_0000_0000,
    0x0000_0000_0000_04b7, 0x0000_0052_0000_0085, 0x0000_0000_0000_01bf, 0x0000_0000_0000_00b4,
    0x0000_0000_0001_0155, 0x0000_0001_0000_00b4, 0x0000_0000_0000_0095,
];

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use super::*;

    /// The content of the section `selector` of a little-endian ELF file of 64 bits, see elf(5).
    fn section(file: &[u8]) -> Vec<u64> {
        let number = |at: usize, size: usize| {
            let bytes = file[at..at + size].iter().rev();
            bytes.fold(0, |n: usize, b| n << 8 | usize::from(*b))
        };
        let (headers, count, names) = (number(0x28, 8), number(0x3c, 2), number(0x3e, 2));
        let header = |n: usize| headers + n * 64;
        let strings = number(header(names) + 0x18, 8);
        let found = (0..count).map(header).find(|at| {
            let name = strings + number(*at, 4);
            file[name..].starts_with(b"selector\0")
        });
        let at = found.expect("the section");
        let (start, length) = (number(at + 0x18, 8), number(at + 0x20, 8));
        let words = file[start..start + length].chunks_exact(8);
        words
            .map(|w| u64::from_le_bytes(w.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn the_instructions_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let object = folder.path().join("selector.o");
        let clang = Command::new("clang")
            .args([
                "-target", "bpf", "-O2", "-mcpu=v3", "-Wall", "-Wextra", "-Werror", "-c", "-o",
            ])
            .arg(&object)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/balance/selector.c"
            ))
            .output()
            .expect("clang, which `make deps` installs");
        assert!(clang.status.success(), "{clang:?}");
        let made = section(&std::fs::read(object).unwrap());
        let shown = |words: &[u64]| {
            let words = words.iter().map(|w| format!("0x{w:016x},"));
            words.collect::<Vec<_>>().join("\n")
        };
        if made != INSTRUCTIONS && std::env::var_os("RSGEN_BLESS").is_some() {
            return bless(&made);
        }
        assert!(made == INSTRUCTIONS, "clang makes of it:\n{}", shown(&made));
    }

    /// Writes the instructions into this file.
    fn bless(made: &[u64]) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/balance/selector.rs");
        let text = std::fs::read_to_string(file).unwrap();
        let (before, rest) = text.split_once("INSTRUCTIONS: &[u64] = &[\n").unwrap();
        let (_, after) = rest.split_once("];\n").unwrap();
        let line = |words: &[u64]| {
            let halves = words.iter().map(|w| {
                let digits = format!("{w:016x}");
                let parts = digits.as_bytes().chunks(4).map(String::from_utf8_lossy);
                format!("0x{}", parts.collect::<Vec<_>>().join("_"))
            });
            format!("    {},\n", halves.collect::<Vec<_>>().join(", "))
        };
        let lines: String = made.chunks(4).map(line).collect();
        let text = format!("{before}INSTRUCTIONS: &[u64] = &[\n{lines}];\n{after}");
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn no_placeholder_is_left_and_nothing_else_changes() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let offsets = Offsets {
            selected: 16,
            accept_head: 1400,
            ports: 12,
        };
        let made = instructions([null.as_fd(); 7], Some(offsets), true);
        assert_eq!(made.len(), INSTRUCTIONS.len());
        let is_left = |word: &&u64| (**word >> 32) & 0xffff_ff00 == MARK;
        assert_eq!(made.iter().filter(is_left).count(), 0);
        let changed = made.iter().zip(INSTRUCTIONS).filter(|(a, b)| a != b);
        // Two for each load of a map, and one for each offset, which is added, or for the rule, which is moved to a register.
        let loads = made
            .iter()
            .filter(|w| *w & 0xf0ff == OF_A_MAP | LOAD)
            .count();
        let added = INSTRUCTIONS
            .iter()
            .filter(|w| {
                (**w >> 32).wrapping_sub(MARK) < 256 && [0x07, 0xb7].contains(&(**w & 0xff))
            })
            .count();
        assert!(loads >= 5 && added >= 4, "{loads} {added}");
        assert_eq!(changed.count(), 2 * loads + added);
    }
}
