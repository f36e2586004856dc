//! The task graph as boxes: a group each, or the tasks of one group among the other groups.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::GroupId;
use serde_json::{Value, json};

use super::{Query, clipped, critical_groups};
use crate::layout::{Direction, Layout, Size, layout};
use crate::model::Model;
use crate::model::shapes::Progress;
use crate::text::{fit, width};

/// Boxes at most: more cannot be told apart.
const MOST_TASKS: usize = 5000;
const MOST_GROUPS: usize = 2000;
/// Looks of boxes, in pixels.
const FONT: f64 = 13.0;
const GROUP_HEIGHT: f64 = 46.0;
const GROUP_WIDTH: (f64, f64) = (96.0, 220.0);
const TASK: Size = Size { width: 26.0, height: 20.0 };
/// Beside a name there is room for two signs.
const MARGIN: f64 = 44.0;
/// Of a group that is opened: between its tasks, and above them for its name.
const GAP: f64 = 6.0;
const HEAD: f64 = 30.0;

/// A box before it has its place.
struct Item {
    id: String,
    group: GroupId,
    size: Size,
    /// The task's number, if it is one.
    task: Option<u32>,
    /// Tasks that are drawn inside.
    inside: Vec<u32>,
    is_critical: bool,
}

/// The graph of groups; with `expand`, the tasks of that group instead of it.
pub(super) fn graph(model: &Model, query: &Query) -> Value {
    let expanded = query.expand.filter(|group| group.index() < model.groups.len());
    let (items, edges, note) = match expanded {
        Some(group) => with_tasks_of(model, group),
        None => of_groups(model),
    };
    let sizes: Vec<Size> = items.iter().map(|item| item.size).collect();
    let pairs: Vec<(u32, u32)> = edges.keys().copied().collect();
    // Groups that read each other in circles cannot stand in layers: those edges are left out.
    let (pairs, placed) = if let Ok(placed) = layout(&sizes, &pairs, Direction::LeftToRight) {
        (pairs, placed)
    } else {
        let forward: Vec<(u32, u32)> = pairs.into_iter().filter(|&(from, to)| from < to).collect();
        let placed = layout(&sizes, &forward, Direction::LeftToRight).unwrap_or_default();
        (forward, placed)
    };
    let running = running_tasks(model);
    let mut nodes = Vec::with_capacity(items.len());
    for (item, centre) in items.iter().zip(&placed.nodes) {
        let corner = (centre.x - item.size.width / 2.0, centre.y - item.size.height / 2.0);
        nodes.push(node_value(model, item, corner, &running));
        nodes.extend(inside_values(model, item, corner, &running));
    }
    let tasks: u64 = model.groups.iter().map(|group| group.tally.tasks).sum();
    json!({
        "schema": "oxidask.graph/1",
        "version": model.version,
        "collapsed": expanded.is_none(),
        "expanded": expanded.map(|group| clipped(&model.groups[group.index()].name)),
        "tasks": tasks,
        "note": note,
        "width": placed.size.width,
        "height": placed.size.height,
        "nodes": nodes,
        "edges": edge_values(&items, &pairs, &edges, &placed),
    })
}

type Edges = BTreeMap<(u32, u32), u64>;

fn group_item(model: &Model, group: GroupId, critical: &BTreeSet<GroupId>) -> Item {
    let name = &model.groups[group.index()].name;
    let wide = (width(name, FONT) + MARGIN).clamp(GROUP_WIDTH.0, GROUP_WIDTH.1);
    Item {
        id: format!("g{}", group.0),
        group,
        size: Size { width: wide, height: GROUP_HEIGHT },
        task: None,
        inside: Vec::new(),
        is_critical: critical.contains(&group),
    }
}

fn shown_groups(model: &Model) -> (Vec<GroupId>, Option<String>) {
    let all = model.groups.iter().enumerate().filter(|(_, group)| group.tally.tasks > 0);
    let mut groups: Vec<GroupId> = all.map(|(place, _)| GroupId(place as u32)).collect();
    let total = groups.len();
    if total <= MOST_GROUPS {
        return (groups, None);
    }
    let seconds = |group: &GroupId| model.groups[group.index()].seconds;
    groups.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
    groups.truncate(MOST_GROUPS);
    groups.sort_unstable();
    let note = format!("The {MOST_GROUPS} groups that took most time, of {total}.");
    (groups, Some(note))
}

fn of_groups(model: &Model) -> (Vec<Item>, Edges, Option<String>) {
    let critical = critical_groups(model);
    let (groups, note) = shown_groups(model);
    let items: Vec<Item> =
        groups.iter().map(|&group| group_item(model, group, &critical)).collect();
    let place: BTreeMap<GroupId, u32> =
        groups.iter().enumerate().map(|(place, &group)| (group, place as u32)).collect();
    let mut edges = Edges::new();
    for (&to, &target) in &place {
        for (from, &count) in &model.groups[to.index()].inputs {
            if let Some(&source) = place.get(from)
                && source != target
            {
                edges.insert((source, target), count);
            }
        }
    }
    (items, edges, note)
}

fn with_tasks_of(model: &Model, group: GroupId) -> (Vec<Item>, Edges, Option<String>) {
    let of_group = || model.shapes.nodes().filter(|(_, node)| node.group == group);
    let tasks: Vec<u32> = of_group().rev().take(MOST_TASKS).map(|(number, _)| number).collect();
    let total = model.groups[group.index()].tally.tasks;
    let note = match tasks.len() as u64 {
        0 => Some(
            "The tasks of this group are not kept: graphs of more than 20,000 tasks are only \
             counted."
                .to_owned(),
        ),
        kept if kept < total => Some(format!("The newest {kept} tasks of {total}.")),
        _ => None,
    };
    if tasks.len() > 1 && is_flat(model, &tasks) {
        let (mut items, edges, other_note) = of_groups(model);
        if let Some(item) = items.iter_mut().find(|item| item.group == group) {
            item.inside = tasks.into_iter().rev().collect();
            item.size = size_around(item.inside.len(), item.size.width);
            return (items, edges, note.or(other_note));
        }
        return (items, edges, other_note);
    }
    let critical = critical_groups(model);
    let path: BTreeSet<u32> = model.shapes.critical_path().0.into_iter().collect();
    let task_item = |&number: &u32| task_item(model, group, number, path.contains(&number));
    let mut items: Vec<Item> = tasks.iter().rev().map(task_item).collect();
    let place: BTreeMap<u32, u32> =
        tasks.iter().rev().enumerate().map(|(place, &number)| (number, place as u32)).collect();
    let mut groups = BTreeMap::new();
    let (shown, _) = shown_groups(model);
    for other in shown {
        if other != group || tasks.is_empty() {
            groups.insert(other, items.len() as u32);
            items.push(group_item(model, other, &critical));
        }
    }
    let mut edges = Edges::new();
    let end =
        |number: u32, group: GroupId| place.get(&number).or_else(|| groups.get(&group)).copied();
    for (number, node) in model.shapes.nodes() {
        for input in model.shapes.inputs_of(number) {
            let of_input = model.shapes.group_of(input);
            if let (Some(source), Some(target)) = (end(input, of_input), end(number, node.group))
                && source != target
            {
                *edges.entry((source, target)).or_default() += 1;
            }
        }
    }
    (items, edges, note)
}

fn task_item(model: &Model, group: GroupId, number: u32, is_critical: bool) -> Item {
    Item {
        id: format!("t{}", task_of(model, number)),
        group,
        size: TASK,
        task: Some(number),
        inside: Vec::new(),
        is_critical,
    }
}

/// Whether no task reads another of them: then a column would only be long.
fn is_flat(model: &Model, tasks: &[u32]) -> bool {
    let all: BTreeSet<u32> = tasks.iter().copied().collect();
    tasks.iter().all(|&task| model.shapes.inputs_of(task).iter().all(|input| !all.contains(input)))
}

/// Tasks in a row of a group that is opened: so many that it is wider than high.
fn columns_of(tasks: usize) -> usize {
    let shape = 1.6 * (TASK.height + GAP) / (TASK.width + GAP);
    ((tasks as f64 * shape).sqrt().ceil() as usize).max(1)
}

fn size_around(tasks: usize, least_width: f64) -> Size {
    let columns = columns_of(tasks);
    let width = columns as f64 * (TASK.width + GAP) + GAP;
    let height = tasks.div_ceil(columns) as f64 * (TASK.height + GAP) + HEAD + GAP;
    Size { width: width.max(least_width), height }
}

/// The tasks inside a group that is opened, row by row.
fn inside_values(
    model: &Model,
    item: &Item,
    (left, top): (f64, f64),
    running: &BTreeMap<u32, &str>,
) -> Vec<Value> {
    if item.inside.is_empty() {
        return Vec::new();
    }
    let path: BTreeSet<u32> = model.shapes.critical_path().0.into_iter().collect();
    let columns = columns_of(item.inside.len());
    let rest = item.size.width - columns as f64 * (TASK.width + GAP) + GAP;
    let task = |(place, &number): (usize, &u32)| {
        let (row, column) = (place / columns, place % columns);
        let x = left + rest / 2.0 + column as f64 * (TASK.width + GAP);
        let y = top + HEAD + row as f64 * (TASK.height + GAP);
        let item = task_item(model, item.group, number, path.contains(&number));
        node_value(model, &item, (x, y), running)
    };
    item.inside.iter().enumerate().map(task).collect()
}

fn task_of(model: &Model, number: u32) -> String {
    match model.shapes.node(number) {
        // The scheduler may use its number for another task by now.
        Some(node) if model.shapes.number_of(node.task) == Some(number) => node.task.to_string(),
        _ => format!("{number}-before"),
    }
}

/// Tasks that run now, and their keys.
fn running_tasks(model: &Model) -> BTreeMap<u32, &str> {
    let open = model.threads.rows().iter().filter_map(|row| row.running());
    open.filter_map(|(task, _)| Some((model.shapes.number_of(task.task)?, task.key.as_str())))
        .collect()
}

fn node_value(
    model: &Model,
    item: &Item,
    (x, y): (f64, f64),
    running: &BTreeMap<u32, &str>,
) -> Value {
    let Size { width: wide, height } = item.size;
    let place = json!({ "x": x, "y": y, "w": wide, "h": height });
    let entry = &model.groups[item.group.index()];
    let value = match item.task {
        None => json!({
            "label": fit(&entry.name, FONT, wide - 16.0),
            "title": clipped(&entry.name),
            "sub": format!("{} / {}", entry.tally.finished, entry.tally.tasks),
            "tasks": entry.tally.tasks,
            "finished": entry.tally.finished,
            "processing": entry.tally.processing,
            "erred": entry.tally.erred,
            "open": !item.inside.is_empty(),
            "seconds": entry.seconds,
            "bytes": entry.out_bytes,
        }),
        Some(number) => {
            let node = model.shapes.node(number);
            let progress = node.map(|node| node.progress).unwrap_or_default();
            let state = match progress {
                Progress::Left if running.contains_key(&number) => "processing",
                Progress::Left => "waiting",
                Progress::Finished => "memory",
                Progress::Failed => "erred",
                Progress::Stopped => "released",
            };
            json!({
                "label": "",
                // Keys of others are not kept.
                "key": running.get(&number).filter(|key| !key.is_empty()).map(|key| clipped(key)),
                "sub": null,
                "tasks": 1,
                "finished": u8::from(progress == Progress::Finished),
                "processing": u8::from(state == "processing"),
                "erred": u8::from(progress == Progress::Failed),
                "state": state,
                "seconds": node.map(|node| node.duration_ns as f64 / 1e9),
                "bytes": node.map(|node| node.nbytes),
            })
        }
    };
    let mut fields = json!({
        "id": item.id,
        "group": item.group.0,
        "color": entry.color,
        "critical": item.is_critical,
    });
    for part in [place, value] {
        if let (Some(fields), Value::Object(part)) = (fields.as_object_mut(), part) {
            fields.extend(part);
        }
    }
    fields
}

fn edge_values(items: &[Item], pairs: &[(u32, u32)], edges: &Edges, placed: &Layout) -> Vec<Value> {
    pairs
        .iter()
        .zip(&placed.edges)
        .map(|(pair, bends)| {
            let (from, to) = (&items[pair.0 as usize], &items[pair.1 as usize]);
            let points: Vec<[f64; 2]> = bends.iter().map(|point| [point.x, point.y]).collect();
            json!({
                "from": from.id,
                "to": to.id,
                "edges": edges.get(pair),
                "points": points,
                "critical": from.is_critical && to.is_critical,
            })
        })
        .collect()
}
