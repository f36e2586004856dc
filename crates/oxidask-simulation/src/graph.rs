//! Random graphs, and what running their tasks does.

use std::collections::BTreeMap;

use oxidask_graph::{Edges, order};
use oxidask_protocol::{NameId, ResourceId, TaskId};
use oxidask_scheduler::{Offer, Restriction, Submission};

use crate::random::Random;

/// What a task does when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Returns,
    /// It raises each time.
    Raises,
    /// It raises so many times; perhaps once more than it is retried without being asked.
    RaisesAtFirst(u32),
}

/// A graph that a client submits, perhaps several times.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) submission: Submission,
    /// The tasks so that inputs come first: how a sequential run would go.
    pub(crate) sequence: Vec<u32>,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) durations_us: Vec<u64>,
    pub(crate) nbytes: Vec<u64>,
    /// So many places for tasks of earlier submissions; `dependencies` and `wanted` name them behind
    /// the tasks.
    external_places: usize,
}

/// How the graphs of a scenario are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GraphStyle {
    pub(crate) tasks: usize,
    pub(crate) mean_duration_us: u64,
    /// In a thousand.
    pub(crate) raising: u64,
    /// In a thousand.
    pub(crate) slow: u64,
    /// So many tasks of earlier submissions are read, if there are any.
    pub(crate) externals: usize,
}

impl Graph {
    pub(crate) fn random(random: &mut Random, style: GraphStyle) -> Self {
        let rows = random_rows(random, style.tasks);
        let (rows, sequence) = relabelled(random, rows);
        let count = rows.len();
        let mut retries = BTreeMap::new();
        let behaviours = (0..count as u32)
            .map(|task| {
                if random.between(1, 1000) > style.raising {
                    return Behaviour::Returns;
                }
                let allowed = random.between(0, 3) as u32;
                if allowed > 0 {
                    retries.insert(task, allowed);
                }
                if random.chance(60) {
                    Behaviour::RaisesAtFirst(random.between(1, u64::from(allowed) + 1) as u32)
                } else {
                    Behaviour::Raises
                }
            })
            .collect();
        let durations_us = (0..count)
            .map(|_| {
                let factor = if random.between(1, 1000) <= style.slow { 50 } else { 1 };
                factor * random.between(0, 2 * style.mean_duration_us)
            })
            .collect();
        let nbytes = (0..count).map(|_| random.scale(1, 100_000_000)).collect();
        let mut submission = submission(random, &rows, &sequence, retries);
        if style.externals > 0 {
            read_externals(random, &mut submission, rows, style.externals);
        }
        let external_places = style.externals;
        Self { submission, sequence, behaviours, durations_us, nbytes, external_places }
    }

    /// The submission with these tasks in the places of externals. If there are fewer tasks than
    /// places, some take several.
    pub(crate) fn reading(&self, known: &[TaskId]) -> Submission {
        let mut submission = self.submission.clone();
        let count = self.len() as u32;
        let known = &known[..known.len().min(self.external_places)];
        let bound = |&number: &u32| match number.checked_sub(count) {
            None => Some(number),
            Some(_) if known.is_empty() => None,
            Some(place) => Some(count + place % known.len() as u32),
        };
        let rows = submission.dependencies.rows();
        let rows: Vec<Vec<u32>> = rows.map(|row| distinct(row.iter().filter_map(bound))).collect();
        submission.dependencies = Edges::from_rows(rows);
        submission.wanted = distinct(submission.wanted.iter().filter_map(bound));
        submission.externals = known.to_vec();
        submission
    }

    pub(crate) fn external_places(&self) -> usize {
        self.external_places
    }

    pub(crate) fn len(&self) -> usize {
        self.sequence.len()
    }
}

fn submission(
    random: &mut Random,
    rows: &[Vec<u32>],
    sequence: &[u32],
    retries: BTreeMap<u32, u32>,
) -> Submission {
    let dependencies = Edges::from_rows(rows);
    let dependents = dependencies.reversed();
    let rank = if random.chance(80) {
        order(&dependencies, &dependents).expect("rows have no cycle").rank
    } else {
        let mut rank = vec![0; rows.len()];
        for (place, &task) in sequence.iter().enumerate() {
            rank[task as usize] = place as u32;
        }
        rank
    };
    let also_wanted = [0, 0, 10, 50][random.index(4)];
    // Whatever nobody reads must be wanted, or the graph would hold something that is not needed.
    let wanted = (0..rows.len() as u32)
        .filter(|&task| dependents.row(task).is_empty() || random.chance(also_wanted))
        .collect();
    let group_count = random.between(1, 4) as u32;
    let groups = (0..rows.len() as u32).map(|task| task % group_count).collect();
    let priority = [0, 0, 0, -5, 7, i64::MAX, i64::MIN][random.index(7)];
    let (restrictions, restricted) = restrictions(random, rows.len());
    Submission {
        dependencies,
        rank,
        groups,
        wanted,
        priority,
        retries,
        restrictions,
        restricted,
        ..Submission::default()
    }
}

/// Names of workers, and resources, that there may be.
const NAMES: u64 = 4;
const RESOURCES: u64 = 2;

/// What some of the tasks ask of their worker.
fn restrictions(random: &mut Random, tasks: usize) -> (Vec<Restriction>, BTreeMap<u32, u32>) {
    let percent = [0, 0, 0, 5, 30, 100][random.index(6)];
    if percent == 0 {
        return (Vec::new(), BTreeMap::new());
    }
    let kinds = random.between(1, 3) as u32;
    let restrictions = (0..kinds).map(|_| restriction(random)).collect();
    let restricted = (0..tasks as u32)
        .filter(|_| random.chance(percent))
        .map(|task| (task, task % kinds))
        .collect();
    (restrictions, restricted)
}

fn restriction(random: &mut Random) -> Restriction {
    let mut restriction = Restriction { allow_others: random.chance(50), ..Restriction::default() };
    if random.chance(50) {
        restriction.names = (0..random.between(1, 3)).map(|_| name(random)).collect();
    }
    if random.chance(60) {
        let what = ResourceId(random.between(0, RESOURCES - 1) as u32);
        restriction.resources.insert(what, random.between(0, 3));
    }
    restriction
}

fn name(random: &mut Random) -> NameId {
    NameId(random.between(0, NAMES - 1) as u32)
}

/// What a worker has for tasks that ask for something.
pub(crate) fn offer(random: &mut Random) -> Offer {
    Offer {
        names: (0..random.between(0, 2)).map(|_| name(random)).collect(),
        resources: (0..RESOURCES as u32)
            .filter_map(|what| {
                let amount = [0, 1, 2, 5][random.index(4)];
                (amount > 0).then_some((ResourceId(what), amount))
            })
            .collect(),
    }
}

/// Lets some tasks read places behind the tasks, and wants some of those.
fn read_externals(
    random: &mut Random,
    submission: &mut Submission,
    mut rows: Vec<Vec<u32>>,
    places: usize,
) {
    let count = rows.len() as u32;
    let percent = random.scale(3, 100);
    for row in &mut rows {
        for place in 0..places as u32 {
            if random.chance(percent) {
                row.push(count + place);
            }
        }
    }
    submission.dependencies = Edges::from_rows(rows);
    if random.chance(20) {
        submission.wanted.push(count + random.index(places) as u32);
    }
}

/// Inputs of each task; they come before it.
fn random_rows(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    match random.index(9) {
        0 => layers(random, size, 1),
        1 => layers(random, size, 4),
        2 => chains(random, size),
        3 => stencil(random, size),
        4 => tree(random, size),
        5 => fan_out(random, size),
        6 => exchange(size),
        7 => vec![Vec::new(); size],
        _ => any(random, size),
    }
}

fn layers(random: &mut Random, size: usize, most_inputs: u64) -> Vec<Vec<u32>> {
    let width = random.between(1, size.div_ceil(2) as u64) as usize;
    (0..size)
        .map(|task| {
            let layer = task / width;
            if layer == 0 {
                return Vec::new();
            }
            let inputs = random.between(1, most_inputs);
            let from = (layer - 1) * width;
            distinct((0..inputs).map(|_| (from + random.index(width)) as u32))
        })
        .collect()
}

fn chains(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    let count = random.between(1, 8.min(size as u64)) as usize;
    (0..size)
        .map(|task| task.checked_sub(count).map(|input| input as u32).into_iter().collect())
        .collect()
}

fn stencil(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    let width = random.between(1, size.min(16) as u64) as usize;
    (0..size)
        .map(|task| {
            let (layer, column) = (task / width, task % width);
            if layer == 0 {
                return Vec::new();
            }
            let columns = column.saturating_sub(1)..=(column + 1).min(width - 1);
            columns.map(|column| ((layer - 1) * width + column) as u32).collect()
        })
        .collect()
}

/// A reduction; with a large arity, one task that needs very many.
fn tree(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    let arity = random.scale(2, 100) as usize;
    let leaves = (size * (arity - 1) / arity).max(1);
    let mut rows = vec![Vec::new(); leaves];
    let mut from = 0;
    while rows.len() - from > 1 {
        let end = rows.len();
        for start in (from..end).step_by(arity) {
            rows.push((start as u32..(start + arity).min(end) as u32).collect());
        }
        from = end;
    }
    rows
}

fn fan_out(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    let arity = random.scale(1, 50) as u32;
    (0..size as u32)
        .map(|task| task.checked_sub(1).map(|task| task / arity).into_iter().collect())
        .collect()
}

/// Each of one side to each of the other, as when rows are regrouped.
fn exchange(size: usize) -> Vec<Vec<u32>> {
    let is_too_wide = |width: &usize| width * width + 2 * width > size;
    let width = (2..=size + 1).find(is_too_wide).expect("the square of the last is too large") - 1;
    let mut rows = vec![Vec::new(); width];
    for from in 0..width {
        rows.extend((0..width).map(|_| vec![from as u32]));
    }
    for to in 0..width {
        rows.push((0..width).map(|from| (width + from * width + to) as u32).collect());
    }
    rows
}

fn any(random: &mut Random, size: usize) -> Vec<Vec<u32>> {
    let most = random.between(1, 5);
    (0..size)
        .map(|task| {
            if task == 0 {
                return Vec::new();
            }
            let inputs = random.between(0, most);
            distinct((0..inputs).map(|_| random.index(task) as u32))
        })
        .collect()
}

fn distinct(inputs: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut found = Vec::new();
    for input in inputs {
        if !found.contains(&input) {
            found.push(input);
        }
    }
    found
}

/// The same graph, in half of the cases with its tasks numbered at random.
fn relabelled(random: &mut Random, rows: Vec<Vec<u32>>) -> (Vec<Vec<u32>>, Vec<u32>) {
    let mut labels: Vec<u32> = (0..rows.len() as u32).collect();
    if random.chance(50) {
        random.shuffle(&mut labels);
    }
    let mut renamed = vec![Vec::new(); rows.len()];
    for (task, row) in rows.into_iter().enumerate() {
        renamed[labels[task] as usize] =
            row.into_iter().map(|input| labels[input as usize]).collect();
    }
    (renamed, labels)
}
