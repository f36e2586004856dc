//! Drawings of known graphs, compared with files in `tests/golden`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p oxidask-observe` rewrites the files; look at them before you commit.

use std::fs;
use std::path::PathBuf;

use oxidask_observe::formats::svg;
use oxidask_observe::layout::Direction;
use oxidask_observe::picture::{Colouring, Kind, Options, Task, TaskGraph, draw};
use oxidask_observe::scene::Style;

/// Adds tasks by name.
#[derive(Default)]
struct Builder {
    graph: TaskGraph,
}

impl Builder {
    fn call(&mut self, name: &str, index: &str, dependencies: &[u32]) -> u32 {
        self.task(name, index, Kind::Call, dependencies)
    }

    fn data(&mut self, name: &str, index: &str) -> u32 {
        self.task(name, index, Kind::Data, &[])
    }

    fn task(&mut self, name: &str, index: &str, kind: Kind, dependencies: &[u32]) -> u32 {
        let prefixes = &mut self.graph.prefixes;
        let prefix = prefixes.iter().position(|known| known == name).unwrap_or_else(|| {
            prefixes.push(name.to_owned());
            prefixes.len() - 1
        });
        let id = self.graph.tasks.len() as u32;
        self.graph.tasks.push(Task {
            label: name.to_owned(),
            detail: index.to_owned(),
            key: format!("('{name}', {index})"),
            prefix: prefix as u32,
            kind,
            order: Some(id),
            seconds: None,
            fill: None,
        });
        self.graph.edges.extend(dependencies.iter().map(|&dependency| (dependency, id)));
        id
    }
}

fn map_then_two_reductions(width: u32) -> TaskGraph {
    let mut builder = Builder::default();
    let maps: Vec<u32> = (0..width).map(|_| builder.call("Sk", "", &[])).collect();
    builder.call("mean", "", &maps);
    builder.call("error", "", &maps);
    builder.graph
}

fn tree(leaves: u32) -> TaskGraph {
    let mut builder = Builder::default();
    let mut level: Vec<u32> =
        (0..leaves).map(|leaf| builder.data("x", &leaf.to_string())).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| builder.call("add", "", pair)).collect();
    }
    builder.graph
}

/// Each step needs its own place and both neighbours from the step before.
fn stencil(places: usize, steps: usize) -> TaskGraph {
    let mut builder = Builder::default();
    let mut previous: Vec<u32> =
        (0..places).map(|place| builder.data("start", &place.to_string())).collect();
    for step in 1..=steps {
        previous = (0..places)
            .map(|place| {
                let near = place.saturating_sub(1)..(place + 2).min(places);
                builder.call("step", &format!("{step}, {place}"), &previous[near])
            })
            .collect();
    }
    builder.graph
}

/// A grid where each block needs the block above and the one to the left.
fn wavefront(side: usize) -> TaskGraph {
    let mut builder = Builder::default();
    let mut ids = vec![0; side * side];
    for row in 0..side {
        for column in 0..side {
            let mut dependencies = Vec::new();
            if row > 0 {
                dependencies.push(ids[(row - 1) * side + column]);
            }
            if column > 0 {
                dependencies.push(ids[row * side + column - 1]);
            }
            ids[row * side + column] =
                builder.call("block", &format!("{row}, {column}"), &dependencies);
        }
    }
    builder.graph
}

/// A small generator of pseudo-random numbers (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn random(tasks: u32) -> TaskGraph {
    let names = ["load", "clean", "join", "fit", "score", "save"];
    let mut random = Random(7);
    let mut builder = Builder::default();
    for task in 0..tasks {
        let mut dependencies: Vec<u32> = (0..random.below(3))
            .filter(|_| task > 0)
            .map(|_| task - 1 - random.below(u64::from(task.min(30))) as u32)
            .collect();
        dependencies.sort_unstable();
        dependencies.dedup();
        builder.call(names[random.below(6) as usize], &task.to_string(), &dependencies);
    }
    builder.graph
}

/// What an analysis looks like: files, columns, a join, statistics in a tree, a plot of each.
fn analysis(files: u32) -> TaskGraph {
    let mut builder = Builder::default();
    let settings = builder.data("settings", "");
    let mut parts = Vec::new();
    for file in 0..files {
        let index = file.to_string();
        let loaded = builder.call("read_parquet", &index, &[settings]);
        let clean = builder.call("dropna", &index, &[loaded]);
        parts.push(builder.call("merge", &index, &[loaded, clean]));
    }
    let mut level = parts.clone();
    while level.len() > 1 {
        level = level.chunks(4).map(|few| builder.call("sum", "", few)).collect();
    }
    for &part in &parts {
        builder.call("anomaly", "", &[part, level[0]]);
    }
    builder.graph
}

fn options() -> Options {
    Options {
        direction: Direction::TopToBottom,
        colouring: Colouring::Prefix,
        limit: 200,
        has_results: false,
        style: Style::default(),
    }
}

fn check(name: &str, graph: &TaskGraph, options: &Options) {
    let drawn = svg::write(&draw(graph, options).expect("the graph has no cycle"));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.svg"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &drawn).expect("the golden file can be written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == drawn,
        "the drawing is not that of tests/golden/{name}.svg; if it is better, run the test with UPDATE_GOLDEN=1",
    );
}

#[test]
fn map_of_64_then_mean_and_error() {
    check("map", &map_then_two_reductions(64), &options());
}

#[test]
fn columns_of_two_then_a_mean() {
    let mut builder = Builder::default();
    let columns: Vec<u32> = (0..50)
        .map(|column| {
            let loaded = builder.call("load", &column.to_string(), &[]);
            builder.call("process", &column.to_string(), &[loaded])
        })
        .collect();
    builder.call("mean", "", &columns);
    check("columns", &builder.graph, &options());
}

#[test]
fn tree_of_64_leaves() {
    check("tree", &tree(64), &options());
}

#[test]
fn stencil_of_8_places_and_4_steps() {
    check("stencil", &stencil(8, 4), &options());
}

#[test]
fn wavefront_in_order_of_execution() {
    let options =
        Options { colouring: Colouring::Order { last: None, fills: Vec::new() }, ..options() };
    check("wavefront", &wavefront(10), &options);
}

#[test]
fn random_graph_of_300_tasks() {
    check("random", &random(300), &Options { limit: 1000, ..options() });
}

#[test]
fn random_graph_of_300_tasks_in_groups() {
    check("random_groups", &random(300), &options());
}

#[test]
fn analysis_from_left_to_right() {
    let options = Options { direction: Direction::LeftToRight, ..options() };
    check("analysis", &analysis(8), &options);
}

#[test]
fn analysis_of_500_files_in_groups() {
    check("analysis_groups", &analysis(500), &options());
}

#[test]
fn results_as_boxes() {
    check("results", &stencil(4, 2), &Options { has_results: true, ..options() });
}
