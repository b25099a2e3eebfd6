//! Measures how much time rsgen adds to a start, as a ratio to a bare program in the same run, which depends less on the
//! machine than a time.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;
const APPS: usize = 50;

fn main() {
    let root = std::env::temp_dir().join(format!("rsgen-bench-{}", std::process::id()));
    let prepared = prepare(&root);
    if let Err(e) = prepared {
        println!("error: {}: {e}", root.display());
        return;
    }
    let out = root.join("out");
    let mut generator = Command::new(env!("CARGO_BIN_EXE_rsgen-generator"));
    generator
        .args([&out, &out, &out])
        .env("RSGEN_GENERATOR_ROOT", &root);
    compare(&format!("generator, {APPS} apps"), &mut generator);
    let _ = fs::remove_dir_all(&root);
}

/// Writes the files of a host with many apps.
fn prepare(root: &Path) -> std::io::Result<()> {
    for folder in [
        "etc/rsgen",
        "etc/systemd/system",
        "run",
        "usr/lib/rsgen",
        "out",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    for number in 0..APPS {
        let app = format!(
            "[[apps]]\nname = \"app{number}\"\nscript = \"/srv/app{number}.js\"\ncwd = \"/srv\"\n\
             listen = {}\ninstances = 4\n",
            3000 + number
        );
        fs::write(root.join(format!("etc/rsgen/app{number}.toml")), app)?;
    }
    Ok(())
}

/// Runs a program and `true` in turns, so that other load on the machine affects both.
fn compare(what: &str, program: &mut Command) {
    let mut bare = Command::new("true");
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.0.push(time(program));
        times.1.push(time(&mut bare));
    }
    let (program, bare) = (median(times.0), median(times.1));
    println!(
        "{what}: {:.2} ms, {:.1} times as long as a program that does nothing",
        program.as_secs_f64() * 1000.0,
        program.as_secs_f64() / bare.as_secs_f64()
    );
}

fn time(program: &mut Command) -> Duration {
    let start = Instant::now();
    let ended = program.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = start.elapsed();
    assert!(
        ended.is_ok_and(|status| status.success()),
        "{program:?} failed"
    );
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
