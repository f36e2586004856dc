//! Folds a large task graph into a few groups, in time linear in tasks and dependencies.

use crate::layout::{LayoutError, layers};

/// How tasks were put together, from fine to coarse; the first that is acyclic and small enough is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All tasks of a prefix.
    Prefix,
    /// Tasks of a prefix that are as many changes of prefix away from the sources: a prefix that
    /// returns later (`add`, `mul`, `add`) is a group each time.
    PrefixAndStage,
    /// Prefixes that feed each other in a circle are one group.
    Circles,
    /// Runs of layers, whatever their prefixes.
    Layers,
}

/// One group of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The prefixes in it.
    pub name: String,
    /// The first prefix in it: what decides its colour.
    pub prefix: u32,
    /// How many tasks it holds.
    pub tasks: usize,
    /// Dependencies between its own tasks.
    pub inner_edges: usize,
}

/// A graph of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collapsed {
    /// How the groups were made.
    pub rule: Rule,
    /// The groups, in the order of their first tasks.
    pub groups: Vec<Group>,
    /// The group of each task.
    pub group_of: Vec<u32>,
    /// Source group, target group, number of dependencies between them.
    pub edges: Vec<(u32, u32, usize)>,
}

/// Folds tasks into at most `limit` groups (at least one) by prefix.
///
/// `prefix_of` holds an index into `prefixes` for each task.
///
/// # Errors
/// If an edge names no task, or the edges form a cycle.
pub fn collapse(
    prefix_of: &[u32],
    prefixes: &[String],
    edges: &[(u32, u32)],
    limit: usize,
) -> Result<Collapsed, LayoutError> {
    let layer_of = layers(prefix_of.len(), edges)?;
    let limit = limit.max(1);
    let fold = |rule, labels: Vec<u64>| Collapsed::new(rule, &labels, prefix_of, prefixes, edges);
    let fits = |collapsed: &Collapsed| collapsed.groups.len() <= limit && collapsed.is_acyclic();

    let by_prefix = fold(Rule::Prefix, prefix_of.iter().map(|&prefix| u64::from(prefix)).collect());
    if fits(&by_prefix) {
        return Ok(by_prefix);
    }
    let stages = stages(prefix_of, edges, &layer_of);
    let by_stage = fold(
        Rule::PrefixAndStage,
        prefix_of
            .iter()
            .zip(&stages)
            .map(|(&prefix, &stage)| u64::from(prefix) << 32 | u64::from(stage))
            .collect(),
    );
    if fits(&by_stage) {
        return Ok(by_stage);
    }
    let circle_of = strong_components(by_prefix.groups.len(), &by_prefix.edges);
    let by_circle = fold(
        Rule::Circles,
        by_prefix.group_of.iter().map(|&group| u64::from(circle_of[group as usize])).collect(),
    );
    if fits(&by_circle) && by_circle.groups.len() > 1 {
        return Ok(by_circle);
    }
    let depth = layer_of.iter().max().map_or(1, |&last| last as usize + 1);
    let thickness = depth.div_ceil(limit.min(MOST_LAYER_RUNS));
    Ok(fold(
        Rule::Layers,
        layer_of.iter().map(|&layer| u64::from(layer) / thickness as u64).collect(),
    ))
}

/// Into how many runs the layers are cut, at most: more would be a long snake without meaning.
const MOST_LAYER_RUNS: usize = 20;
/// How many prefixes a group names.
const MOST_NAMES: usize = 3;

impl Collapsed {
    /// Groups the tasks of equal labels.
    fn new(
        rule: Rule,
        labels: &[u64],
        prefix_of: &[u32],
        prefixes: &[String],
        edges: &[(u32, u32)],
    ) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut prefixes_in: Vec<Vec<u32>> = Vec::new();
        let mut group_of = Vec::with_capacity(labels.len());
        let mut known = std::collections::BTreeMap::new();
        for (&label, &prefix) in labels.iter().zip(prefix_of) {
            let group = *known.entry(label).or_insert_with(|| {
                groups.push(Group { name: String::new(), prefix, tasks: 0, inner_edges: 0 });
                prefixes_in.push(Vec::new());
                groups.len() as u32 - 1
            });
            group_of.push(group);
            groups[group as usize].tasks += 1;
            let named = &mut prefixes_in[group as usize];
            if named.len() <= MOST_NAMES && !named.contains(&prefix) {
                named.push(prefix);
            }
        }
        for (group, named) in groups.iter_mut().zip(&prefixes_in) {
            let shown: Vec<&str> = named
                .iter()
                .take(MOST_NAMES)
                .map(|&prefix| prefixes[prefix as usize].as_str())
                .collect();
            group.name = shown.join(", ");
            if named.len() > MOST_NAMES {
                group.name.push_str(", …");
            }
        }
        let mut between: Vec<(u32, u32)> = Vec::new();
        for &(source, target) in edges {
            let pair = (group_of[source as usize], group_of[target as usize]);
            if pair.0 == pair.1 {
                groups[pair.0 as usize].inner_edges += 1;
            } else {
                between.push(pair);
            }
        }
        let edges = counted(groups.len(), &between);
        Self { rule, groups, group_of, edges }
    }

    fn is_acyclic(&self) -> bool {
        let edges: Vec<(u32, u32)> =
            self.edges.iter().map(|&(source, target, _)| (source, target)).collect();
        layers(self.groups.len(), &edges).is_ok()
    }
}

/// Each pair once, with how often it is there; sorted by two passes of counting.
fn counted(groups: usize, pairs: &[(u32, u32)]) -> Vec<(u32, u32, usize)> {
    let by_target = sorted_by(groups, pairs, |pair| pair.1);
    let sorted = sorted_by(groups, &by_target, |pair| pair.0);
    let mut counted: Vec<(u32, u32, usize)> = Vec::new();
    for (source, target) in sorted {
        match counted.last_mut() {
            Some(last) if (last.0, last.1) == (source, target) => last.2 += 1,
            _ => counted.push((source, target, 1)),
        }
    }
    counted
}

fn sorted_by(
    groups: usize,
    pairs: &[(u32, u32)],
    key: impl Fn(&(u32, u32)) -> u32,
) -> Vec<(u32, u32)> {
    let mut starts = vec![0_usize; groups + 1];
    for pair in pairs {
        starts[key(pair) as usize + 1] += 1;
    }
    for group in 0..groups {
        starts[group + 1] += starts[group];
    }
    let mut sorted = vec![(0, 0); pairs.len()];
    for pair in pairs {
        let slot = &mut starts[key(pair) as usize];
        sorted[*slot] = *pair;
        *slot += 1;
    }
    sorted
}

/// The most changes of prefix on a path to each task. Along an edge it never falls, and where the
/// prefix changes it grows: groups of equal prefix and stage cannot form a circle.
fn stages(prefix_of: &[u32], edges: &[(u32, u32)], layer_of: &[u32]) -> Vec<u32> {
    let depth = layer_of.iter().max().map_or(0, |&last| last as usize + 1);
    let by_layer = sorted_by(depth, edges, |edge| layer_of[edge.0 as usize]);
    let mut stages = vec![0; prefix_of.len()];
    for (source, target) in by_layer {
        let (source, target) = (source as usize, target as usize);
        let change = u32::from(prefix_of[source] != prefix_of[target]);
        stages[target] = stages[target].max(stages[source] + change);
    }
    stages
}

/// The strongly connected component of each node (Tarjan's algorithm on an explicit stack).
fn strong_components(nodes: usize, edges: &[(u32, u32, usize)]) -> Vec<u32> {
    const NONE: u32 = u32::MAX;
    let mut starts = vec![0; nodes + 1];
    for &(source, _, _) in edges {
        starts[source as usize + 1] += 1;
    }
    for node in 0..nodes {
        starts[node + 1] += starts[node];
    }
    let mut component_of = vec![NONE; nodes];
    let mut number = vec![NONE; nodes];
    let mut lowest = vec![NONE; nodes];
    let mut next_edge: Vec<usize> = starts[..nodes].to_vec();
    let (mut open, mut path) = (Vec::new(), Vec::new());
    let (mut numbers, mut components) = (0, 0);
    for root in 0..nodes {
        if number[root] != NONE {
            continue;
        }
        path.push(root);
        while let Some(&node) = path.last() {
            if number[node] == NONE {
                number[node] = numbers;
                lowest[node] = numbers;
                numbers += 1;
                open.push(node);
            }
            // `edges` is sorted by source.
            if next_edge[node] < starts[node + 1] {
                let target = edges[next_edge[node]].1 as usize;
                if number[target] == NONE {
                    path.push(target);
                    continue;
                }
                next_edge[node] += 1;
                if component_of[target] == NONE {
                    lowest[node] = lowest[node].min(lowest[target]);
                }
                continue;
            }
            path.pop();
            if lowest[node] == number[node] {
                while let Some(member) = open.pop() {
                    component_of[member] = components;
                    if member == node {
                        break;
                    }
                }
                components += 1;
            }
        }
    }
    component_of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(prefixes: &str, edges: &[(u32, u32)], limit: usize) -> Collapsed {
        let mut names: Vec<String> = Vec::new();
        let prefix_of: Vec<u32> = prefixes
            .split_whitespace()
            .map(|name| {
                let known = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                known as u32
            })
            .collect();
        let collapsed = collapse(&prefix_of, &names, edges, limit).expect("the graph has no cycle");
        assert!(collapsed.is_acyclic());
        assert!(collapsed.groups.len() <= limit);
        assert_eq!(
            collapsed.groups.iter().map(|group| group.tasks).sum::<usize>(),
            prefix_of.len()
        );
        let inner: usize = collapsed.groups.iter().map(|group| group.inner_edges).sum();
        let outer: usize = collapsed.edges.iter().map(|edge| edge.2).sum();
        assert_eq!(inner + outer, edges.len());
        collapsed
    }

    fn names(collapsed: &Collapsed) -> Vec<(&str, usize)> {
        collapsed.groups.iter().map(|group| (group.name.as_str(), group.tasks)).collect()
    }

    #[test]
    fn tasks_of_a_prefix_become_one_group_with_counts() {
        let collapsed =
            folded("Sk Sk Sk mean error", &[(0, 3), (1, 3), (2, 3), (0, 4), (1, 4)], 10);
        assert_eq!(names(&collapsed), [("Sk", 3), ("mean", 1), ("error", 1)]);
        assert_eq!(collapsed.edges, [(0, 1, 3), (0, 2, 2)]);
        assert_eq!(collapsed.rule, Rule::Prefix);
    }

    #[test]
    fn edges_inside_a_group_are_counted_apart() {
        let collapsed = folded("load load add add add", &[(0, 2), (1, 2), (2, 3), (3, 4)], 10);
        assert_eq!(names(&collapsed), [("load", 2), ("add", 3)]);
        assert_eq!(collapsed.groups[1].inner_edges, 2);
        assert_eq!(collapsed.edges, [(0, 1, 2)]);
    }

    #[test]
    fn a_prefix_that_returns_is_a_group_each_time() {
        let collapsed = folded("add mul add mul", &[(0, 1), (1, 2), (2, 3)], 10);
        assert_eq!(names(&collapsed), [("add", 1), ("mul", 1), ("add", 1), ("mul", 1)]);
        assert_eq!(collapsed.rule, Rule::PrefixAndStage);
    }

    #[test]
    fn prefixes_in_a_circle_are_one_group_when_stages_are_too_many() {
        let collapsed =
            folded("load add mul add mul save", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], 3);
        assert_eq!(names(&collapsed), [("load", 1), ("add, mul", 4), ("save", 1)]);
        assert_eq!(collapsed.rule, Rule::Circles);
    }

    #[test]
    fn too_many_prefixes_fold_by_layers() {
        let edges: Vec<(u32, u32)> = (0..39).map(|task| (task, task + 1)).collect();
        let prefixes: Vec<String> = (0..40).map(|task| format!("step{task}")).collect();
        let collapsed = folded(&prefixes.join(" "), &edges, 4);
        assert_eq!(collapsed.rule, Rule::Layers);
        assert_eq!(names(&collapsed)[0], ("step0, step1, step2, …", 10));
    }

    #[test]
    fn a_long_chain_of_alternating_prefixes_needs_no_stack() {
        let edges: Vec<(u32, u32)> = (0..99_999).map(|task| (task, task + 1)).collect();
        let collapsed = folded(&"add mul ".repeat(50_000), &edges, 200);
        assert_eq!(collapsed.rule, Rule::Layers);
    }

    #[test]
    fn a_cycle_of_tasks_is_an_error() {
        let prefixes = ["add".to_owned()];
        let cycle = collapse(&[0, 0], &prefixes, &[(0, 1), (1, 0)], 10);
        assert_eq!(cycle, Err(LayoutError::Cycle { nodes: vec![1, 0] }));
    }
}
