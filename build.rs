//! The programs begin at an entry point of their own, which runs before the C library: `src/sys/entry.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ["--undefined=rsgen_entry", "--entry=rsgen_entry"] {
        println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
    }
}
