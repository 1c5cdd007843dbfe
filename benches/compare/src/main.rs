//! The same workloads on Alluvium and on the crates that would be picked instead of it, in turns,
//! so that each sees the same machine. `cargo run --release` in this directory; see README.md.

#![allow(clippy::print_stdout)]

mod peer;
mod peers;
mod workload;

use peer::{Contender, Result};
use workload::{Sizes, Workload};

const USAGE: &str = "usage: alluvium-compare [--rounds N] [--quick]";

fn main() -> Result<()> {
    let mut rounds = 5;
    let mut sizes = Sizes { appends: 100_000, syncs: 100, reads: 200_000 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().ok_or(USAGE)?.parse()?,
            "--quick" => {
                rounds = 1;
                sizes = Sizes { appends: 2_000, syncs: 5, reads: 5_000 };
            }
            _ => return Err(USAGE.into()),
        }
    }
    if rounds == 0 {
        return Err("--rounds 0: at least 1 is needed".into());
    }
    let contenders = peers::all();
    for workload in workload::all() {
        compare(&contenders, &workload, &sizes, rounds)?;
    }
    Ok(())
}

fn compare(all: &[Contender], workload: &Workload, sizes: &Sizes, rounds: usize) -> Result<()> {
    let takes_part = |c: &&Contender| {
        c.promise(workload.level).is_some() && (c.can_scan || !workload.needs_scan)
    };
    let contenders: Vec<&Contender> = all.iter().filter(takes_part).collect();
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let measured = workload::round(contender, workload, sizes)
                .map_err(|e| format!("{}, {}: {e}", contender.name, workload.name))?;
            times.push(measured.time.as_secs_f64() * 1e9 / measured.records as f64);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    print_table(&contenders, workload, &times);
    Ok(())
}

fn print_table(contenders: &[&Contender], workload: &Workload, times: &[Vec<f64>]) {
    let ours = times[0][0];
    println!("\n### {}\n", workload.name);
    println!(
        "| crate | best, ns per record | median | best / best of alluvium | an append that returned survives | reads verify |"
    );
    println!("|---|---|---|---|---|---|");
    for (contender, times) in contenders.iter().zip(times) {
        let (best, median) = (times[0], times[times.len() / 2]);
        let promise = contender.promise(workload.level).unwrap_or_default();
        let (name, verified) = (contender.name, contender.verified);
        println!(
            "| {name} | {best:.0} | {median:.0} | {:.1} | {promise} | {verified} |",
            best / ours
        );
    }
}
