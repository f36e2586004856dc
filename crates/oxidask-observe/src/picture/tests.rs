use super::*;
use crate::formats::svg;

fn task(label: &str, prefix: u32) -> Task {
    Task {
        label: label.to_owned(),
        detail: String::new(),
        key: format!("{label}-key"),
        prefix,
        kind: Kind::Call,
        order: None,
        seconds: None,
        fill: None,
    }
}

fn graph(labels: &[&str], edges: &[(u32, u32)]) -> TaskGraph {
    TaskGraph {
        tasks: (0..).zip(labels).map(|(prefix, label)| task(label, prefix)).collect(),
        prefixes: labels.iter().map(ToString::to_string).collect(),
        edges: edges.to_vec(),
    }
}

const OPTIONS: Options = Options {
    direction: Direction::TopToBottom,
    colouring: Colouring::Prefix,
    limit: 200,
    has_results: false,
    style: Style { border: None, border_width: None, line: None, line_width: None },
};

fn drawn(graph: &TaskGraph, options: &Options) -> String {
    svg::write(&draw(graph, options).expect("the graph has no cycle"))
}

#[test]
fn every_task_is_drawn_once_with_its_key() {
    let labels: Vec<String> = (0..150).map(|index| format!("task{index}.")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let edges: Vec<(u32, u32)> = (1..150).map(|index| (index / 3, index)).collect();
    let svg = drawn(&graph(&labels, &edges), &OPTIONS);
    for label in labels {
        assert_eq!(svg.matches(&format!("<title>{label}-key</title>")).count(), 1);
        assert_eq!(svg.matches(&format!(">{label}</text>")).count(), 1);
    }
}

#[test]
fn the_same_graph_gives_the_same_bytes() {
    let graph = graph(&["a", "b", "c", "d"], &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(drawn(&graph, &OPTIONS), drawn(&graph, &OPTIONS));
}

#[test]
fn names_cannot_leave_their_place() {
    let nasty = "</text><script>alert('\"')</script>\0\u{202e}&";
    let svg = drawn(&graph(&[nasty], &[]), &OPTIONS);
    assert!(!svg.contains("<script") && !svg.contains('\0') && !svg.contains('\u{202e}'));
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"));
}

#[test]
fn the_thirteenth_prefix_has_a_dashed_border() {
    let labels: Vec<String> = (0..13).map(|index| format!("f{index}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    assert_eq!(drawn(&graph(&labels[..12], &[]), &OPTIONS).matches("dasharray").count(), 0);
    assert_eq!(drawn(&graph(&labels, &[]), &OPTIONS).matches("dasharray").count(), 1);
}

#[test]
fn the_caption_knows_work_and_span() {
    let mut graph = graph(&["a", "b", "c"], &[(0, 2), (1, 2)]);
    for (task, seconds) in graph.tasks.iter_mut().zip([0.25, 0.5, 0.25]) {
        task.seconds = Some(seconds);
    }
    let caption = "3 tasks · depth 2 · max width 2 · T1 1.0 s · T∞ 750 ms · parallelism 1.3";
    assert!(drawn(&graph, &OPTIONS).contains(caption));
    graph.tasks[0].seconds = None;
    assert!(!drawn(&graph, &OPTIONS).contains("T1"));
}

#[test]
fn durations_have_fitting_units() {
    let seconds = [0.0, 2e-6, 0.004, 1.5, 99.0, 600.0, 36_000.0];
    let texts = ["0 s", "2 µs", "4 ms", "1.5 s", "99.0 s", "10.0 min", "10.0 h"];
    assert_eq!(seconds.map(duration), texts);
}

#[test]
fn groups_in_execution_order_show_their_range() {
    let mut graph = graph(&["a", "b"], &[]);
    graph.tasks =
        (0..10).map(|index| Task { order: Some(index), ..task("a", index / 5) }).collect();
    let options = Options {
        colouring: Colouring::Order { last: None, fills: Vec::new() },
        limit: 3,
        ..OPTIONS
    };
    let svg = drawn(&graph, &options);
    assert!(svg.contains(">×5 · #0–#4</text>") && svg.contains(">×5 · #5–#9</text>"));
}

#[test]
fn results_stand_between_a_call_and_its_dependents() {
    let graph = graph(&["a", "b"], &[(0, 1)]);
    let mut scene = Scene {
        shapes: Vec::new(),
        arrows: Vec::new(),
        direction: Direction::TopToBottom,
        title: String::new(),
        caption: Vec::new(),
        legend: None,
        style: Style::default(),
    };
    add_tasks(&graph, &Scale::Prefix, &mut scene);
    add_results(&graph, &mut scene);
    let arrows: Vec<(u32, u32)> =
        scene.arrows.iter().map(|arrow| (arrow.source, arrow.target)).collect();
    assert_eq!(arrows, [(2, 1), (0, 2), (1, 3)]);
}

#[test]
fn a_prefix_that_does_not_exist_is_an_error() {
    let mut graph = graph(&["a"], &[]);
    graph.tasks[0].prefix = 3;
    let error = draw(&graph, &OPTIONS).expect_err("there is one prefix");
    assert_eq!(error.to_string(), "task 0 has prefix 3, but there are 1 prefixes, counted from 0");
}
