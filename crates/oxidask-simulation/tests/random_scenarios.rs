//! Thousands of random scenarios without a broken invariant.

use oxidask_simulation::{ACTION_KINDS, EVENT_KINDS, Finding, Summary, simulate, story};

/// Scenarios unless `OXIDASK_SCENARIOS` says how many.
const SCENARIOS: u64 = 10_000;
const THREADS: u64 = 2;

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number; give a whole one")))
}

#[test]
fn no_invariant_is_broken_in_any_scenario() {
    if let Some(seed) = number_from_environment("OXIDASK_SEED") {
        replay(seed);
        return;
    }
    let count = number_from_environment("OXIDASK_SCENARIOS").unwrap_or(SCENARIOS);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || simulate_each((first..count).step_by(THREADS as usize)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught")).collect()
    });
    let mut summaries = Vec::new();
    for part in parts {
        match part {
            Ok(more) => summaries.extend(more),
            Err(finding) => fail(&finding),
        }
    }
    check_variety(&summaries);
}

fn simulate_each(seeds: impl Iterator<Item = u64>) -> Result<Vec<Summary>, Finding> {
    seeds.map(|seed| simulate(seed, None).map_err(|broken| Finding { seed, broken })).collect()
}

fn replay(seed: u64) {
    for line in story(seed, None, None) {
        println!("{line}");
    }
    let summary = simulate(seed, None);
    println!("{summary:?}");
    assert!(summary.is_ok(), "seed {seed} breaks an invariant");
}

fn fail(Finding { seed, broken }: &Finding) -> ! {
    let lines = story(*seed, None, Some(30)).join("\n");
    panic!(
        "seed {seed} breaks an invariant: {}\nThe last that happened to whom it names:\n{lines}\n\
         OXIDASK_SEED={seed} tells all of it.",
        broken.invariant
    );
}

fn median(summaries: &[Summary], of: impl Fn(&Summary) -> usize) -> usize {
    let mut values: Vec<usize> = summaries.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

fn check_variety(summaries: &[Summary]) {
    let tasks = median(summaries, |summary| summary.tasks);
    let workers = median(summaries, |summary| summary.workers);
    let faults = median(summaries, Summary::faults);
    let deaths: usize = summaries.iter().map(|summary| summary.deaths).sum();
    println!(
        "{} scenarios; medians: {tasks} tasks, {workers} workers, {faults} faults",
        summaries.len()
    );
    println!("{deaths} workers died");
    assert!(tasks >= 50 && workers >= 3 && faults >= 2, "the scenarios are too easy");
    for (kind, name) in EVENT_KINDS.iter().enumerate() {
        let count: u64 = summaries.iter().map(|summary| summary.events[kind]).sum();
        println!("{count:>10} {name}");
        assert!(count > 0, "{name} never happened");
    }
    for (kind, name) in ACTION_KINDS.iter().enumerate() {
        let count: u64 = summaries.iter().map(|summary| summary.actions[kind]).sum();
        println!("{count:>10} {name}");
        assert!(count > 0, "{name} was never decided");
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..50 {
        assert_eq!(simulate(seed, None), simulate(seed, None), "seed {seed}");
    }
    let traces: std::collections::BTreeSet<u64> =
        (0..50).filter_map(|seed| simulate(seed, None).ok()).map(|summary| summary.trace).collect();
    assert_eq!(traces.len(), 50, "different seeds give different runs");
}
