//! How long it takes to lay a graph out: at most 100 ms for 5,000 nodes and 2 s for 50,000.
//!
//! `cargo bench -p oxidask-observe`. Best of five. These limits are for a machine on which a bare
//! Python call `inc(i)` takes 76 ns in a loop; `python3` is asked what it takes here, and the last
//! column is scaled by that.
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use oxidask_observe::layout::{Direction, Size, layout};

const RUNS: usize = 5;
const REFERENCE_INC_NS: f64 = 76.0;
const INC: &str = "
import time
def inc(x): return x + 1
def loop():
    start = time.perf_counter()
    for i in range(1_000_000): inc(i)
    return time.perf_counter() - start
print(min(loop() for _ in range(5)) * 1000)
";

type Edges = Vec<(u32, u32)>;

fn main() {
    let before = inc_ns();
    println!("{:<9} {:>7} {:>7} {:>9} {:>9}", "shape", "nodes", "edges", "crossings", "best ms");
    let mut rows = Vec::new();
    for (nodes, limit) in [(5_000, 100.0), (50_000, 2_000.0)] {
        for (name, edges) in shapes(nodes) {
            let (milliseconds, crossings) = best_of_runs(nodes, &edges);
            let count = edges.len();
            println!("{name:<9} {nodes:>7} {count:>7} {crossings:>9} {milliseconds:>9.1}");
            rows.push((name, nodes, milliseconds, limit));
        }
    }
    let inc = f64::midpoint(before, inc_ns());
    println!("\ninc(i) took {inc:.0} ns; scaled to {REFERENCE_INC_NS} ns:");
    let mut is_good = true;
    for (name, nodes, milliseconds, limit) in rows {
        let scaled = milliseconds * REFERENCE_INC_NS / inc;
        is_good &= scaled <= limit;
        println!("{name:<9} {nodes:>7} {scaled:>9.1} ms of {limit}");
    }
    assert!(is_good, "a layout takes longer than it may");
}

/// What a bare call takes in Python.
fn inc_ns() -> f64 {
    let answer = Command::new("python3").args(["-c", INC]).output().expect("python3 is there");
    let text = String::from_utf8_lossy(&answer.stdout);
    text.trim().parse().expect("it prints nanoseconds")
}

/// Milliseconds, and how often edges cross.
fn best_of_runs(nodes: u32, edges: &Edges) -> (f64, usize) {
    let sizes = vec![Size { width: 60.0, height: 24.0 }; nodes as usize];
    let run = || {
        let begin = Instant::now();
        let layout = black_box(layout(&sizes, edges, Direction::TopToBottom)).expect("no cycle");
        (begin.elapsed().as_secs_f64() * 1000.0, layout.crossings)
    };
    let times = (0..RUNS).map(|_| run());
    times.min_by(|one, other| one.0.total_cmp(&other.0)).expect("there are runs")
}

fn shapes(nodes: u32) -> [(&'static str, Edges); 6] {
    [
        ("map", map(nodes)),
        ("tree", (1..nodes).map(|node| (node, (node - 1) / 2)).collect()),
        ("chains", (0..nodes - 1).filter(|node| node % 10 != 9).map(|n| (n, n + 1)).collect()),
        ("stencil", stencil(nodes)),
        ("random", random(nodes, 30)),
        ("far", random(nodes, nodes)),
    ]
}

/// All but two nodes feed these two.
fn map(nodes: u32) -> Edges {
    (0..nodes - 2).flat_map(|node| [(node, nodes - 2), (node, nodes - 1)]).collect()
}

/// Rows of 100 places; each needs itself and both neighbours of the row before.
fn stencil(nodes: u32) -> Edges {
    let places = 100;
    let needed = |node: u32| {
        let place = node % places;
        let near = place.saturating_sub(1)..(place + 2).min(places);
        near.map(move |other| (node - place - places + other, node))
    };
    (places..nodes).flat_map(needed).collect()
}

/// Each node needs up to three of the `reach` nodes before it.
fn random(nodes: u32, reach: u32) -> Edges {
    let mut state = 7_u64;
    let mut below = |bound: u32| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % u64::from(bound)) as u32
    };
    let mut edges = Vec::new();
    for node in 1..nodes {
        for _ in 0..below(4) {
            edges.push((node - 1 - below(node.min(reach)), node));
        }
    }
    edges
}
