//! Counts words in parts of a text side by side, and merges the counts two by two.
//!
//! Run it with `cargo run --release -p oxidask --example word_count -- FILE`.

use std::collections::BTreeMap;
use std::{env, fs};

use oxidask::{Graph, Threads};

type Counts = BTreeMap<String, usize>;

fn count(lines: &[String]) -> Counts {
    let mut counts = Counts::new();
    for word in lines.iter().flat_map(|line| line.split(|c: char| !c.is_alphanumeric())) {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    counts
}

fn merged(one: &Counts, other: &Counts) -> Counts {
    let mut both = one.clone();
    for (word, n) in other {
        *both.entry(word.clone()).or_default() += n;
    }
    both
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| "README.md".to_owned());
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();

    let mut graph = Graph::new();
    let mut counts: Vec<_> = lines
        .chunks(1000)
        .map(|part| {
            let part = part.to_vec();
            graph.call((), move |()| count(&part))
        })
        .collect();
    while counts.len() > 1 {
        counts = counts
            .chunks(2)
            .map(|pair| match *pair {
                [one, other] => graph.call((one, other), |(one, other)| merged(one, other)),
                _ => pair[0],
            })
            .collect();
    }
    let Some(&all) = counts.first() else {
        println!("{path} is empty");
        return Ok(());
    };

    let all = Threads::new(2).compute(graph, all)?;
    let mut most: Vec<_> = all.iter().collect();
    most.sort_by_key(|&(word, n)| (std::cmp::Reverse(n), word));
    for (word, n) in most.into_iter().take(5) {
        println!("{n:6}  {word}");
    }
    Ok(())
}
