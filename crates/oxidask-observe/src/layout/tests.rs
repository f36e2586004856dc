use proptest::prelude::*;

use super::*;

const DIRECTIONS: [Direction; 4] = [
    Direction::TopToBottom,
    Direction::BottomToTop,
    Direction::LeftToRight,
    Direction::RightToLeft,
];

/// Lays out twice and checks what holds for every drawing.
fn checked(sizes: &[Size], edges: &[(u32, u32)], direction: Direction) -> Layout {
    let drawn = layout(sizes, edges, direction).expect("the graph has no cycle");
    assert_eq!(layout(sizes, edges, direction), Ok(drawn.clone()), "the same graph looks the same");
    assert_eq!((drawn.nodes.len(), drawn.edges.len()), (sizes.len(), edges.len()));
    let rects: Vec<Rect> = drawn.nodes.iter().zip(sizes).map(Rect::around).collect();
    for (index, rect) in rects.iter().enumerate() {
        let whole =
            Rect { left: 0.0, top: 0.0, right: drawn.size.width, bottom: drawn.size.height };
        assert!(rect.is_within(&whole), "node {index} {rect:?} sticks out of {whole:?}");
        for (other, second) in rects[..index].iter().enumerate() {
            assert!(!rect.meets(second, 5.0), "nodes {other} and {index} are too near");
        }
    }
    for (&(source, target), points) in edges.iter().zip(&drawn.edges) {
        check_route(source, target, points, &rects, direction);
    }
    drawn
}

fn check_route(source: u32, target: u32, points: &[Point], rects: &[Rect], direction: Direction) {
    let along = |point: &Point| match direction {
        Direction::TopToBottom => point.y,
        Direction::BottomToTop => -point.y,
        Direction::LeftToRight => point.x,
        Direction::RightToLeft => -point.x,
    };
    let name = format!("edge {source} -> {target}");
    let (first, last) = (points[0], points[points.len() - 1]);
    assert!(rects[source as usize].has_on_border(first), "{name} starts at its source");
    assert!(rects[target as usize].has_on_border(last), "{name} ends at its target");
    assert!(along(&last) - along(&first) > 20.0, "{name} goes one way");
    for pair in points.windows(2) {
        assert!(along(&pair[0]) <= along(&pair[1]), "{name} never turns back");
        for (node, rect) in rects.iter().enumerate() {
            if node != source as usize && node != target as usize {
                assert!(!rect.is_crossed_by(pair[0], pair[1]), "{name} runs through node {node}");
            }
        }
    }
}

#[derive(Debug)]
struct Rect {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Rect {
    fn around((centre, size): (&Point, &Size)) -> Self {
        Self {
            left: centre.x - size.width / 2.0,
            top: centre.y - size.height / 2.0,
            right: centre.x + size.width / 2.0,
            bottom: centre.y + size.height / 2.0,
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        let slack = 1e-6;
        self.left >= other.left - slack
            && self.top >= other.top - slack
            && self.right <= other.right + slack
            && self.bottom <= other.bottom + slack
    }

    fn meets(&self, other: &Self, gap: f64) -> bool {
        self.left < other.right + gap
            && other.left < self.right + gap
            && self.top < other.bottom + gap
            && other.top < self.bottom + gap
    }

    fn has_on_border(&self, point: Point) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() < 0.1;
        let is_inside = point.x > self.left - 0.1
            && point.x < self.right + 0.1
            && point.y > self.top - 0.1
            && point.y < self.bottom + 0.1;
        let is_edge = near(point.x, self.left)
            || near(point.x, self.right)
            || near(point.y, self.top)
            || near(point.y, self.bottom);
        is_inside && is_edge
    }

    /// Whether a straight line enters the rectangle by more than a tenth of a pixel (Liang-Barsky).
    fn is_crossed_by(&self, from: Point, to: Point) -> bool {
        let (mut enter, mut leave): (f64, f64) = (0.0, 1.0);
        let slack = 0.1;
        for (start, end, low, high) in [
            (from.x, to.x, self.left + slack, self.right - slack),
            (from.y, to.y, self.top + slack, self.bottom - slack),
        ] {
            let run = end - start;
            if run.abs() < 1e-9 {
                if start <= low || start >= high {
                    return false;
                }
                continue;
            }
            let (a, b) = ((low - start) / run, (high - start) / run);
            enter = enter.max(a.min(b));
            leave = leave.min(a.max(b));
        }
        enter < leave
    }
}

fn boxes(count: usize) -> Vec<Size> {
    vec![Size { width: 40.0, height: 24.0 }; count]
}

fn x_of(drawn: &Layout, node: usize) -> i64 {
    (drawn.nodes[node].x * 10.0).round() as i64
}

/// Nodes of random sizes, and edges from lower to higher indices.
fn graphs() -> impl Strategy<Value = (Vec<Size>, Vec<(u32, u32)>)> {
    let size = (10.0..150.0, 10.0..50.0).prop_map(|(width, height)| Size { width, height });
    proptest::collection::vec(size, 1..40).prop_flat_map(|sizes| {
        let count = sizes.len() as u32;
        let edge = (0..count, 0..count)
            .prop_filter_map("an edge joins two nodes", |(one, other)| {
                (one != other).then(|| (one.min(other), one.max(other)))
            });
        let edges = if count < 2 {
            Just(Vec::new()).boxed()
        } else {
            proptest::collection::vec(edge, 0..80).boxed()
        };
        (Just(sizes), edges)
    })
}

proptest! {
    #[test]
    fn nodes_keep_apart_and_edges_go_one_way_around_them(
        (sizes, edges) in graphs(),
        direction in proptest::sample::select(&DIRECTIONS[..]),
    ) {
        checked(&sizes, &edges, direction);
    }
}

#[test]
fn no_node_is_an_empty_drawing() {
    assert_eq!(layout(&[], &[], Direction::TopToBottom), Ok(Layout::default()));
}

#[test]
fn a_chain_is_one_straight_line() {
    let edges: Vec<(u32, u32)> = (0..9).map(|node| (node, node + 1)).collect();
    let drawn = checked(&boxes(10), &edges, Direction::TopToBottom);
    assert!((0..10).all(|node| x_of(&drawn, node) == x_of(&drawn, 0)));
    assert!(drawn.edges.iter().all(|points| points.len() == 2));
}

#[test]
fn parents_stand_in_the_middle_of_their_children() {
    let edges: Vec<(u32, u32)> = (1..63).map(|node| (node, (node - 1) / 2)).collect();
    let drawn = checked(&boxes(63), &edges, Direction::TopToBottom);
    for parent in 0..31 {
        let (left, right) = (x_of(&drawn, 2 * parent + 1), x_of(&drawn, 2 * parent + 2));
        assert!((x_of(&drawn, parent) * 2 - left - right).abs() <= 2, "parent {parent}");
    }
}

#[test]
fn a_tree_has_no_crossing() {
    let edges: Vec<(u32, u32)> = (1..40).map(|node| ((node - 1) / 3, node)).collect();
    let drawn = checked(&boxes(40), &edges, Direction::TopToBottom);
    for (one, first) in edges.iter().zip(&drawn.edges) {
        for (other, second) in edges.iter().zip(&drawn.edges) {
            let is_same_gap = (first[0].y - second[0].y).abs() < 1.0;
            let (starts, ends) =
                (first[0].x - second[0].x, first[first.len() - 1].x - second[second.len() - 1].x);
            assert!(!is_same_gap || starts * ends >= 0.0, "{one:?} crosses {other:?}");
        }
    }
}

proptest! {
    #[test]
    fn crossings_of_two_layers_are_counted(
        edges in proptest::collection::btree_set((0_u32..20, 20_u32..40), 1..80),
    ) {
        let edges: Vec<(u32, u32)> = edges.into_iter().collect();
        let drawn = layout(&boxes(40), &edges, Direction::TopToBottom).expect("no cycle");
        let ends: Vec<(Point, Point)> =
            drawn.edges.iter().map(|points| (points[0], points[points.len() - 1])).collect();
        // Components may stand below each other.
        let crosses = |one: &(Point, Point), other: &(Point, Point)| {
            let is_beside = (one.0.y - other.0.y).abs() < 1.0;
            is_beside && (one.0.x - other.0.x) * (one.1.x - other.1.x) < 0.0
        };
        let expected: usize = ends
            .iter()
            .enumerate()
            .map(|(index, one)| ends[..index].iter().filter(|other| crosses(one, other)).count())
            .sum();
        prop_assert_eq!(drawn.crossings, expected);
    }
}

#[test]
fn tasks_of_a_map_keep_their_order() {
    let edges: Vec<(u32, u32)> = (0..64).flat_map(|node| [(node, 64), (node, 65)]).collect();
    let drawn = checked(&boxes(66), &edges, Direction::TopToBottom);
    assert!((0..63).all(|node| x_of(&drawn, node) < x_of(&drawn, node + 1)));
    let middle = x_of(&drawn, 0).midpoint(x_of(&drawn, 63));
    assert!((x_of(&drawn, 64) + x_of(&drawn, 65) - 2 * middle).abs() < 200);
}

fn rows_of(drawn: &Layout, nodes: usize) -> usize {
    let mut ys: Vec<u64> = drawn.nodes[..nodes].iter().map(|node| node.y.to_bits()).collect();
    ys.sort_unstable();
    ys.dedup();
    ys.len()
}

#[test]
fn a_wide_map_stands_in_two_rows_and_a_narrow_one_in_one() {
    let map = |width: u32| (0..width).map(|node| (node, width)).collect::<Vec<_>>();
    assert_eq!(rows_of(&checked(&boxes(65), &map(64), Direction::TopToBottom), 64), 2);
    assert_eq!(rows_of(&checked(&boxes(21), &map(20), Direction::TopToBottom), 20), 1);
}

#[test]
fn leaves_of_a_wide_tree_stay_in_one_row() {
    let edges: Vec<(u32, u32)> = (0..64).map(|node| (node, 64 + node / 2)).collect();
    let roots = (64..96).map(|node| (node, 96));
    let edges: Vec<(u32, u32)> = edges.into_iter().chain(roots).collect();
    assert_eq!(rows_of(&checked(&boxes(97), &edges, Direction::TopToBottom), 64), 1);
}

#[test]
fn sources_stand_next_to_their_use() {
    let layer_of = layers(5, &[(0, 1), (1, 2), (2, 3), (4, 3)]).expect("no cycle");
    assert_eq!(layer_of, [0, 1, 2, 3, 2]);
}

#[test]
fn a_tree_that_is_used_late_moves_down_as_a_whole() {
    let edges = [(0, 1), (1, 2), (2, 3), (3, 4), (5, 7), (6, 7), (7, 4)];
    let layer_of = layers(8, &edges).expect("no cycle");
    assert_eq!(layer_of, [0, 1, 2, 3, 4, 2, 2, 3]);
}

#[test]
fn a_long_edge_passes_beside_the_nodes_between() {
    let drawn = checked(&boxes(3), &[(0, 1), (1, 2), (0, 2)], Direction::TopToBottom);
    assert!(drawn.edges[2].len() > 2);
}

#[test]
fn components_stand_side_by_side() {
    let drawn = checked(&boxes(4), &[(0, 1), (2, 3)], Direction::TopToBottom);
    assert_eq!(drawn.nodes[0].y.to_bits(), drawn.nodes[2].y.to_bits());
    assert!(x_of(&drawn, 0) < x_of(&drawn, 2));
}

#[test]
fn many_components_fill_rows() {
    let drawn = checked(&boxes(1000), &[], Direction::TopToBottom);
    let shape = drawn.size.width / drawn.size.height;
    assert!((1.0..3.0).contains(&shape), "{:?}", drawn.size);
}

#[test]
fn repeated_edges_are_drawn_alike() {
    let drawn = checked(&boxes(2), &[(0, 1), (0, 1)], Direction::TopToBottom);
    assert_eq!(drawn.edges[0], drawn.edges[1]);
}

#[test]
fn a_cycle_is_named() {
    let drawn =
        layout(&boxes(5), &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)], Direction::TopToBottom);
    let error = drawn.expect_err("1, 2 and 3 form a cycle");
    let LayoutError::Cycle { nodes } = &error else { panic!("{error} is about a cycle") };
    let mut sorted = nodes.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3]);
    let next = |node: u32| node % 3 + 1;
    assert!(nodes.windows(2).all(|pair| next(pair[0]) == pair[1]), "{nodes:?} follows the edges");
    assert!(error.to_string().starts_with("3 tasks depend on each other in a circle ("), "{error}");
}

#[test]
fn a_node_that_needs_itself_is_a_cycle() {
    let drawn = layout(&boxes(2), &[(1, 1)], Direction::TopToBottom);
    assert_eq!(drawn, Err(LayoutError::Cycle { nodes: vec![1] }));
}

#[test]
fn an_edge_to_nowhere_is_an_error() {
    let drawn = layout(&boxes(2), &[(0, 2)], Direction::TopToBottom);
    assert_eq!(drawn, Err(LayoutError::NoSuchNode { edge: (0, 2), nodes: 2 }));
}

#[test]
fn routes_of_a_large_graph_stay_linear() {
    let count = 50_000_u32;
    let edges: Vec<(u32, u32)> =
        (1..count).flat_map(|node| [(node - 1, node), (0, node)]).collect();
    let drawn = layout(&boxes(count as usize), &edges, Direction::TopToBottom).expect("no cycle");
    let bends: usize = drawn.edges.iter().map(Vec::len).sum();
    assert!(bends < 20 * edges.len(), "{bends} bends");
}

#[test]
fn a_deep_graph_needs_no_stack() {
    let edges: Vec<(u32, u32)> = (0..200_000).map(|node| (node, node + 1)).collect();
    let drawn = layout(&boxes(200_001), &edges, Direction::LeftToRight).expect("no cycle");
    assert_eq!(drawn.size.height.to_bits(), 24.0_f64.to_bits());
}

#[test]
fn directions_have_names() {
    assert_eq!(["TB", "BT", "LR", "RL"].map(str::parse), DIRECTIONS.map(Ok));
    assert_eq!(
        "down".parse::<Direction>().map_err(|error| error.to_string()),
        Err("rankdir \"down\" is not known; give TB, BT, LR or RL".to_owned()),
    );
}
