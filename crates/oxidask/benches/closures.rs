//! Time and memory a task of graphs of a million closures that do next to nothing.
//!
//! Run it on an idle machine with `cargo bench -p oxidask`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use oxidask::{Graph, Task, Threads};

const TASKS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn independent(graph: &mut Graph) -> Task<u64> {
    let calls = (0..TASKS).map(|i| graph.call((), move |()| i + 1)).collect::<Vec<_>>();
    graph.call(calls, |results| results.into_iter().sum())
}

fn tree(graph: &mut Graph) -> Task<u64> {
    let mut level: Vec<_> = (0..TASKS / 2).map(|i| graph.call((), move |()| i + 1)).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match *pair {
                [one, other] => graph.call((one, other), |(one, other)| one + other),
                _ => pair[0],
            })
            .collect();
    }
    level[0]
}

fn chain(graph: &mut Graph) -> Task<u64> {
    let first = graph.call((), |()| 0);
    (1..TASKS).fold(first, |last, _| graph.call(last, |last| last + 1))
}

/// Best of several rounds: building the graph, and computing it.
fn measure(threads: &Threads, make: fn(&mut Graph) -> Task<u64>) -> (Duration, Duration) {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut graph = Graph::new();
        let wanted = make(&mut graph);
        let built = Instant::now();
        black_box(threads.compute(graph, wanted).expect("the closures do not fail"));
        best = (best.0.min(built - begun), best.1.min(built.elapsed()));
    }
    best
}

type Shape = (&'static str, fn(&mut Graph) -> Task<u64>);

fn main() {
    let shapes: [Shape; 3] = [("independent", independent), ("tree", tree), ("chain", chain)];
    println!("{:12} {:>8} {:>10} {:>12}", "shape", "threads", "build ns", "compute ns");
    for count in [1, 2] {
        let threads = Threads::new(count);
        for (name, make) in shapes {
            let (build, compute) = measure(&threads, make);
            let a_task = |time: Duration| time.as_nanos() / u128::from(TASKS);
            println!("{name:12} {count:8} {:10} {:12}", a_task(build), a_task(compute));
        }
    }
}
